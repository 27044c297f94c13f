"""A cell of somebody else's, through every instrument unchanged."""

from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from lag.drawn import drawn

import recurrax
from recurrax import lag


class Params(NamedTuple):
    kernel: jax.Array
    recurrent_kernel: jax.Array
    decay: jax.Array


class Carry(NamedTuple):
    fast: jax.Array
    slow: jax.Array


@dataclass(frozen=True)
class TwoSpeeds(recurrax.Cell):
    """fast_t = tanh(x W + fast_tm1 U + slow_tm1), slow_t = a slow_tm1 + (1 - a) fast_t, a = σ(decay)."""

    hidden_size: int

    def init(self, key, input_size, dtype=jnp.float32):
        keys = jax.random.split(key, 2)
        draw = lambda key, fan_in: jax.random.normal(key, (fan_in, self.hidden_size), dtype) / 2  # noqa: E731
        return Params(draw(keys[0], input_size), draw(keys[1], self.hidden_size), jnp.ones(self.hidden_size, dtype))

    def initial_carry(self, params, batch_shape, dtype):
        return Carry(*jnp.zeros((2, *batch_shape, self.hidden_size), dtype))

    def project(self, params, x):
        return x @ params.kernel

    def recur(self, params, carry, u):
        return carry.fast @ params.recurrent_kernel

    def pointwise(self, params, carry, u, v):
        fast = jnp.tanh(u + v + carry.slow)
        a = jnp.broadcast_to(jax.nn.sigmoid(params.decay), fast.shape)
        return Carry(fast, a * carry.slow + (1 - a) * fast)

    def output(self, params, carry, u):
        return carry.fast


T, H = 12, 3


def test_goes_through_every_instrument(x64, quick_compile):
    cell = TwoSpeeds(H)
    params, xs, _ = drawn(cell, batch=(), steps=T)
    adjoint = lag.adjoint_profile(cell, params, xs)
    assert adjoint.log_norm_bptt is None
    joint = np.logaddexp(2 * adjoint.log_norm.fast, 2 * adjoint.log_norm.slow) / 2
    np.testing.assert_allclose(adjoint.log_norm_joint, joint, rtol=1e-12)

    parameter = lag.parameter_profile(cell, params, xs)
    expected = jax.grad(lambda params: recurrax.scan(cell, params, xs).outputs[-1].sum())(params)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=0, atol=1e-13), parameter.gradient, expected)

    jacobian = lag.jacobian_profile(cell, params, xs, lags=(0, 5))
    # One row of the long Jacobian is the adjoint of one output.
    row = lag.adjoint_profile(cell, params, xs, jnp.eye(H)[0]).log_norm_joint
    assert float(row[5]) <= float(jacobian.log_operator_norm[1])
    assert jacobian.log_block.fast.slow.shape == (2,)

    spectrum = lag.lyapunov_spectrum(cell, params, jnp.tile(xs, (20, 1)))
    whole = lag.jacobian_profile(cell, params, jnp.tile(xs, (20, 1)), lags=(200,))
    assert abs(float(spectrum.exponents[0] - whole.log_operator_norm[0] / 200)) < 0.05

    share = lag.carousel_share(cell, params, xs, field="slow")
    assert np.isfinite(share.log_share[1:]).all()

    matrix = lag.lag_matrix(cell, params, xs, anchors=(T - 1,), field="slow")
    np.testing.assert_allclose(matrix.log_norm_by_lag, adjoint.log_norm.slow, rtol=1e-12)

    _, noise, _ = drawn(cell, batch=(), steps=400)
    curve = lag.memory_curve(cell, params, noise, lags=range(6))
    assert 0 < float(curve.capacity) < 2 * H

    look = lag.probe(cell, lambda params, key: lag.On(params, xs), levels=None)
    np.testing.assert_allclose(look(params, None).adjoint.log_norm.fast, adjoint.log_norm.fast, rtol=1e-12)

    log_norm = lag.adjoint_profile(cell, params, noise).log_norm_joint
    assert lag.vanish_lag(log_norm) > lag.half_life(log_norm) > 0
    assert lag.fit_decay(log_norm, (10, 300)).rate < 0
    assert lag.choose_decay(log_norm, (10, 300), families=["exponential"]).family == "exponential"
