"""Laws of all experiments: each takes anyone's cell and task, and says nothing of others."""

import dataclasses
import importlib
import json
import re
from pathlib import Path

import pytest

from recurrax import cells, report, tasks
from recurrax.study import Command

ROOT = Path(__file__).parents[2]
OWN = str(ROOT / "tests" / "own.py")
NAMES = sorted(path.stem for path in (ROOT / "experiments").glob("*.py") if path.stem != "peers")
OURS = {kind.__name__ for kind in (*cells.ALL, *tasks.ALL)} - {"Leaky"}  # as the user's own is called too
OURS = re.compile(rf"\b({'|'.join(OURS)})\b", re.IGNORECASE)


def command(name) -> Command:
    module = importlib.import_module(name)
    return module.COMMAND if hasattr(module, "COMMAND") else module.EXPERIMENT.command


def texts(value):
    """All that a report says, apart from the question, which may be about our cells."""
    if isinstance(value, dict):
        for key, entry in value.items():
            yield from () if key == "question" else texts(entry)
    elif isinstance(value, list | tuple):
        for entry in value:
            yield from texts(entry)
    elif isinstance(value, str):
        yield value


def test_no_file_is_private_and_none_is_long():
    lengths = {path.name: len(path.read_text().splitlines()) for path in (ROOT / "experiments").glob("*.py")}
    assert not [name for name in lengths if name.startswith("_")]
    assert max(lengths.values()) <= 250


@pytest.mark.parametrize("name", NAMES)
def test_a_smoke_run_with_ones_own_cell_and_task(name, tmp_path, capsys):
    asked = command(name)
    assert asked.name == name
    fields = {field.name for field in dataclasses.fields(asked.settings)}
    own = ["--cells", f"{OWN}:Leaky:alpha=0.25", *(["--tasks", f"{OWN}:Echo"] if "tasks" in fields else [])]
    assert asked.main(["--smoke", "--out", str(tmp_path), *own]) == 0
    shown = capsys.readouterr().out
    (folder,) = (tmp_path / name).iterdir()
    saved = report.load(folder)
    assert saved.report.tables[0].title in shown
    said = list(texts(saved.report.to_json()))
    assert not [text for text in said if OURS.search(text)]
    assert any("Leaky:alpha=0.25" in text for text in said)
    if "tasks" in fields:
        assert any("squared volts" in text for text in said)
    drawn = {path: path.read_bytes() for kind in ("png", "svg", "html") for path in folder.glob(f"*.{kind}")}
    assert {path.stem for path in drawn} == {"report", *(figure.name for figure in saved.report.figures)}
    for path in drawn:
        path.unlink()
    assert asked.main(["--replot", str(folder)]) == 0
    assert {path: path.read_bytes() for path in drawn} == drawn
    config = json.loads((folder / "config.json").read_text())
    assert config["cells"] == [f"{OWN}:Leaky:alpha=0.25"]


@pytest.mark.parametrize("name", NAMES)
def test_what_cannot_be_meant_is_refused_before_anything_is_made(name, tmp_path, capsys):
    assert command(name).main(["--smoke", "--out", str(tmp_path / "results"), "--cells", "lstn"]) == 2
    assert f"{name}: cells: expected one of" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
