"""Every other experiment in its smallest form, and the figure that the README shows."""

import hashlib
import importlib
import json
from pathlib import Path

import _command
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


def test_what_the_readme_shows_is_what_was_recorded():
    record = json.loads((DOCS / "gradient_decay.json").read_text())
    assert record["command"] == "python experiments/gradient_decay.py"
    for name, digest in record["sha256"].items():
        assert hashlib.sha256((DOCS / name).read_bytes()).hexdigest() == digest
