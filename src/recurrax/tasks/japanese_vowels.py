"""Japanese vowels of Kudo, Toyama & Shimbo (1999): recorded speech, read from the files of the package aeon."""

import functools
import hashlib
import zipfile
from dataclasses import dataclass
from pathlib import Path

from recurrax.tasks.examples import Data
from recurrax.tasks.sequences import Sequences
from recurrax.tasks.task import check_positive
from recurrax.tasks.time_series import of_parts

FILES = {
    "JapaneseVowels_TRAIN.ts": "68a430eabd919cc77f40b1f5f3bc0dcafacc1486bca9260785aeb7d262cc78cd",
    "JapaneseVowels_TEST.ts": "b3d41d6a0ca3bcad3afb9ca7d4365382aa51341e2e58bae2a574babdda5b9462",
}
"""SHA-256 of the files trained on and held out."""


@dataclass(frozen=True)
class JapaneseVowels(Sequences):
    """After an utterance of two vowels and `silence` frames, say which of nine men spoke.

    270 utterances are trained on and 370 held out, each of 7 to 29 frames of 12 cepstral coefficients. The files lie in
    the package aeon, which is neither installed nor imported: `pip download --no-deps aeon` fetches its wheel. See
    `Sequences` for features, mask, scores and landmarks; silence is zeros, the mean of every feature.

    Fields: `path` of the wheel, or of a folder with the two files anywhere in it; `silence` in frames. `lag` is 28 +
    `silence`.
    """

    path: str
    silence: int = 0

    def __post_init__(self):
        check_positive("silence", self.silence, least=0)

    @property
    def data(self) -> Data:
        return _read(self.path)


@functools.cache
def _read(path: str) -> Data:
    texts = []
    for name, digest in FILES.items():
        content = _content(Path(path), name)
        got = hashlib.sha256(content).hexdigest()
        if got != digest:
            raise ValueError(f"{path}: expected {name} with SHA-256 {digest}, got {got}")
        texts.append(content.decode("utf-8"))
    return of_parts(next(iter(FILES)), *texts)


def _content(path: Path, name: str) -> bytes:
    if path.is_dir():
        found = next(iter(sorted(path.rglob(name))), None)
        if found is not None:
            return found.read_bytes()
    elif zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as wheel:
            inside = [entry for entry in wheel.namelist() if entry.rpartition("/")[2] == name]
            if inside:
                return wheel.read(inside[0])
    raise FileNotFoundError(
        f"path: expected the wheel of the package aeon or a folder that holds {name}, got {str(path)!r}; "
        "`pip download --no-deps aeon` fetches the wheel"
    )
