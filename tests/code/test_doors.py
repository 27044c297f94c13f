"""An edit of what a cell reads reaches every public door that compiles, and a call without one compiles nothing."""

import dataclasses
import re
from dataclasses import dataclass
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

import recurrax
from recurrax import Cell, lag, train
from recurrax.check import subject, trial
from recurrax.study import networks

GAIN, SIZE = 0.5, 1


def times(h):
    return GAIN * h


@dataclass(frozen=True)
class Decay(Cell):
    """h_t = GAIN h_tm1 + w x_t, whose gradient k steps back is GAIN^k."""

    def init(self, key, input_size, dtype=jnp.float32):
        return {"w": jnp.full((input_size, SIZE), GAIN, dtype)}

    def initial_carry(self, params, batch_shape, dtype):
        return jnp.zeros((*batch_shape, SIZE), dtype)

    def project(self, params, x):
        return x @ params["w"]

    def recur(self, params, h, u):
        return times(h)

    def pointwise(self, params, h, u, v):
        return u + v

    def output(self, params, h, u):
        return h


CELL = Decay()
PARAMS = {"w": np.ones((1, 1), np.float32)}
XS = np.array([1.0, 0.0, 0.0], np.float32)[:, None]  # (T, D), an impulse: h_t = GAIN^t
NOISE = np.random.default_rng(0).normal(size=(60, 1)).astype(np.float32)


def body(x, _):
    return GAIN * x, None


def first_lag(log_norm):
    return np.exp(np.ravel(log_norm)[1] - np.ravel(log_norm)[0])


def trained(training):
    return train.fit(training, progress=False).metrics.loss[0, 0]


TRAINING = train.Training(
    loss=lambda params, xs: recurrax.scan(CELL, params, xs).outputs[1, 0],
    init=lambda key: PARAMS,
    optimizer=optax.sgd(0.0),
    batches=lambda seed, step: XS,
    steps=1,
)
LINEN = recurrax.linen.RNN(CELL)
NNX = recurrax.nnx.RNN(CELL, 1, rngs=nnx.Rngs(0))
NNX.w[...] = jnp.ones((1, 1))
LOOK = lag.probe(CELL, lambda params, key: lag.On(params, XS[:, None]))
TRIAL = trial.Trial(PARAMS, XS[:, None], np.zeros((1, 1), np.float32), None)
KEY = jax.random.key(0)
STATES = np.ones((2, 1), np.float32)

DOORS = {
    "scan": lambda: recurrax.scan(CELL, PARAMS, XS).outputs[1, 0],
    "scan, its gradient": lambda: jax.grad(lambda w: recurrax.scan(CELL, {"w": w}, XS).outputs[1, 0])(PARAMS["w"])[
        0, 0
    ],
    "scan, the reference": lambda: recurrax.scan(CELL, PARAMS, XS, implementation="reference").outputs[1, 0],
    "adjoint_profile": lambda: first_lag(lag.adjoint_profile(CELL, PARAMS, XS).log_norm_joint),
    "parameter_profile": lambda: lag.parameter_profile(CELL, PARAMS, XS).gradient["w"][0, 0] ** 0.5,
    "jacobian_profile": lambda: first_lag(lag.jacobian_profile(CELL, PARAMS, XS, lags=(0, 1)).log_operator_norm),
    "carousel_share": lambda: first_lag(lag.carousel_share(CELL, PARAMS, XS).log_norm_whole),
    "lag_matrix": lambda: first_lag(lag.lag_matrix(CELL, PARAMS, XS, anchors=(2,)).log_norm_by_lag),
    "lyapunov_spectrum": lambda: np.exp(lag.lyapunov_spectrum(CELL, PARAMS, NOISE).exponents[0]),
    "lyapunov_of_step": lambda: np.exp(lag.lyapunov_of_step(STEP, jnp.ones(1), jnp.arange(60)).exponents[0]),
    "covariant_vectors": lambda: np.exp(lag.covariant_vectors(CELL, PARAMS, NOISE).exponents[0]),
    "fixed_points": lambda: lag.fixed_points(CELL, PARAMS, np.zeros(1, np.float32), STATES).eigenvalues[0, 0].real,
    "probe": lambda: first_lag(LOOK(PARAMS, KEY).adjoint.log_norm_joint[:, 1]),
    "a step of check": lambda: trial.value(CELL, TRIAL).outputs[1, 0, 0],
    "a stream of check": lambda: trial.stream(CELL, TRIAL).outputs[1, 0, 0],
    "what check draws": lambda: subject._drawn(CELL, 1, KEY)["w"][0, 0],
    "linen": lambda: LINEN.apply({"params": PARAMS}, XS)[1, 0],
    "nnx": lambda: NNX(XS)[1, 0],
    "networks": lambda: first_lag(networks.log_norms(CELL, PARAMS, networks.Probe(XS[:, None], jnp.ones((1, 1))))),
    "fit": lambda: trained(TRAINING),
}
STEP = lambda h, x: times(h)  # noqa: E731


@pytest.fixture
def compiled():
    """A list that grows with every program XLA compiles."""
    found = []

    def count(event, seconds, **details):
        if event.endswith("backend_compile_duration"):
            found.append(event)

    jax.monitoring.register_event_duration_secs_listener(count)
    yield found
    jax.monitoring.unregister_event_duration_listener(count)


@pytest.mark.usefixtures("quick_compile")
@pytest.mark.parametrize("door", DOORS)
def test_an_edit_reaches(door, compiled, monkeypatch):
    measured = DOORS[door]
    monkeypatch.setitem(globals(), "GAIN", 0.25)
    np.testing.assert_allclose(measured(), 0.25, rtol=1e-5)
    monkeypatch.setitem(globals(), "GAIN", 0.5)
    np.testing.assert_allclose(measured(), 0.5, rtol=1e-5)
    before = len(compiled)
    measured()
    assert len(compiled) == before
    monkeypatch.setitem(globals(), "GAIN", 0.25)
    np.testing.assert_allclose(measured(), 0.25, rtol=1e-5)


def test_no_door_goes_by_the_cell_alone():
    """What is static under `jax.jit` in the library is a cell or a function of the user's, or stands beside one."""
    sources = [path for path in Path(recurrax.__file__).parent.rglob("*.py") if path.parent.name != "code"]
    jitted = re.compile(r"jax\.jit\b[^\n]*static_arg")
    assert len(sources) > 100
    assert not [path.name for path in sources if jitted.search(path.read_text())]


def test_a_size_that_is_a_constant(monkeypatch):
    recurrax.scan(CELL, PARAMS, XS)
    monkeypatch.setitem(globals(), "SIZE", 2)
    assert recurrax.scan(CELL, CELL.init(KEY, 1), XS).outputs.shape == (3, 2)


def test_a_program_of_another_constant_has_another_fingerprint(monkeypatch):
    before = train.fingerprint(TRAINING)
    assert train.fingerprint(TRAINING) == before
    monkeypatch.setitem(globals(), "GAIN", 0.75)
    after = train.fingerprint(TRAINING)
    assert [part for part in before if before[part] != after[part]] == ["step"]


@pytest.mark.usefixtures("quick_compile")
def test_a_loop_in_a_loss_is_traced_again(monkeypatch):
    looped = dataclasses.replace(TRAINING, loss=lambda params, xs: jax.lax.scan(body, params["w"], xs)[0][0, 0])
    before = train.fingerprint(looped)
    assert trained(looped) == GAIN**3
    monkeypatch.setitem(globals(), "GAIN", 0.75)
    assert train.fingerprint(looped)["step"] != before["step"]
    assert trained(looped) == 0.75**3


def drawn(key):
    return jnp.ones(2)


def test_a_batch_that_has_come_to_use_its_key(monkeypatch):
    def batch(key):
        return drawn(key)

    noisy = dataclasses.replace(TRAINING, batch=batch, batches=None, loss=lambda params, x: x.sum())
    with pytest.raises(ValueError, match="batch: expected something drawn"):
        train.fit(noisy)
    monkeypatch.setitem(globals(), "drawn", lambda key: jax.random.normal(key, (2,)))
    assert trained(noisy) != 2


def test_a_memory_curve_sees_it(monkeypatch):
    monkeypatch.setitem(globals(), "GAIN", 0.0)  # a state that holds the last input alone
    assert lag.memory_curve(CELL, PARAMS, NOISE, lags=(0,)).r2[0] > 0.99
    monkeypatch.setitem(globals(), "GAIN", 0.99)
    assert lag.memory_curve(CELL, PARAMS, NOISE, lags=(0,)).r2[0] < 0.9
