"""Rows split over devices train as on one, bit for bit, however many devices, and each device does no other's work."""

import dataclasses
import functools
import re
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import split
from jax.sharding import AxisType

from recurrax import train
from recurrax.train import compiled
from recurrax.train.host import stack_chunk
from tests.tolerances import assert_close

cells = pytest.mark.parametrize("cell", list(split.CELLS.values()), ids=list(split.CELLS))


def assert_same(got, expected):
    jax.tree.map(np.testing.assert_array_equal, got, expected)


def assert_alike(got, expected):
    """Equal but for rounding: rows end at the same steps, with the same losses until then."""
    assert got.state.stopped_at.tolist() == expected.state.stopped_at.tolist()
    taken = np.isfinite(expected.metrics.loss)
    assert (np.isfinite(got.metrics.loss) == taken).all()
    assert_close(got.metrics.loss[taken], expected.metrics.loss[taken], "float32")
    assert_close(jax.device_get(got.state.params), jax.device_get(expected.state.params), "float32")


@functools.cache
def on_one(cell):
    fitted = train.fit(split.training(cell), progress=False)
    stopped = fitted.state.stopped_at.tolist()
    assert -1 in stopped
    assert len({stop for stop in stopped if stop > 0}) > 1
    return fitted


@pytest.fixture(scope="module")
def two():
    assert jax.device_count() == 2
    return train.mesh(rows=2)


@cells
def test_five_rows_on_two_devices_are_those_of_one_bit_for_bit(cell, two):
    assert_same(train.fit(split.training(cell, two), progress=False), on_one(cell))


def test_a_row_for_each_device_stays_there(two):
    # XLA may write out a loop of one turn, and round otherwise.
    cell, each = split.CELLS["LSTM"], dict(rows=split.ROWS[1:3])
    got, expected = (train.fit(split.training(cell, mesh, **each), progress=False) for mesh in (two, None))
    assert_alike(got, expected)
    for leaf in jax.tree.leaves((got.state.params, got.state.opt_state, got.state.recent)):
        assert [shard.data.shape[0] for shard in leaf.addressable_shards] == [1, 1]
        assert len(leaf.sharding.device_set) == 2


@cells
def test_rows_side_by_side_and_batches_cut_at_once_are_equal_but_for_rounding(cell, two):
    for mesh, vmap in ((two, True), (train.mesh(batch=2), False)):
        assert_alike(train.fit(split.training(cell, mesh, vmap=vmap), progress=False), on_one(cell))


@cells
def test_any_number_of_devices_goes_on_where_another_was(cell, two):
    for begun, gone_on in ((None, two), (two, None)):
        for part in list(train.chunks(split.training(cell, begun)))[:-1]:
            state = jax.tree.map(jnp.asarray, jax.tree.map(np.asarray, part.state))
            tail = train.fit(split.training(cell, gone_on), state, progress=False)
            assert_same(tail.state, on_one(cell).state)
            np.testing.assert_array_equal(tail.metrics.loss, on_one(cell).metrics.loss[int(part.state.step) :])


def test_saved_runs_move_from_one_device_to_four_and_back(tmp_path):
    first, second = 8, 16
    split.go_on(tmp_path, "LSTM", first)
    subprocess.run([sys.executable, split.__file__, str(tmp_path), str(second)], check=True)
    got, uncut = split.go_on(tmp_path, "LSTM", split.STEPS), on_one(split.CELLS["LSTM"])
    assert_same((got.state, got.metrics), (uncut.state, uncut.metrics))
    assert_same(got.probes["kernel"], uncut.probes["kernel"][:2])
    # Rows over two and batches over two, from the start.
    assert_alike(split.go_on(tmp_path, "Leaky", split.STEPS), on_one(split.CELLS["Leaky"]))


def test_steps_that_are_not_taken_are_computed_on_no_device(two):
    done = []

    def counted(params, batch):
        jax.debug.callback(lambda: done.append(None))
        return jnp.mean((params - batch) ** 2)

    counting = train.Training(
        counted, lambda key: jnp.zeros(()), optax.sgd, lambda key: 1 + 0.01 * jax.random.normal(key), steps=30,
        chunk=30, mesh=two, stop=train.Target(0.01),
        rows=[train.Row(0, None, {"learning_rate": rate}) for rate in (0.4, 0.2, 0.0, 0.0)],
    )  # fmt: skip
    stopped = train.fit(counting, progress=False).state.stopped_at.tolist()
    jax.effects_barrier()
    assert 0 < stopped[0] < stopped[1] < 30
    assert stopped[2:] == [-1, -1]
    assert len(done) == sum(stopped[:2]) + 2 * 30


def test_devices_exchange_nothing_between_steps(two, monkeypatch):
    """Metrics, and at which steps rows have ended, are gathered after the loops."""
    texts = []

    def noted(lowered, *args):
        program = compile_shared(lowered, *args)
        texts.append(program.as_text())
        return program

    compile_shared = compiled.compile_shared
    monkeypatch.setattr(compiled, "compile_shared", noted)
    next(train.chunks(split.training(split.CELLS["LSTM"], two, probes={})))
    (text,) = (text for text in texts if "while(" in text)
    exchange = r" (all-reduce|all-gather|all-to-all|collective-permute)[-a-z]*\("
    computations = re.findall(r"^(\S.*?) \{\n(.*?)^\}", text, re.M | re.S)
    meeting = [title for title, body in computations if re.search(exchange, body)]
    assert len(computations) > 10
    assert [title.split()[0] for title in meeting] == ["ENTRY"]


def test_each_device_is_sent_the_host_s_batches_of_its_own_seeds(two):
    def batches(seed, step):
        return np.random.default_rng([seed, step]).normal(size=(4, 2)).astype(np.float32)

    rows = [train.Row(seed, None, {"learning_rate": rate}) for seed, rate in
            ((7, 0.1), (7, 0.2), (7, 0.3), (5, 0.1), (9, 0.1), (7, 0.1), (9, 0.3))]  # fmt: skip
    fed = train.Training(
        lambda w, xs: jnp.mean((xs @ w - 1) ** 2), lambda key: jax.random.normal(key, (2,)), optax.sgd,
        batches=batches, rows=rows, steps=7, chunk=3, vmap=False,
    )  # fmt: skip
    one, shared = (train.fit(dataclasses.replace(fed, mesh=mesh), progress=False) for mesh in (None, two))
    assert_same(shared, one)
    made = stack_chunk(batches, np.array([7, 7, 7, 7, 5, 9]), np.ones(6, bool), 0, 2, 3, parts=2)
    assert made.of_row.tolist() == [0, 0, 0, 1, 0, 2]
    seeds = (7, 7, 7, 5, 7, 9)
    np.testing.assert_array_equal(made.arrays[:, 1], [batches(seed, 1) for seed in seeds])


def test_a_row_that_fails_on_another_device_is_named(two):
    rows = [train.Row(seed, None, {"learning_rate": rate}) for seed, rate in ((0, 0.1), (1, 0.1), (2, 1e30))]
    failing = split.training(split.CELLS["Leaky"], two, rows=rows, stop=None, optimizer=optax.sgd)
    with pytest.raises(train.NonFiniteError, match=r"not finite: seed 2 at step [12] in ") as said:
        train.fit(failing, progress=False)
    assert said.value.state.seeds.tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ("sizes", "said"),
    [
        ({"rows": 0}, "rows: expected a positive int, got 0"),
        ({"batch": 1.5}, "batch: expected a positive int, got 1.5"),
        ({"rows": 2, "batch": 2}, "rows, batch: expected a product of at most 2 devices, got 2 x 2"),
    ],
)
def test_refuses_a_mesh_that_cannot_be_had(sizes, said):
    with pytest.raises(ValueError, match=said):
        train.mesh(**sizes)


def test_every_process_needs_a_part(monkeypatch):
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    with pytest.raises(ValueError, match="rows, batch: expected devices of all 2 processes, got 1 x 1 of 2"):
        train.mesh()


def test_refuses_a_mesh_of_other_axes():
    other = jax.make_mesh((2,), ("data",), axis_types=(AxisType.Auto,))
    with pytest.raises(ValueError, match=r"mesh: expected one of train.mesh, with axes 'rows' and 'batch', got .*data"):
        split.training(split.CELLS["LSTM"], other)
