"""Keypad tones before silence: the range of spoken digits without recordings."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import jax
import jax.numpy as jnp
import numpy as np

from recurrax.tasks.task import Batch, Task, check_positive
from recurrax.typing import Key

FRAMES = 8
"""The longest tone; the shortest has half of that."""

ROWS, COLUMNS, BANDS = 4, 3, 8
KEYPAD = np.array([(3, 1), *((row, column) for row in range(3) for column in range(3))])
"""(10, 2): row and column of each digit, 0 below the 8."""


@dataclass(frozen=True)
class Tones(Task):
    """A digit of a telephone keypad sounds, then there is silence; at the last step say which digit it was.

    x_t[b] = ln(1 + e_tb + a_b g),  e_tb ~ Exp(1),  ln g ~ U[ln 10, ln 40],  a_b = 1 in the digit's two bands

    Bands 0 to 3 are the keypad's rows, 4 to 6 its columns, band 7 is never sounded: energies of noise of mean 1 and of
    a tone whose loudness differs between sequences. The tone takes the last 4 to 8 of the first 8 frames, then come
    `silence` frames of noise alone. "accuracy" is the fraction of digits told rightly.

    Fields: `silence` in frames. `lag` is the longest that a tone's first frame lies back, 7 + `silence`.

    Landmarks: knowing nothing, ln 10; knowing the row, 0.9 ln 3, since 0 is alone in its row; knowing the column,
    0.4 ln 4 + 0.6 ln 3, since 2, 5, 8 and 0 share theirs.

    >>> task = Tones(silence=4)
    >>> task.batch(jax.random.key(0), batch_size=3).xs.shape, task.lag
    ((12, 3, 8), 11)
    """

    silence: int = 16

    def __post_init__(self):
        check_positive("silence", self.silence, least=0)

    @property
    def describes(self) -> str:
        return f"the keypad digit that sounded before {self.silence} frames of silence"

    @property
    def input_size(self) -> int:
        return BANDS

    @property
    def output_size(self) -> int:
        return len(KEYPAD)

    @property
    def landmarks(self) -> Mapping[str, float]:
        return {
            "nothing known": math.log(10),
            "column known": 0.4 * math.log(4) + 0.6 * math.log(3),
            "row known": 0.9 * math.log(3),
        }

    @property
    def lag(self) -> int:
        return FRAMES - 1 + self.silence

    def with_lag(self, lag: int) -> "Tones":
        check_positive("lag", lag, least=FRAMES - 1)
        return replace(self, silence=lag - FRAMES + 1)

    def batch(self, key: Key, batch_size: int) -> Batch:
        check_positive("batch_size", batch_size)
        steps = FRAMES + self.silence
        # One draw for all: the generator is most of what there is to compile here.
        drawn = jax.random.uniform(key, (steps * BANDS + 3, batch_size), jnp.float32)
        digit, length = (jnp.floor(u * n).astype(jnp.int32) for u, n in ((drawn[-1], 10), (drawn[-2], FRAMES // 2 + 1)))
        gain = jnp.exp(math.log(10) + math.log(4) * drawn[-3])  # (B,)
        noise = -jnp.log1p(-drawn[:-3]).reshape(steps, BANDS, batch_size)
        t = jnp.arange(steps)[:, None]
        sounds = (t < FRAMES) & (t >= FRAMES // 2 - length[None])  # (T, B): the first frame is 4, 3, .. or 0
        row, column = jnp.split(jnp.asarray(KEYPAD).T[:, digit], 2)  # (1, B) each
        band = jnp.arange(BANDS)[:, None]
        active = (band == row) | (band == ROWS + column)  # (BANDS, B)
        energy = noise + jnp.where(sounds[:, None] & active[None], gain[None, None], 0.0)  # (T, BANDS, B)
        return Batch(jnp.moveaxis(jnp.log1p(energy), 1, 2), digit, every_step=False)
