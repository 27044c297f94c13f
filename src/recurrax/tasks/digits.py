"""Handwritten digits, one pixel a step: scikit-learn's copy of the UCI set of Alpaydin & Kaynak (1998)."""

import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from recurrax.extras import require
from recurrax.tasks.task import Batch, Task, check_positive
from recurrax.typing import Array, Key

PIXELS, CLASSES, HELD_OUT = 64, 10, 297


class Images(NamedTuple):
    """pixels (N, 64) float32 from 0 to 1, row after row of 8; digits (N,) int32."""

    pixels: np.ndarray
    digits: np.ndarray


@dataclass(frozen=True)
class Digits(Task):
    """An image of 8x8 pixels is read pixel by pixel, then come blanks; at the last step say which digit it was.

    x_t = pixel t of 64, row after row, from 0 to 1;  then `blanks` zeros

    1500 images are trained on and 297 held out, a split fixed by seed 0. scikit-learn brings them, and is loaded when
    they are first asked for: pip install "recurrax[data]". "accuracy" is the fraction of images told rightly.

    Fields: `blanks` in steps. `lag` is that of the first pixel, 63 + `blanks`.

    Landmarks: knowing nothing, ln 10; and what logistic regression, fitted to the images trained on, loses on those
    held out: on the sum of the pixels, which turns out to tell nothing, on the last row, on all pixels.

    >>> Digits(blanks=10).lag, Digits().with_lag(100)
    (73, Digits(blanks=37))
    """

    blanks: int = 0

    def __post_init__(self):
        check_positive("blanks", self.blanks, least=0)

    @property
    def describes(self) -> str:
        return f"which digit an image showed, {self.blanks} steps after its last pixel"

    @property
    def input_size(self) -> int:
        return 1

    @property
    def output_size(self) -> int:
        return CLASSES

    @property
    def landmarks(self) -> Mapping[str, float]:
        return {"nothing known": math.log(CLASSES)} | dict(_regressions())

    @property
    def lag(self) -> int:
        return PIXELS - 1 + self.blanks

    def with_lag(self, lag: int) -> "Digits":
        check_positive("lag", lag, least=PIXELS - 1)
        return Digits(blanks=lag - PIXELS + 1)

    def batch(self, key: Key, batch_size: int) -> Batch:
        check_positive("batch_size", batch_size)
        train, _ = images()
        return self._shown(train, jax.random.randint(key, (batch_size,), 0, len(train.digits)))

    def held_out(self, batch_size: int) -> Batch:
        """The first B held-out images.

        Raises:
            ValueError: there are less than B.
        """
        check_positive("batch_size", batch_size)
        if batch_size > HELD_OUT:
            raise ValueError(f"batch_size: expected at most the {HELD_OUT} images held out, got {batch_size}")
        return self._shown(images()[1], jnp.arange(batch_size))

    def _shown(self, shown: Images, chosen: Array) -> Batch:
        pixels = jnp.asarray(shown.pixels)[chosen].T[..., None]  # (64, B, 1)
        xs = jnp.concatenate([pixels, jnp.zeros((self.blanks, *pixels.shape[1:]))])
        return Batch(xs, jnp.asarray(shown.digits)[chosen], every_step=False)


@functools.cache
def images() -> tuple[Images, Images]:
    """The images trained on, and those held out.

    Raises:
        ModuleNotFoundError: scikit-learn is not installed.
    """
    pixels, digits = require("sklearn.datasets", "data").load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(digits))
    parts = order[:-HELD_OUT], order[-HELD_OUT:]
    train, held = (Images((pixels[part] / 16).astype(np.float32), digits[part].astype(np.int32)) for part in parts)
    return train, held


@functools.cache
def _regressions() -> tuple[tuple[str, float], ...]:
    """Losses on held-out images of logistic regressions with scikit-learn's default penalty, C = 1.

    Features have mean 0 and variance 1 over the images trained on: the sum varies by little, and else would cost much.
    """
    linear = require("sklearn.linear_model", "data")
    train, held = images()
    features = {
        "logistic regression on the sum": lambda pixels: pixels.sum(axis=1, keepdims=True),
        "logistic regression on the last row": lambda pixels: pixels[:, -8:],
        "logistic regression on all pixels": lambda pixels: pixels,
    }
    losses = []
    for name, of in features.items():
        xs, others = (of(part.pixels.astype(float)) for part in (train, held))
        mean, scale = xs.mean(axis=0), np.where(xs.std(axis=0) > 0, xs.std(axis=0), 1)
        fitted = linear.LogisticRegression(max_iter=1000).fit((xs - mean) / scale, train.digits)
        shares = fitted.predict_proba((others - mean) / scale)
        losses.append((name, float(-np.log(shares[np.arange(HELD_OUT), held.digits]).mean())))
    return tuple(losses)
