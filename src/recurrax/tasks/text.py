"""What tasks on text share: windows of it, a held-out part, and what counting foretells of that."""

import abc
import math
from collections.abc import Mapping
from typing import Self

import jax
import jax.numpy as jnp
import numpy as np

from recurrax.tasks.corpus import Corpus, bigram_entropy, unigram_entropy
from recurrax.tasks.ngrams import ngram_log_probabilities
from recurrax.tasks.task import Batch, Task, check_positive
from recurrax.typing import Array, Key


class Text(Task):
    """At every step say the next character.

    x_t = onehot(c_t),  target c_{t+1},  windows c_s .. c_{s+T} with s uniform over the corpus

    The loss is in nats per character; `recurrax.tasks.bits` converts. "accuracy" is the fraction of characters
    foretold. A class of such tasks has a field `length`, T in steps, and says which text it is.
    """

    length: int

    @property
    @abc.abstractmethod
    def corpus(self) -> Corpus:
        """The text trained on, read on first use."""

    @property
    @abc.abstractmethod
    def held_out_ids(self) -> np.ndarray:
        """The text that no training sees, as positions in the corpus's vocabulary, (M,) uint8."""

    @property
    def unit(self) -> str:
        return "nats per character"

    @property
    def input_size(self) -> int:
        return len(self.corpus.vocabulary)

    @property
    def output_size(self) -> int:
        return len(self.corpus.vocabulary)

    @property
    def every_step(self) -> bool:
        return True

    @property
    def landmarks(self) -> Mapping[str, float]:
        """Nothing known, ln of the vocabulary's size; H(c_t); H(c_{t+1} | c_t), the best without memory."""
        corpus = self.corpus
        return {
            "nothing known": math.log(len(corpus.vocabulary)),
            "frequencies known": unigram_entropy(corpus),
            "current character known": bigram_entropy(corpus),
        }

    @property
    def lag(self) -> int:
        return self.length - 1

    @abc.abstractmethod
    def with_lag(self, lag: int) -> Self: ...

    def batch(self, key: Key, batch_size: int) -> Batch:
        check_positive("batch_size", batch_size)
        ids = self.corpus.ids
        last = self._last_start(ids)
        return self._windows(ids, jax.random.randint(key, (1, batch_size), 0, last + 1))

    def held_out(self, batch_size: int) -> Batch:
        """B windows, evenly spaced, of the text that is held out.

        Raises:
            ValueError: no text is left there, or less than B windows.
        """
        check_positive("batch_size", batch_size)
        ids = self.held_out_ids
        last = self._last_start(ids)
        if batch_size > last + 1:
            raise ValueError(f"batch_size: expected at most the {last + 1} windows that are held out, got {batch_size}")
        return self._windows(ids, jnp.asarray(np.linspace(0, last, batch_size).astype(np.int32)[None]))

    def after_context(self, context: int, batch_size: int, longest: int = 256) -> Batch:
        """B held-out characters, evenly spaced, each to be told from the `context` characters before it alone.

        The characters are the same for every context up to the longest, so losses differ by the context alone.

        Args:
            context: n in characters, from 1 to `longest`.
            batch_size: B.
            longest: of the contexts compared.

        Returns:
            A Batch with xs (n, B, D) and targets (B,), for predictions at the last step.

        Raises:
            ValueError: a context longer than `longest`, or less than B characters with such a context are held out.

        >>> from recurrax.tasks import Characters
        >>> short, long = (Characters(max_bytes=10_000).after_context(n, 5, longest=30) for n in (1, 30))
        >>> short.xs.shape[0], long.xs.shape[0], (short.targets == long.targets).all().item()
        (1, 30, True)
        """
        check_positive("context", context)
        if context > longest:
            raise ValueError(f"context: expected at most the longest, {longest}, got {context}")
        ids, places = self.held_out_ids, self._places(batch_size, longest)
        window = ids[places - context + np.arange(context + 1)[:, None]].astype(np.int32)  # (n + 1, B)
        xs = jax.nn.one_hot(window[:-1], self.input_size, dtype=jnp.float32)
        return Batch(xs=xs, targets=jnp.asarray(window[-1]), every_step=False)

    def held_out_landmarks(self, batch_size: int, longest: int = 256, order: int = 8) -> Mapping[str, float]:
        """What n-grams counted in the text trained on lose on the characters of `after_context`, by name.

        An n-gram looks n - 1 characters back: the "2-gram" stands beside the context 1. Those from 2 on are
        interpolated with the shorter ones, see `recurrax.tasks.ngrams`.

        Returns:
            "1-gram" to "`order`-gram", in nats per character.
        """
        check_positive("order", order)
        longest = max(longest, order - 1)
        corpus, held, places = self.corpus, self.held_out_ids, self._places(batch_size, longest)
        logs = ngram_log_probabilities(corpus.ids, held, len(corpus.vocabulary), order)
        losses = -logs[:, places - order + 1].mean(axis=1)
        return {f"{n}-gram": float(loss) for n, loss in enumerate(losses, 1)}

    def _places(self, batch_size: int, longest: int) -> np.ndarray:
        """(B,) places of held-out characters that have `longest` others before them."""
        check_positive("batch_size", batch_size)
        count = self.held_out_ids.size - longest
        if batch_size > count:
            raise ValueError(
                f"batch_size: expected at most the {max(count, 0)} characters that are held out with {longest} before "
                f"them, got {batch_size}"
            )
        return longest + np.linspace(0, count - 1, batch_size).astype(np.int64)

    def _last_start(self, ids: np.ndarray) -> int:
        if ids.size <= self.length:
            raise ValueError(f"length: expected less than the text's {ids.size} characters, got {self.length}")
        return ids.size - self.length - 1

    def _windows(self, ids: np.ndarray, starts: Array) -> Batch:
        """The windows of T + 1 characters from each of the starts (1, B)."""
        windows = jnp.asarray(ids)[starts + jnp.arange(self.length + 1)[:, None]].astype(jnp.int32)  # (T+1, B)
        xs = jax.nn.one_hot(windows[:-1], self.input_size, dtype=jnp.float32)
        return Batch(xs=xs, targets=windows[1:], every_step=True)
