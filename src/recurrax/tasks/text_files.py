"""Next-character prediction on text files of one's own."""

import functools
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from recurrax.tasks.corpus import Corpus, encode, from_bytes
from recurrax.tasks.task import check_positive
from recurrax.tasks.text import Text


@dataclass(frozen=True)
class TextFiles(Text):
    """At every step say the next character, a byte, of a text file, or of all files *.txt of a folder.

    x_t = onehot(c_t),  target c_{t+1},  windows c_s .. c_{s+T} with s uniform over the text trained on

    The files are joined in the order of their names and read once per process; the last tenth of the text is held out.
    See `Text` for landmarks, contexts and n-grams.

    Fields: `path` of a file or folder; `length` T in steps. `lag` is the longest a window has, T - 1.
    """

    path: str
    length: int = 100

    def __post_init__(self):
        check_positive("length", self.length)

    @property
    def corpus(self) -> Corpus:
        return _parts(self.path)[0]

    @property
    def held_out_ids(self) -> np.ndarray:
        return _parts(self.path)[1]

    @property
    def describes(self) -> str:
        return f"the next character of a text, one of {self.output_size} symbols"

    @property
    def source(self) -> str:
        """Which text it is, to be recorded with every result."""
        return f"{Path(self.path).name}, {len(self.corpus.ids)} bytes trained on, SHA-256 {self.corpus.sha256}"

    def with_lag(self, lag: int) -> "TextFiles":
        check_positive("lag", lag)
        return replace(self, length=lag + 1)


@functools.cache
def _parts(path: str) -> tuple[Corpus, np.ndarray]:
    """The text trained on, and that held out."""
    root = Path(path)
    files = sorted(root.glob("*.txt")) if root.is_dir() else [root]
    text = b"".join(file.read_bytes() for file in files)
    if len(text) < 1000:
        raise ValueError(f"{root}: expected at least 1000 bytes of text, got {len(text)} in {len(files)} files")
    cut = len(text) - len(text) // 10
    corpus = from_bytes(text[:cut], files=tuple(file.name for file in files))
    return corpus, encode(corpus.vocabulary, text[cut:])
