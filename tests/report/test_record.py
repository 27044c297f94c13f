"""A figure of a run put into docs/ with what made it."""

import hashlib
import json

import numpy as np
import pytest

from recurrax import report
from recurrax.cli import main
from recurrax.report.record import record

TABLE = report.Table("Times", "", ("cell", "ms"), (("lstm", "2.0"),))


@pytest.fixture
def run(tmp_path):
    """A finished run with one figure."""
    folder = tmp_path / "kernel_speed" / "run-1"
    folder.mkdir(parents=True)
    environment = {"python": "3", "packages": {}, "system": "Linux", "devices": {}, "git": None}
    command = "python experiments/kernel_speed.py --rounds 3 --out elsewhere"
    about = {"experiment": "kernel_speed", "command": command, "finished": "now", "environment": environment}
    described = report.Report("question", "answer", (), (TABLE,), (), ()).to_json()
    summary = {"report": described, "numbers": {"means": [1]}}
    for name, content in (("run", about), ("config", {"rounds": 3}), ("summary", summary)):
        (folder / f"{name}.json").write_text(json.dumps(content))
    np.savez(folder / "arrays.npz")
    for kind in ("png", "svg"):
        (folder / f"ratios.{kind}").write_bytes(kind.encode())
    return folder


def test_a_record_of_a_finished_run(run, tmp_path):
    recorded = json.loads(record(run, "ratios", tmp_path / "docs").read_text())
    assert recorded["command"] == "python experiments/kernel_speed.py --rounds 3"
    assert recorded["means"] == [1]
    assert "tables" not in recorded
    assert recorded["config"] == {"rounds": 3}
    assert recorded["sha256"]["kernel_speed.svg"] == hashlib.sha256(b"svg").hexdigest()
    assert (tmp_path / "docs" / "kernel_speed.png").read_bytes() == b"png"


def test_without_a_figure_the_tables_are_recorded(run, tmp_path, capsys):
    assert main(["record", str(run), "--docs", str(tmp_path / "docs")]) == 0
    (path,) = (tmp_path / "docs").iterdir()
    recorded = json.loads(path.read_text())
    assert recorded["sha256"] == {}
    assert recorded["tables"][0]["rows"] == [["lstm", "2.0"]]


def test_the_command_records_under_another_name_and_names_what_is_not_there(run, tmp_path, capsys):
    docs = str(tmp_path / "docs")
    assert main(["record", str(run), "ratios", "--name", "other", "--docs", docs]) == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / "docs" / "other.json")
    assert main(["record", str(run), "rates", "--docs", docs]) == 1
    assert "rates.png" in capsys.readouterr().err
