"""What a researcher does with a cell of one's own, from its file to a sweep's page; every number again in NumPy."""

import csv
import html
import json
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from tolerances import assert_close

import recurrax
from recurrax import lag, report, runs, train
from recurrax.cli import main
from recurrax.study import named, networks

CELL = '''
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp

from recurrax import Cell

GAIN = 1.0


class Params(NamedTuple):
    W: jax.Array
    U: jax.Array


@dataclass(frozen=True)
class Mine(Cell):
    """h_t = tanh(g (x_t W + h_tm1 U))."""

    hidden_size: int

    def init(self, key, input_size, dtype=jnp.float32):
        keys, size = jax.random.split(key), self.hidden_size
        return Params(
            jax.random.normal(keys[0], (input_size, size), dtype) / input_size**0.5,
            jax.random.normal(keys[1], (size, size), dtype) / size**0.5,
        )

    def initial_carry(self, params, batch_shape, dtype):
        return jnp.zeros((*batch_shape, self.hidden_size), dtype)

    def project(self, params, x):
        return x @ params.W

    def recur(self, params, carry, u):
        return carry @ params.U

    def pointwise(self, params, carry, u, v):
        return jnp.tanh(GAIN * (u + v))

    def output(self, params, carry, u):
        return carry
'''
SCRIPT = """
from recurrax import study
from recurrax.study.comparison import comparison

raise SystemExit(study.main(comparison("adjoint")))
"""
LAGS = 20
SMALL = ["--tasks", "adding", "--lags", str(LAGS), "--hidden-size", "4", "--seeds", "2", "--rows", "2"]


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(CELL)
    return path


def states(params, xs, gain):
    """h (T + 1, rows, H) in float64, from zeros on."""
    W, U = (np.asarray(leaf, np.float64) for leaf in params)
    found = [np.zeros((xs.shape[1], len(U)))]
    for x in np.asarray(xs, np.float64):
        found.append(np.tanh(gain * (x @ W + found[-1] @ U)))
    return np.stack(found)


def adjoints(params, xs, last, gain):
    """dL/dh_t (T, rows, H), by lag, where `last` is that at the last step and nothing else is read."""
    h, U, found = states(params, xs, gain), np.asarray(params.U, np.float64), [np.asarray(last, np.float64)]
    for now in h[:1:-1]:
        found.append((found[-1] * gain * (1 - now**2)) @ U.T)
    return np.stack(found)


def curves(cell, task, trained, gain):
    """ln A(k) - ln A(0), median over rows, of each seed's network, as a comparison measures it."""
    longer, found = task.with_lag(LAGS), []
    for seed in range(2):
        at = networks.probe(cell, longer, train.probe_key(seed), 2)
        params = networks.drawn(cell, longer, seed) if trained is None else trained[seed]
        norms = np.log(np.linalg.norm(adjoints(params, at.xs, at.unit, gain), axis=-1))
        found.append(np.median(norms - norms[:1], axis=1)[: LAGS + 1])
    return np.stack(found)


def test_every_door_has_numpys_numbers_before_and_after_an_edit(file, monkeypatch, x64):
    cell = named.cell(f"{file}:Mine").build(hidden_size=4)
    edited = sys.modules[type(cell).__module__]
    params = cell.init(jax.random.key(0), 3, jnp.float64)
    xs = jax.random.normal(jax.random.key(1), (12, 2, 3), jnp.float64)
    unit = jnp.ones((2, 4)) / 2
    for gain in (1.0, 1.7):  # as in a notebook: the constant's line is run again
        monkeypatch.setattr(edited, "GAIN", gain)
        h, g = states(params, xs, gain), adjoints(params, xs, unit, gain)
        scanned = recurrax.scan(cell, params, xs)
        assert_close(scanned.outputs, h[1:], "float64")
        gradient = jax.grad(lambda params: jnp.vdot(unit, recurrax.scan(cell, params, xs).outputs[-1]))(params)
        before_tanh = g * gain * (1 - h[:0:-1] ** 2)
        assert_close(gradient.U, np.einsum("kbi,kbj->ij", h[-2::-1], before_tanh), "float64")
        assert_close(gradient.W, np.einsum("kbi,kbj->ij", np.asarray(xs)[::-1], before_tanh), "float64")
        profile = lag.adjoint_profile(cell, params, xs, unit)
        assert_close(profile.log_norm_joint, np.log(np.linalg.norm(g, axis=-1)), "float64")
        blocks = [
            np.diag(gain * (1 - now[0] ** 2)) @ np.asarray(params.U).T for now in h[2:]
        ]  # but for its burn-in of a step
        volume = sum(np.linalg.slogdet(block)[1] for block in blocks) / len(blocks)
        assert_close(jnp.sum(lag.lyapunov_spectrum(cell, params, xs[:, 0]).exponents), volume, "float64")


def test_two_devices_see_whole_sequences(file):
    cell, task = named.cell(f"{file}:Mine").build(hidden_size=4), named.task("adding").build()
    model = train.Readout(cell, task.input_size, task.output_size, task.every_step)

    def first_loss(mesh):
        training = train.Training(
            loss=lambda params, batch: task.loss(model.predict(params, batch.xs), batch),
            init=model.init,
            optimizer=optax.sgd(0.1),
            batch=lambda key: task.batch(key, 4),
            steps=1,
            mesh=mesh,
        )
        return train.fit(training, progress=False).metrics.loss[0, 0]

    params, batch = model.init(train.init_key(0)), task.batch(train.batch_key(0, 0), 4)
    h = states(params.cell, batch.xs, 1.0)[-1]
    said = h @ np.asarray(params.kernel, np.float64) + np.asarray(params.bias)
    expected = np.mean((said - np.asarray(batch.targets).reshape(said.shape)) ** 2)
    assert train.batch_mesh().size == 2
    assert_close([first_loss(train.batch_mesh()), first_loss(None)], [expected, expected], "float32")


def test_a_comparison_has_numpys_numbers_and_never_those_of_an_edited_cell(file, tmp_path, capsys):
    command = ["compare", "--cells", f"{file}:Mine", *SMALL, "--steps", "2", "--out", str(tmp_path / "out")]
    task = named.task("adding").build()

    def found():
        (folder,) = (tmp_path / "out" / "compare").iterdir()
        return folder, report.load(folder).arrays

    assert main(command) == 0
    folder, arrays = found()
    cell = named.cell(f"{file}:Mine").build(hidden_size=4)
    assert_close(arrays["drawn.adding.Mine"], curves(cell, task, None, 1.0), "float32")
    (training,) = runs.load(folder).trainings.values()
    model = train.Readout(cell, task.input_size, task.output_size, task.every_step)
    like = jax.eval_shape(model.init, jax.random.key(0))
    rows = [training.params(like, step=2, row=row).cell for row in range(2)]
    assert_close(arrays["trained.adding.Mine"], curves(cell, task, rows, 1.0), "float32")

    file.write_text(CELL.replace("GAIN = 1.0", "GAIN = 1.7"))
    capsys.readouterr()
    assert main(command) != 0
    refusal = capsys.readouterr().err
    assert "Mine" in refusal
    assert "--fresh" in refusal
    assert refusal.count("\n") == 1
    assert main([*command, "--fresh"]) == 0
    assert_close(found()[1]["drawn.adding.Mine"], curves(cell, task, None, 1.7), "float32")
    page = html.unescape((folder / "report.html").read_text())
    assert "Mine" in page
    assert "SMOKE" not in page


def test_a_sweep_has_numpys_numbers_in_its_table(file, tmp_path):
    script = tmp_path / "question.py"
    script.write_text(SCRIPT)
    grid = [f"cells={file}:Mine", "hidden_size=3,4", "tasks=adding", f"lags={LAGS}", "seeds=2", "rows=2", "steps=0"]
    done = subprocess.run(
        [sys.executable, "-m", "recurrax", "sweep", str(script), "--grid", *grid, f"--out={tmp_path / 'out'}"],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    (table,) = (tmp_path / "out" / "sweeps").glob("*/table.csv")
    with open(table, newline="") as lines:
        assert [row["--hidden_size"] for row in csv.DictReader(lines)] == ["3", "4"]
    for folder in (tmp_path / "out").rglob("compare/*/"):
        width = json.loads((folder / "config.json").read_text())["hidden_size"]
        cell = named.cell(f"{file}:Mine").build(hidden_size=width)
        expected = curves(cell, named.task("adding").build(), None, 1.0)
        assert_close(report.load(folder).arrays["drawn.adding.Mine"], expected, "float32")
