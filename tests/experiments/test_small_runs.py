"""Every other experiment in its smallest form, and the figure that the README shows."""

import hashlib
import importlib
import json
from pathlib import Path

import _command
import _record
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from recurrax import LSTM, report
from recurrax.cells import LSTMCarry

DOCS = Path(__file__).parents[2] / "docs"
EXPERIMENTS = {
    "decay_at_init": ["--inputs", "adding", "--scales", "1", "2"],
    "instrument_cost": [],
    "mean_field_check": [],
    "memory_versus_gradient": [],
}


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_a_smoke_run(name, tmp_path, capsys, quick_compile):
    module = importlib.import_module(name)
    arguments = ["--smoke", "--out", str(tmp_path), *EXPERIMENTS[name]]
    assert _command.main(name, module.Config, module.SMOKE, module.plan, module.finish, arguments) == 0
    (folder,) = (tmp_path / name).iterdir()
    saved = report.load(folder)
    for figure in saved.report.figures:
        assert (folder / f"{figure.name}.png").is_file()
    assert (folder / "report.html").is_file()
    assert saved.report.tables[0].title in capsys.readouterr().out
    assert all(np.isfinite(array).all() for array in saved.arrays.values())


def test_an_lstm_seen_through_h_alone_takes_the_same_steps(x64):
    module = importlib.import_module("lyapunov_of_cells")
    cell, key = LSTM(4), jax.random.key(0)
    params, xs = cell.init(key, 3, jnp.float64), jax.random.normal(key, (20, 3), jnp.float64)
    seen = module._with_memory(cell, params, xs)
    h = jnp.zeros(4, jnp.float64)
    whole = cell.initial_carry(params, (), jnp.float64)
    for x, x_and_c in zip(xs, seen, strict=True):
        h = module.HiddenOnly(cell).step(params, module.ElmanCarry(h=h), x_and_c)[0].h
        whole = cell.step(params, whole, x)[0]
        np.testing.assert_allclose(h, whole.h, rtol=1e-12)
    assert isinstance(whole, LSTMCarry)


@pytest.mark.parametrize(
    ("name", "experiment"),
    [("gradient_decay", "gradient_decay"), ("kernel_speed", "kernel_speed"), ("kernel_scaling", "kernel_speed")],
)
def test_what_the_readme_shows_is_what_was_recorded(name, experiment):
    record = json.loads((DOCS / f"{name}.json").read_text())
    assert record["command"].split(" --")[0] == f"python experiments/{experiment}.py"
    for file, digest in record["sha256"].items():
        assert hashlib.sha256((DOCS / file).read_bytes()).hexdigest() == digest


def test_the_speeds_in_the_readme_are_the_recorded_ones():
    """A row per cell: best JAX peer over recurrax for a training step and its worst shape, forward, batch split."""
    means = json.loads((DOCS / "kernel_speed.json").read_text())["means"]
    by_place = {(mean["cell"], mean["pass"], mean["contender"]): mean for mean in means}
    readme = (DOCS.parent / "README.md").read_text()
    for cell in ("LSTM", "GRU", "Elman"):
        step, forward = (by_place[cell, kind, "recurrax"] for kind in ("training", "forward"))
        split = by_place[cell, "training", "recurrax, batch split"]
        shown = (step["peer"], step["worst"], forward["peer"], forward["worst"], split["peer"], split["pytorch"])
        assert f"| {cell} | " + " | ".join(f"{number:.2f}" for number in shown) + " |" in readme


def test_a_record_of_a_finished_run(tmp_path):
    run = tmp_path / "kernel_speed" / "run-1"
    run.mkdir(parents=True)
    environment = {"python": "3", "packages": {}, "system": "Linux", "devices": {}, "git": None}
    command = "python experiments/kernel_speed.py --rounds 3 --out elsewhere"
    about = {"experiment": "kernel_speed", "command": command, "finished": "now", "environment": environment}
    described = report.Report("question", "answer", (), (), (), ()).to_json()
    for name, content in (
        ("run", about),
        ("config", {"rounds": 3}),
        ("summary", {"report": described, "numbers": {"means": [1]}}),
    ):
        (run / f"{name}.json").write_text(json.dumps(content))
    np.savez(run / "arrays.npz")
    for kind in ("png", "svg"):
        (run / f"ratios.{kind}").write_bytes(kind.encode())
    recorded = json.loads(_record.record(run, "ratios", docs=tmp_path / "docs").read_text())
    assert recorded["command"] == "python experiments/kernel_speed.py --rounds 3"
    assert recorded["means"] == [1]
    assert recorded["config"] == {"rounds": 3}
    assert recorded["sha256"]["kernel_speed.svg"] == hashlib.sha256(b"svg").hexdigest()
    assert (tmp_path / "docs" / "kernel_speed.png").read_bytes() == b"png"
    assert _record.record(run, "ratios", "other", tmp_path / "docs").name == "other.json"
