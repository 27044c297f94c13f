"""Linear algebra in matrix products, for small matrices in long loops.

On an idle machine LAPACK would do. On a busy one its threads wait for each other and for those of XLA inside every step
of the loop: 200 steps of the spectrum of an LSTM with 128 units took 108 s instead of 1 s on two cores with four other
processes, and an SVD ten times as long and more (jaxlib 0.10.2). What XLA itself runs shares the cores with less harm.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.linalg import solve_triangular

from recurrax.typing import Array

_PANEL = 32
"""Most vectors reflected one after the other before all others follow in one product."""


def orthonormal(vectors: Array) -> tuple[Array, Array]:
    """Q and ln |R_ii| of the QR decomposition Vᵀ = Qᵀ R of vectors V of any rank, by Householder reflections.

    H_j = I - v_j v_jᵀ with ‖v_j‖² = 2 turns what is left of vector j to e_j; the reflections of a panel of b vectors
    are applied together, H_1 ⋯ H_b = I - Wᵀ V with w_j = v_j - W_{<j}ᵀ V_{<j} v_j.

    Args:
        vectors: (N, n) with N <= n, floating.

    Returns:
        Q (N, n) of orthonormal vectors; ln |R_ii| (N,), -inf where a vector is zero.

    References: Bischof & Van Loan (1987) for products of reflections as I - Wᵀ V.

    >>> q, log_diagonal = orthonormal(jnp.array([[3.0, 4.0], [4.0, 3.0]]))
    >>> [round(float(r), 4) for r in jnp.exp(log_diagonal)], bool(jnp.allclose(q @ q.T, jnp.eye(2), atol=1e-6))
    ([5.0, 1.4], True)
    """
    return _orthonormal(vectors)


@jax.custom_jvp
def _orthonormal(vectors: Array) -> tuple[Array, Array]:
    count, size = vectors.shape
    panels = math.ceil(count / _PANEL)
    width = math.ceil(count / panels)
    # Squares of entries near 1 neither underflow nor overflow.
    largest = jnp.max(jnp.abs(vectors))
    scale = jnp.where(largest > 0, largest, 1)
    padded = jnp.zeros((panels * width, size), vectors.dtype).at[:count].set(vectors / scale)

    def reduce(rest: Array, start: Array) -> tuple[Array, tuple[Array, Array, Array]]:
        v, w, diagonal = _reflect(jax.lax.dynamic_slice_in_dim(rest, start, width), start)
        return rest - (rest @ w.T) @ v, (v, w, diagonal)

    def turn_back(q: Array, panel: tuple[Array, Array]) -> tuple[Array, None]:
        v, w = panel
        return q - (q @ v.T) @ w, None

    # v, w (panels, b, n); diagonal (panels, b)
    _, (v, w, diagonal) = jax.lax.scan(reduce, padded, width * jnp.arange(panels))
    q, _ = jax.lax.scan(turn_back, jnp.eye(count, size, dtype=vectors.dtype), (v, w), reverse=True)
    return q, jnp.log(diagonal.reshape(-1)[:count]) + jnp.log(scale)


@_orthonormal.defjvp
def _orthonormal_jvp(primals: tuple[Array], tangents: tuple[Array]) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
    """Of A = Q R, with M = Qᵀ dA R⁻¹ and X the skew matrix that M has below its diagonal (Walter & Lehmann 2010).

    dQ = Q (X - M) + dA R⁻¹,  d ln |R_ii| = M_ii

    A vector lost to rounding has the derivative 0, and so have those after it along it.
    """
    (vectors,), (change,) = primals, tangents
    q, log_diagonal = _orthonormal(vectors)
    lost = log_diagonal <= log_diagonal.max() + np.log(vectors.size * float(jnp.finfo(vectors.dtype).eps))  # (N,)
    r = jnp.where(lost[:, None] | lost[None], jnp.eye(len(vectors), dtype=q.dtype), jnp.triu(q @ vectors.T))
    change = jnp.where(lost[:, None], 0, change)
    # (dA R⁻¹)ᵀ = R⁻ᵀ dAᵀ, as rows like Q's.
    scaled = solve_triangular(r, change, trans="T")  # (N, n)
    m = q @ scaled.T  # (N, N)
    below = jnp.tril(m, -1)
    return (q, log_diagonal), ((below - below.T - m).T @ q + scaled, jnp.diagonal(m))


def _reflect(panel: Array, start: Array) -> tuple[Array, Array, Array]:
    """V and W (b, n) of the reflections that turn vector j of a panel (b, n) to e_{start+j}, and |R_jj| (b,)."""
    place = jnp.arange(panel.shape[1]) - start

    def one(j: Array, found: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        v, w, diagonal = found
        own = place == j
        x = jnp.where(place >= j, panel[j] - (w @ panel[j]) @ v, 0)
        norm, head = jnp.sqrt(jnp.sum(jnp.square(x))), jnp.sum(jnp.where(own, x, 0))
        # v ∝ x + sign(x_j) ‖x‖ e_j, whose square is 2 ‖x‖ (‖x‖ + |x_j|); zeros need no turning.
        half = norm * (norm + jnp.abs(head))
        turned = x + jnp.where(own, jnp.where(head < 0, -norm, norm), 0)
        v_j = turned / jnp.sqrt(jnp.where(half > 0, half, 1))
        w_j = v_j - (v @ v_j) @ w
        return v.at[j].set(v_j), w.at[j].set(w_j), diagonal.at[j].set(norm)

    zeros = jnp.zeros_like(panel)
    return jax.lax.fori_loop(0, panel.shape[0], one, (zeros, zeros, jnp.zeros(panel.shape[0], panel.dtype)))


def log_largest_singular_value(matrix: Array) -> Array:
    """Ln σ₁ by repeated squaring, to rounding.

    ln σ₁² = lim 2^-m ln tr G^{2^m},  G = M Mᵀ

    With G^{2^m} scaled to a trace of 1, what is missing of ln σ₁² is at most -2^-m ln ‖G^{2^m}‖_F²: squaring goes on
    until that is below rounding, 5 to 10 times where few directions lead, log₂(1/ε) times where all are alike.

    Args:
        matrix: (m, n), floating.

    Returns:
        ln σ₁ (), -inf for zeros, NaN for what is not finite.

    >>> round(float(jnp.exp(log_largest_singular_value(jnp.array([[3.0, 4.0], [0.0, 5.0]])))), 4)
    6.7082
    """
    largest = jnp.max(jnp.abs(jax.lax.stop_gradient(matrix)))  # it drops out, and so its gradient does
    scale = jnp.where(largest > 0, largest, 1)
    # The smaller of M Mᵀ and Mᵀ M, which have the same σ₁².
    wide = matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T
    return jnp.where(largest > 0, _log_largest(wide / scale), -jnp.inf) + jnp.log(scale)


@jax.custom_jvp
def _log_largest(matrix: Array) -> Array:
    return _squared(matrix)[0]


@_log_largest.defjvp
def _log_largest_jvp(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    """With P = G^{2^m}, to rounding the projector on the leading directions, d ln σ₁ = ⟨P M, dM⟩ / ⟨P M, M⟩."""
    (matrix,), (change,) = primals, tangents
    log_largest, power = _squared(matrix)
    leading = power @ matrix
    total = jnp.sum(leading * matrix)
    return log_largest, jnp.sum(leading * change) / jnp.where(total > 0, total, 1)


def _squared(matrix: Array) -> tuple[Array, Array]:
    """Ln σ₁ of a matrix near 1 and the last power of its G, of trace 1."""
    gram = matrix @ matrix.T

    def unfinished(found: tuple[Array, Array, Array]) -> Array:
        power, _, weight = found
        return -jnp.log(jnp.sum(jnp.square(power))) * weight > jnp.finfo(gram.dtype).eps

    def square(found: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        power, log_square, weight = found
        power, log_trace = _unit_trace(power @ power)
        return power, log_square + log_trace * weight / 2, weight / 2

    power, log_trace = _unit_trace(gram)
    power, log_square, _ = jax.lax.while_loop(unfinished, square, (power, log_trace, jnp.ones((), gram.dtype)))
    return log_square / 2, power


def _unit_trace(gram: Array) -> tuple[Array, Array]:
    trace = jnp.trace(gram)
    trace = jnp.where(trace > 0, trace, 1)
    return gram / trace, jnp.log(trace)
