"""Instruments in a training loop: the numbers they give by hand, and a training that does not notice."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from lag.drawn import H, T, drawn

import recurrax
from recurrax import lag, norms, train
from recurrax.lag.probe import INSTRUMENTS
from recurrax.lag.quantiles import quantiles_over_rows
from recurrax.train.loop import join

SEEDS, PROBE_STEPS, ROWS, LAGS = (3, 8), (0, 2, 5), 4, (0, 2, 7)
CELL = recurrax.Elman(H)
MODEL = train.Readout(CELL, input_size=2, output_size=1, every_step=True)


class Look:
    """What is measured, counting how often it is traced."""

    def __init__(self):
        self.traces = 0

    def __call__(self, params, key):
        self.traces += 1
        xs = jax.random.normal(key, (T, ROWS, 2))

        def loss(outputs):
            return jnp.mean(jnp.square(outputs @ params.kernel))

        return lag.On(params.cell, xs, loss=loss)


def training(**changes):
    def batch(key):
        return jax.random.normal(key, (T, 6, 2))

    return train.Training(
        loss=lambda params, xs: jnp.mean(jnp.square(MODEL.predict(params, xs) - xs[..., :1])),
        init=MODEL.init,
        optimizer=optax.adam(1e-2),
        batch=batch,
        seeds=SEEDS,
        steps=PROBE_STEPS[-1],
        chunk=2,
        **changes,
    )


class Ran(NamedTuple):
    """Trainings with and without probes, the parameters at each probe step, how often the probes were traced."""

    fitted: Any
    unseen: Any
    params: list
    traces: int


@pytest.fixture(scope="module")
def ran():
    look, kept, parts = Look(), {}, []
    probes = {
        "all": lag.probe(CELL, look, instruments=tuple(INSTRUMENTS), lags=LAGS, levels=None),
        "quantiles": lag.probe(CELL, look),
    }
    # As the fixture `quick_compile`, which a fixture of the module cannot use: nearly all of this is compiling.
    before = jax.config.read("jax_disable_most_optimizations")
    jax.config.update("jax_disable_most_optimizations", True)
    for part in train.chunks(training(probes=probes, probe_steps=PROBE_STEPS)):
        parts.append(part)
        kept[int(part.state.step)] = part.state.params
    unseen = train.fit(training(), progress=False)
    jax.config.update("jax_disable_most_optimizations", before)
    return Ran(join(parts), unseen, [kept[step] for step in PROBE_STEPS], look.traces)


def by_hand(params, seed):
    on = Look()(params, train.probe_key(seed))
    walks = (
        instrument(CELL, on.params, on.xs, loss=on.loss)
        for instrument in (lag.adjoint_profile, lag.parameter_profile, lag.carousel_share)
    )
    return *walks, lag.jacobian_profile(CELL, on.params, on.xs, lags=LAGS)


def test_gives_what_the_instruments_give_by_hand(ran, quick_compile):
    whole, summary = ran.fitted.probes["all"], ran.fitted.probes["quantiles"]
    assert whole.adjoint.log_norm.h.shape == (len(PROBE_STEPS), len(SEEDS), T, ROWS)
    for index, seed in ((0, 1), (2, 0)):
        of_seed = jax.tree.map(lambda leaf, seed=seed: leaf[seed], ran.params[index])
        expected = by_hand(of_seed, SEEDS[seed])
        for got, want in zip(whole[:4], expected, strict=True):
            got = jax.tree.map(lambda leaf, at=(index, seed): leaf[at], got)
            jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=0, atol=2e-5), got, want)
        gradient = expected[1].gradient
        expected_norm = float(norms.log_global_norm(gradient))
        assert whole.gradient.log_norm_joint[index, seed] == pytest.approx(expected_norm, abs=1e-5)
        assert whole.gradient.log_norm.bias[index, seed] == pytest.approx(
            float(norms.log_norm(gradient.bias)), abs=1e-5
        )
        quantiles = lag.quantiles(expected[0].log_norm.h).T
        np.testing.assert_allclose(summary.adjoint.log_norm.h[index, seed], quantiles, rtol=0, atol=2e-5)
        assert summary.adjoint.lag[index, seed].tolist() == list(range(T))
    assert summary.carousel is None
    assert np.abs(whole.adjoint.log_norm_joint[2] - whole.adjoint.log_norm_joint[0]).max() > 0


def test_one_step_and_seed_are_a_result_that_summaries_take(ran):
    whole = ran.fitted.probes["all"]
    for step, seed in ((0, 1), (-1, 0)):
        got, want = whole.at(step, seed), jax.tree.map(lambda leaf, at=(step, seed): leaf[at], whole)
        assert jax.tree.structure(got) == jax.tree.structure(want)
        jax.tree.map(np.testing.assert_array_equal, got, want)
        expected = lag.half_life(want.adjoint.log_norm_joint)
        assert lag.half_life(got.adjoint) == expected
    every = whole.at(step=1)
    assert every.adjoint.log_norm_joint.shape == (T, len(SEEDS), ROWS)
    assert every.parameter.horizon.shape == (len(SEEDS), ROWS)
    for seed in range(len(SEEDS)):
        one = whole.at(step=1, seed=seed)
        np.testing.assert_array_equal(every.adjoint.log_norm_joint[:, seed], one.adjoint.log_norm_joint)
        np.testing.assert_array_equal(every.parameter.gradient.bias[seed], one.parameter.gradient.bias)
        np.testing.assert_array_equal(every.jacobian.log_block.h.h[:, seed], one.jacobian.log_block.h.h)
    fit = lag.fit_decay(every.adjoint, window=(1, T - 1))
    rates = [lag.fit_decay(whole.adjoint.at(1, seed).log_norm_joint.mean(axis=1), (1, T - 1)).rate for seed in (0, 1)]
    assert fit.samples == len(SEEDS)
    assert fit.rate == pytest.approx(np.mean(rates))


SUMMARIES = {
    "half_life": lag.half_life,
    "vanish_lag": lag.vanish_lag,
    "fit_decay": lambda log_norm: lag.fit_decay(log_norm, (0, 1)),
    "choose_decay": lambda log_norm: lag.choose_decay(log_norm, (0, 1)),
}


@pytest.mark.parametrize("summary", SUMMARIES)
def test_summaries_refuse_what_a_training_has_stacked(ran, summary):
    adjoint = ran.fitted.probes["all"].adjoint
    with pytest.raises(ValueError, match=r"^log_norm: expected the LagProfile of one network, got .* \.at\(step=-1"):
        SUMMARIES[summary](adjoint)
    with pytest.raises(ValueError, match=r"^log_norm: expected a profile, or one array .* the lag first"):
        SUMMARIES[summary](adjoint.log_norm_joint)
    with pytest.raises(ValueError, match=r"^log_norm: expected one array"):
        SUMMARIES[summary](adjoint.at(seed=0).log_norm)


def test_what_is_not_stacked_or_not_there_is_refused(ran):
    whole = ran.fitted.probes["all"]
    with pytest.raises(ValueError, match=r"^result: expected a LagProfile stacked by a training"):
        whole.adjoint.at(seed=0).at(seed=0)
    with pytest.raises(ValueError, match=r"^seed: expected a place among 2, got 2"):
        whole.at(seed=2)
    with pytest.raises(ValueError, match=r"^step: expected a place among 3, got 7"):
        whole.at(step=7)


def test_quantiles_stand_in_place_of_the_batch_axes():
    params, xs, _ = drawn(CELL, "float32", batch=(2, 3))
    look = lag.probe(CELL, lambda params, key: lag.On(params, xs), instruments=tuple(INSTRUMENTS), lags=LAGS)
    seen = jax.eval_shape(look, params, jax.random.key(0))
    assert seen.parameter.log_norm.kernel.shape == seen.carousel.cosine.shape == (T, 3)
    assert seen.parameter.horizon.shape == (3,)
    assert seen.parameter.gradient is None
    assert seen.jacobian.log_block.h.h.shape == (len(LAGS), 3)
    assert seen.gradient.log_norm.kernel.shape == ()


def test_compiles_once_for_all_steps(ran):
    assert ran.traces == 2  # each of the two probes


def test_looking_changes_no_number_of_the_training(ran):
    jax.tree.map(np.testing.assert_array_equal, ran.unseen.metrics, ran.fitted.metrics)
    jax.tree.map(np.testing.assert_array_equal, ran.unseen.state, ran.fitted.state)


def test_quantiles_over_rows_are_the_quantiles_under_jit():
    curves = np.random.default_rng(0).normal(size=(6, 5)).astype(np.float32)
    curves[1, 2], curves[2, :4], curves[3] = -np.inf, np.nan, np.nan
    curves[4, 1:3], curves[5, :3] = (np.nan, -np.inf), -np.inf
    levels = (0.0, 0.1, 0.5, 0.77, 1.0)
    found = jax.jit(lambda curves: quantiles_over_rows(curves, levels))(jnp.asarray(curves))
    np.testing.assert_allclose(found, lag.quantiles(curves, levels).T, rtol=1e-5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"instruments": ("memory",)}, r"instruments: expected names of adjoint, .*, got \('memory',\)"),
        ({"instruments": "adjoint"}, "instruments: expected names"),
        ({"instruments": ()}, "instruments: expected names"),
        ({"instruments": ("jacobian",)}, "lags: expected those of the Jacobian profile, got None"),
        ({"levels": (0.5, 2.0)}, r"levels: expected numbers in \[0, 1\], got \[0.5, 2.0\]"),
    ],
)
def test_refuses(change, message):
    with pytest.raises(ValueError, match=message):
        lag.probe(CELL, Look(), **change)


def test_refuses_what_the_instruments_refuse():
    params, xs, _ = drawn(CELL, "float32", batch=(2,))
    late = lag.probe(CELL, lambda params, key: lag.On(params, xs), instruments=("jacobian",), lags=(T,))
    with pytest.raises(ValueError, match=r"lags: expected values in 0..T-1 = 0..8, got 9"):
        late(params, jax.random.key(0))
