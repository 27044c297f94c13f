"""Both directions of time: two scans of the same sequence, their outputs side by side."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp

from recurrax.kernels.scan import ScanResult
from recurrax.typing import Array, Carry

Scan = Callable[..., ScanResult]
"""`recurrax.scan` with its cell and parameters, or any function of xs and the other arguments of it."""


class DirectionsCarry(NamedTuple):
    """forward, after each row's last valid step; backward, after its first one."""

    forward: Carry
    backward: Carry


def bidirectional(forward: Scan, backward: Scan) -> Callable[..., ScanResult[DirectionsCarry]]:
    """A function that scans a sequence forwards and backwards.

    y_t = (y^forward_t, y^backward_t) on the last axis; the backward one has read x_{L-1}, .., x_t of a row of length L.

    An episode that begins at step t, `resets[t]`, is cut off in both directions between the steps t-1 and t: walked
    backwards, it is step t-1 that starts from the initial carry.

    Args:
        forward: a function with the arguments of `recurrax.scan` that follow its parameters, such as
            `functools.partial(recurrax.scan, cell, params)`; other options may be bound in the same way.
        backward: likewise, for the other direction; it is called with `reverse=True`.

    Returns:
        A function of xs (T, *batch, D), or a pytree of such, and of carry, a pair (forward, backward) or None, lengths,
        mask and resets as in `recurrax.scan`; it gives outputs (T, *batch, H_forward + H_backward) and the last carry
        of each direction. It refuses what the scans refuse.

    Differs from: PyTorch's `bidirectional=True` has two sets of parameters of one kind of cell, and no resets.

    References: Schuster & Paliwal (1997), section II.

    >>> from functools import partial
    >>> import jax, recurrax
    >>> cells = recurrax.LSTM(4), recurrax.GRU(2)
    >>> params = [cell.init(jax.random.key(0), input_size=3) for cell in cells]
    >>> scan = bidirectional(*(partial(recurrax.scan, *pair) for pair in zip(cells, params, strict=True)))
    >>> outputs, carry = scan(jnp.ones((5, 2, 3)), lengths=jnp.array([5, 2]))
    >>> outputs.shape, carry.forward.h.shape, carry.backward.h.shape
    ((5, 2, 6), (2, 4), (2, 2))
    """

    def scan(
        xs: Any,
        carry: DirectionsCarry | tuple[Carry, Carry] | None = None,
        *,
        lengths: Array | None = None,
        mask: Array | None = None,
        resets: Array | None = None,
    ) -> ScanResult[DirectionsCarry]:
        if carry is not None and not (isinstance(carry, tuple) and len(carry) == 2):
            raise ValueError(f"carry: expected a pair (forward, backward), got {type(carry).__name__}")
        first = DirectionsCarry(None, None) if carry is None else DirectionsCarry(*carry)
        ahead = forward(xs, first.forward, lengths=lengths, mask=mask, resets=resets)
        resets = None if resets is None else _walked_backwards(resets)
        back = backward(xs, first.backward, lengths=lengths, mask=mask, resets=resets, reverse=True)
        outputs = jnp.concatenate([ahead.outputs, back.outputs], axis=-1)
        return ScanResult(outputs, DirectionsCarry(ahead.carry, back.carry))

    return scan


def _walked_backwards(resets: Array) -> Array:
    """Resets (T, *batch) before each step of a walk from the last step to the first, at the same boundaries."""
    return jnp.concatenate([resets[1:], jnp.zeros_like(resets[:1])])
