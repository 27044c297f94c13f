"""The page that is made from a run of `experiments/table_of_cells.py`."""

import json

import numpy as np
import table_of_cells

from recurrax import report


def test_the_page_says_what_the_run_saved(tmp_path):
    table = report.Table("Cells", "K: a lag.", ("cell", "K"), (("first", "63 [50, >200]"), ("second", "7")))
    figure = report.Figure("cells", "Reach", "Medians.", (report.Panel("all", "k", "A", ()),))
    said = report.Report("How far?", "So far.", (), (table,), (figure,), ("Ten networks.", "One input."))
    where = {"system": "two", "python": "3.0", "packages": {"jax": "1.0"}}
    run = {"command": "python script.py --out there", "finished": "2030-01-02T03:04", "environment": where}
    for name, content in (
        ("config", {"yardstick": "first"}),
        ("run", run),
        ("summary", {"report": said.to_json()}),
    ):
        (tmp_path / f"{name}.json").write_text(json.dumps(content))
    np.savez(tmp_path / "arrays.npz", curve=np.zeros(3))
    lines = table_of_cells.page(tmp_path).splitlines()
    assert lines[2] == "`python script.py`, 2030-01-02, two, Python 3.0, JAX 1.0. The yardstick of times is first."
    assert lines[4:8] == ["| cell | K |", "| --- | ---: |", "| first | 63 [50, >200] |", "| second | 7 |"]
    assert lines[-6:-3] == ["![Reach](cells.png)", "", "Medians."]
    assert lines[-2:] == ["- Ten networks.", "- One input."]
