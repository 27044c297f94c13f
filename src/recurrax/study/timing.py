"""How long calls take beside each other, and what they compile."""

import time
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np

Call = Callable[[], Any]


def interleaved(calls: Mapping[str, Call], rounds: int, seconds: float = 0.0) -> dict[str, np.ndarray]:
    """Seconds (R,) of every call in every round; all run in turn, so a slow moment hits them alike.

    Each round has an order of its own: whoever always came next after a large matrix product, or after a library whose
    threads go on spinning for a while, would pay for them. Every call is made once before, untimed.

    Args:
        calls: by name; each gives its result, which is waited for.
        rounds: at least so many.
        seconds: rounds go on for at least so long.

    >>> times = interleaved({"one": lambda: 1, "two": lambda: 2}, rounds=3)
    >>> {name: of.shape for name, of in times.items()}
    {'one': (3,), 'two': (3,)}
    """
    for call in calls.values():
        jax.block_until_ready(call())
    times: dict[str, list[float]] = {name: [] for name in calls}
    order = np.random.default_rng(0)
    end = time.perf_counter() + seconds
    while len(next(iter(times.values()))) < rounds or time.perf_counter() < end:
        for name in order.permutation(list(calls)).tolist():
            begun = time.perf_counter()
            jax.block_until_ready(calls[name]())
            times[name].append(time.perf_counter() - begun)
    return {name: np.array(of) for name, of in times.items()}


def compilations(call: Call) -> list[str]:
    """The programs that are compiled during a call, by the name of the function that each is made of."""
    names: list[str] = []

    def note(event: str, duration_secs: float, **about: str | int) -> None:
        del duration_secs
        if event == "/jax/core/compile/backend_compile_duration":
            names.append(str(about["fun_name"]).removeprefix("jit(").removesuffix(")"))

    jax.monitoring.register_event_duration_secs_listener(note)
    try:
        jax.block_until_ready(call())
    finally:
        jax.monitoring.unregister_event_duration_listener(note)
    return names
