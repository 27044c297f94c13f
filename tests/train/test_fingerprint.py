"""A training's fingerprint changes with what it computes and with nothing else, and another's numbers are not taken."""

import json
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import survivor

from recurrax import LSTM, Elman, runs, tasks, train


class Doubled(Elman):
    """What an edited cell computes: tanh(2v) for tanh(v)."""

    def pointwise(self, params, carry, u, v):
        return super().pointwise(params, carry, 2 * u, 2 * v)


def training(cell=None, task=None, batch_size=2, scale=1.0, **changes):
    cell, task = cell or Elman(2), task or tasks.Adding(4)
    model = train.Readout(cell, task.input_size, task.output_size, task.every_step, implementation="reference")
    settings = dict(
        loss=lambda params, batch: scale * task.loss(model.predict(params, batch.xs), batch), init=model.init,
        optimizer=optax.sgd(0.1), batch=lambda key: task.batch(key, batch_size), steps=4, chunk=2,
        probes={"bias": lambda params, key: params.bias},
    )  # fmt: skip
    return train.Training(**(settings | changes))


@pytest.fixture(scope="module")
def plain():
    return train.fingerprint(training())


def scores(params, batch):
    return {"target": jnp.mean(batch.targets)}


@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        ({"cell": Doubled(2)}, {"step"}),
        ({"cell": Elman(3)}, {"initialisation", "step"}),
        ({"scale": 2.0}, {"step"}),
        ({"task": tasks.Adding(5)}, {"batch", "step"}),
        ({"batch_size": 3}, {"batch", "step"}),
        ({"optimizer": optax.sgd(0.2)}, {"step"}),
        ({"optimizer": optax.adam(0.1)}, {"step"}),
        ({"max_norm": 1e-3}, {"step"}),
        ({"probes": {"bias": lambda params, key: 2 * params.bias}}, {"probe bias"}),
        ({"probes": {"other": lambda params, key: params.bias}}, {"probe bias", "probe other"}),
        ({"seeds": (1,)}, {"rows"}),
        ({"stop": train.Target(0.1)}, {"step"}),
        ({"metrics": scores}, {"step"}),
        ({"init": lambda key: jax.tree.map(jnp.zeros_like, training().init(key))}, {"initialisation"}),
    ],
)
@pytest.mark.usefixtures("quick_compile")
def test_says_which_part_has_changed(plain, changes, parts):
    other = train.fingerprint(training(**changes))
    assert {part for part in {*plain, *other} if plain.get(part) != other.get(part)} == parts


def test_says_the_same_of_what_changes_no_number(plain):
    for changes in (
        {},
        {"steps": 9},
        {"chunk": 3},
        {"vmap": True},
        {"mesh": train.batch_mesh()},
        {"continue_others": True},
    ):
        assert train.fingerprint(training(**changes)) == plain


def test_rows_and_host_data_are_part_of_it():
    def of(rate, data):
        return train.fingerprint(
            train.Training(
                loss=lambda w, x: jnp.mean((w - x) ** 2), init=lambda key: jnp.zeros(()), optimizer=optax.sgd,
                batches=lambda seed, step: np.full(3, data + step, np.float32),
                rows=[train.Row(0, None, {"learning_rate": rate})],
            )
        )  # fmt: skip

    first = of(0.1, 1.0)
    for other, parts in ((of(0.2, 1.0), {"rows"}), (of(0.1, 2.0), {"batch"}), (of(0.1, 1.0), set())):
        assert {part for part in first if first[part] != other[part]} == parts


def test_another_process_finds_the_same():
    code = (
        "import json, sys; sys.path.insert(0, sys.argv[1]); import jax, survivor; from recurrax import train\n"
        "jax.config.update('jax_numpy_rank_promotion', 'raise')\n"
        "print(json.dumps(train.fingerprint(survivor.training(20))))"
    )
    command = [sys.executable, "-c", code, str(Path(survivor.__file__).parent)]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert json.loads(printed) == train.fingerprint(survivor.training(20))


def saved(root, training, **options):
    with runs.open_run(root, "edited", "small", {}) as run:
        return train.fit_saved(training, run, progress=False, **options)


def test_the_numbers_of_another_program_are_never_returned(tmp_path):
    first = saved(tmp_path, training())
    np.testing.assert_array_equal(saved(tmp_path, training()).metrics.loss, first.metrics.loss)
    edited = training(cell=Doubled(2))
    with pytest.raises(
        runs.OtherProgramError, match=r"another program, which differs in step; fresh=True begins"
    ) as said:
        saved(tmp_path, edited)
    assert "\n" not in str(said.value)
    anew = saved(tmp_path, edited, fresh=True)
    np.testing.assert_array_equal(anew.metrics.loss, train.fit(edited, progress=False).metrics.loss)
    assert (anew.metrics.loss != first.metrics.loss).any()
    np.testing.assert_array_equal(saved(tmp_path, edited).metrics.loss, anew.metrics.loss)


def test_another_version_of_jax_alone_warns_and_goes_on(tmp_path, monkeypatch):
    first = saved(tmp_path, training())
    monkeypatch.setattr(jax, "__version__", "0.0.1")
    np.testing.assert_array_equal(saved(tmp_path, training()).metrics.loss, first.metrics.loss)
    with pytest.warns(UserWarning, match=r"saved under JAX .*, this is JAX 0.0.1 on cpu, .* in step;"):
        saved(tmp_path, training(scale=2.0))
    with pytest.raises(runs.OtherProgramError, match="differs in rows"):
        saved(tmp_path, training(seeds=(1,)))


def test_a_finished_run_of_another_program_is_not_taken_for_this_one(tmp_path):
    def opened(training, **options):
        with runs.open_run(tmp_path, "edited", "small", {}, program=train.fingerprint(training), **options) as run:
            if not run.finished:
                run.save_summary({"made": True})
            return run.finished

    assert [opened(training()), opened(training())] == [False, True]
    with pytest.raises(runs.OtherProgramError, match="differs in batch, step; fresh=True begins anew"):
        opened(training(task=tasks.Adding(6)))
    assert [opened(training(task=tasks.Adding(6)), fresh=True), opened(training(task=tasks.Adding(6)))] == [False, True]


def test_a_run_that_does_not_say_what_it_computed_is_refused(tmp_path):
    with runs.open_run(tmp_path, "edited", "small", {}):
        pass
    with (
        pytest.raises(runs.OtherProgramError, match="does not say which program saved it; fresh=True begins anew"),
        runs.open_run(tmp_path, "edited", "small", {}, program={"step": "0"}),
    ):
        pytest.fail("opened")


def test_beginning_anew_deletes_what_was_there_and_follows_no_link(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "kept").touch()
    with runs.open_run(tmp_path, "edited", "small", {}) as run:
        train.fit_saved(training(), run, "part", progress=False)
        (run.path / "link").symlink_to(tmp_path / "elsewhere")
    with runs.open_run(tmp_path, "edited", "small", {}, fresh=True) as run:
        assert sorted(path.name for path in run.path.iterdir()) == [".lock", "config.json", "run.json"]
        assert not run.finished
    assert (tmp_path / "elsewhere" / "kept").exists()


def test_a_field_of_a_cell_that_only_draws_changes_the_draw_alone():
    one, other = (train.fingerprint(training(cell=LSTM(2, forget_bias=bias))) for bias in (0.0, 3.0))
    assert {part for part in one if one[part] != other[part]} == {"initialisation"}
