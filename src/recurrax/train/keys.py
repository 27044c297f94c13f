"""Where randomness comes from: every draw of a run is a function of its seed, and a batch's also of its step."""

import jax

from recurrax.typing import Array, Key

_INIT, _BATCH, _PROBE = range(3)


def init_key(seed: int | Array) -> Key:
    """The key a seed's parameters are drawn with."""
    return jax.random.fold_in(jax.random.key(seed), _INIT)


def batch_key(seed: int | Array, step: int | Array) -> Key:
    """The key of the batch that a seed sees at a step, so that a resumed run sees what the whole run would have.

    >>> (batch_key(3, 7) == batch_key(3, 7)).item(), (batch_key(3, 7) == batch_key(3, 8)).item()
    (True, False)
    """
    return jax.random.fold_in(jax.random.fold_in(jax.random.key(seed), _BATCH), step)


def probe_key(seed: int | Array) -> Key:
    """The key of a seed's probes, the same at every step: what changes in a probe is then the parameters' doing."""
    return jax.random.fold_in(jax.random.key(seed), _PROBE)
