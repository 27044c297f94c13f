"""What `accelerator.py` measures is a row each: where its cells, its sizes and the words of a row are fixed.

A row is its place (cell, shape, contender, ...) and what came of it: numbers; `refused`, the sentence with which a
contender did not take part; `raised`, an error that nothing foresaw; or `left_out`, why nobody tried.
"""

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import kernel_speed
import peers
from peers import Shape

import recurrax
from recurrax.study import named
from recurrax.study.named import Name

Row = dict[str, Any]
Measure = Callable[[], Row]
Part = Callable[["Sizes"], Iterator[tuple[Row, Measure]]]
"""Places in the order in which they are measured, each with what measures it; nothing is computed before that is
called."""


@dataclass(frozen=True)
class Leaky(recurrax.Cell):
    """A user's cell, h_t = h_tm1 + σ(r) (tanh(x_t W + h_tm1 U) - h_tm1), with a learned rate r for each unit."""

    hidden_size: int

    def init(self, key: Any, input_size: int, dtype: Any = jnp.float32) -> dict[str, Any]:
        draw, size, keys = jax.nn.initializers.lecun_normal(), self.hidden_size, jax.random.split(key)
        kernel, recurrent = draw(keys[0], (input_size, size), dtype), draw(keys[1], (size, size), dtype)
        return {"W": kernel, "U": recurrent, "rate": jnp.zeros(size, dtype)}

    def initial_carry(self, params: Any, batch_shape: Any, dtype: Any) -> Any:
        return jnp.zeros((*batch_shape, self.hidden_size), dtype)

    def project(self, params: Any, x: Any) -> Any:
        return x @ params["W"]

    def recur(self, params: Any, h: Any, u: Any) -> Any:
        return u + h.astype(params["U"].dtype) @ params["U"]

    def pointwise(self, params: Any, h: Any, u: Any, v: Any) -> Any:
        rate = jax.nn.sigmoid(params["rate"]).astype(h.dtype)
        return h + rate.reshape((1,) * (h.ndim - 1) + rate.shape) * (jnp.tanh(v.astype(h.dtype)) - h)

    def output(self, params: Any, h: Any, u: Any) -> Any:
        return h


CELLS = (*named.cells(("lstm", "gru", "elman")), Name("Leaky", Leaky, (), recurrax.Cell))


@dataclass(frozen=True)
class Sizes:
    """How much is measured, and how large it is; the defaults are those of the day.

    lawful, rows, laws: cells of the laws; rows whole, or of every length from 0 on and walked backwards; (B, T, D, H).
    cells: of all other parts. shapes, kinds: of speeds, (B, T, D, H) and pairs (dtype, pass). lags, hidden, window: of
    the decay. rounds and seconds: how many, and for how long at least, calls are timed in turn. side: of the square
    matrices that measure the machine's own limits. limited: whether parts end when their seconds are over.
    """

    lawful: tuple[Name, ...] = CELLS
    rows: tuple[str, ...] = ("full", "lengths, reverse")
    laws: Shape = (16, 64, 32, 64)
    cells: tuple[Name, ...] = CELLS

    shapes: tuple[Shape, ...] = ((16, 1024, 768, 768), (64, 4096, 64, 64), *kernel_speed.SHAPES)
    kinds: tuple[tuple[str, str], ...] = tuple(itertools.product(("float32", "bfloat16"), kernel_speed.PASSES))
    lags: int = 400
    hidden: int = 128
    window: tuple[int, int] = (20, 120)
    rounds: int = 5
    seconds: float = 0.5
    side: int = 8192
    limited: bool = True


TOY = Sizes(
    lawful=(CELLS[0], CELLS[-1]), rows=("lengths, reverse",), laws=(3, 4, 2, 4), cells=named.cells(("elman",)),
    shapes=((2, 6, 3, 4),), kinds=(("float32", "training"), ("bfloat16", "forward")),
    lags=12, hidden=4, window=(2, 8), rounds=2, seconds=0.0, side=64, limited=False,
)  # fmt: skip
"""For seconds on a CPU."""


def outcome(place: Row, measure: Measure) -> Row:
    """The row of a place: what `measure` gives, or why it gives nothing."""
    try:
        with peers.refusals():
            return place | measure()
    except peers.Absent as why:
        return place | {"refused": str(why)}
    except Exception as error:  # whatever it is, the others go on; the program says so at its end
        if "RESOURCE_EXHAUSTED" in str(error):
            return place | {"refused": "it asks for more memory than the device has"}
        return place | {"raised": f"{type(error).__name__}: {error}".partition("\n")[0]}
