"""The command for the day of an accelerator, tried in small without the packages that its machine lacks."""

import json
import os
import subprocess
import sys
from pathlib import Path

import accelerator
import accelerator_rows
import pytest
from tolerances import RTOL

ROOT = Path(__file__).parents[2]
ABSENT = ("tyro", "hypothesis", "chex", "orbax")


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    """Exit status, folder and record of the toy, run by a Python without those packages."""
    folder, hidden = tmp_path_factory.mktemp("toy"), tmp_path_factory.mktemp("hidden")
    lines = ["import sys", *(f"sys.modules[{name!r}] = None" for name in ABSENT)]
    (hidden / "sitecustomize.py").write_text("\n".join(lines))
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(hidden), str(ROOT / "src")]),
        "JAX_PLATFORMS": "cpu",
        "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",
    }
    command = [sys.executable, str(ROOT / "experiments" / "accelerator.py"), "--toy", "--out", str(folder)]
    done = subprocess.run(command, env=environment, cwd=hidden, capture_output=True, text=True, timeout=600)
    return done, folder, json.loads((folder / "accelerator.json").read_text())


def test_everything_planned_is_measured_or_refused_with_a_sentence(toy):
    done, folder, record = toy
    assert done.returncode == 0, done.stdout + done.stderr
    assert record["toy"]
    assert record["environment"]["devices"]["platform"] == "cpu"
    for name, budget in accelerator.PARTS.items():
        rows = record["parts"][name]
        places = [json.loads(json.dumps(place)) for place, _ in budget.part(accelerator_rows.TOY)]
        assert [{field: row[field] for field in place} for row, place in zip(rows, places, strict=True)] == places
        for row in rows:
            assert not {"raised", "left_out"} & row.keys()
            assert row.keys() & {"per_second", "holds", "median_ms", "rate", "refused"}
            assert " " in row.get("refused", "a sentence")
    assert "Largest relative difference to the reference" in done.stdout
    assert (folder / "accelerator.png").stat().st_size


def test_its_laws_hold(toy):
    rows = toy[2]["parts"]["laws"]
    measured = [row for row in rows if "refused" not in row]
    assert {row["cell"] for row in measured if row["implementation"] == "fused"} == {"lstm", "Leaky"}
    for row in measured:
        assert row["holds"], row
        assert max(row["value_error"], row["gradient_error"]) <= RTOL["float32"], row


def test_its_times_and_rates_are_numbers(toy):
    parts = toy[2]["parts"]
    timed = [row for row in (*parts["speed"], *parts["projection"]) if "refused" not in row]
    assert {"recurrax fused", "recurrax reference", "Flax nnx"} <= {row.get("contender") for row in timed}
    assert all(0 < row["min_ms"] <= row["median_ms"] and row["compile_s"] > 0 for row in timed)
    (decay,) = parts["decay"]
    assert decay["nats_from_cpu"] == 0  # here the accelerator is that CPU
    assert len({row["rate"] for row in parts["tf32"]}) == 1


def test_its_page_has_every_part_and_every_reason(toy):
    _, folder, record = toy
    page = (folder / "accelerator.md").read_text()
    assert page.count("\n## ") == len(record["parts"]) + 2  # speeds have a table for each kind and one of costs
    refused = {row["refused"] for rows in record["parts"].values() for row in rows if "refused" in row}
    assert refused
    assert all(sentence in page for sentence in refused)


def test_what_raises_is_no_refusal():
    row = accelerator_rows.outcome({"cell": "lstm"}, lambda: undefined)  # noqa: F821
    assert row == {"cell": "lstm", "raised": "NameError: name 'undefined' is not defined"}
    for toy, bad in ((True, {"left_out": "no time"}), (True, row), (False, row), (False, {"holds": False})):
        assert accelerator.status({"toy": toy, "parts": {"laws": [{"holds": True}, bad]}}) == 1
    for toy, fine in ((False, {"left_out": "no time"}), (True, {"refused": "no such cell"})):
        assert accelerator.status({"toy": toy, "parts": {"laws": [{"holds": True}, fine]}}) == 0


def test_a_part_that_hangs_is_ended_and_its_places_say_so(tmp_path, monkeypatch):
    monkeypatch.setattr(accelerator, "GRACE", -1000)
    asleep = [sys.executable, "-c", "import time; time.sleep(600)"]
    monkeypatch.setattr(accelerator, "started", lambda *_: subprocess.Popen(asleep))
    assert accelerator.run(["laws", "decay"], False, tmp_path) == 0
    record = json.loads((tmp_path / "accelerator.json").read_text())
    assert not record["toy"]
    for name in ("laws", "decay"):
        assert len(record["parts"][name]) == len(list(accelerator.PARTS[name].part(accelerator_rows.Sizes())))
        assert {row["left_out"] for row in record["parts"][name]} == {"the part was ended, its seconds being over"}


def test_all_parts_end_within_nine_minutes():
    assert sum(budget.seconds + accelerator.GRACE for budget in accelerator.PARTS.values()) < 9 * 60


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--fast"], "unrecognized arguments: --fast"),
        (["--parts", "lawes"], "invalid choice: 'lawes'"),
        (["--toy", "--out", str(ROOT / "docs")], "a toy's record is none for docs/"),
    ],
)
def test_what_cannot_be_meant_is_refused(arguments, said, capsys):
    with pytest.raises(SystemExit) as stopped:
        accelerator.main(arguments)
    assert stopped.value.code == 2
    assert said in capsys.readouterr().err


def test_without_an_accelerator_nothing_is_measured(tmp_path, capsys):
    assert accelerator.main(["--into", str(tmp_path / "rows"), "--parts", "laws"]) == 2
    assert "JAX sees no accelerator here" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_the_record_in_docs_is_no_toys():
    record = ROOT / "docs" / "accelerator.json"
    assert not record.exists() or not json.loads(record.read_text())["toy"]
