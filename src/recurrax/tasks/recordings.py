"""Recordings: folders of 16 kHz WAV files as log-mel frames."""

import functools
import hashlib
import wave
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from recurrax.tasks.examples import Data, collect
from recurrax.tasks.sequences import Sequences
from recurrax.tasks.task import check_positive

RATE, WINDOW, HOP, POINTS = 16_000, 400, 160, 512
"""Samples a second, in a frame of 25 ms, from frame to frame (10 ms), and of the Fourier transform."""


@dataclass(frozen=True)
class Recordings(Sequences):
    """After a recording and `silence` frames, say which class it was of: path/CLASS/NAME.wav.

    Files are WAV, 16 kHz, one channel, 16 bits; frames are those of `log_mel`, one every 10 ms. A fifth of every class
    is held out. See `Sequences` for features, mask, scores and landmarks.

    Fields: `path` of the folder; `silence` in frames; `bands` of a frame. `lag` is the longest recording's frames - 1 +
    `silence`.
    """

    path: str
    silence: int = 0
    bands: int = 40

    def __post_init__(self):
        check_positive("silence", self.silence, least=0)
        check_positive("bands", self.bands)

    @property
    def data(self) -> Data:
        return _read(self.path, self.bands)


def log_mel(samples: np.ndarray, bands: int = 40) -> np.ndarray:
    """Energies by frame and mel band, ln(1e-10 + Σ_f w_bf |F_f|²), F being the Fourier transform of a Hann window.

    Bands are triangles whose corners are evenly spaced on the mel scale m = 2595 log10(1 + f/700) from 0 to 8000 Hz.

    Args:
        samples: (N,) of 16 kHz, from -1 to 1, at least 400.
        bands: B.

    Returns:
        (1 + (N - 400) // 160, B).

    >>> log_mel(np.zeros(16_000), bands=8).shape
    (98, 8)
    """
    frames = np.lib.stride_tricks.sliding_window_view(samples, WINDOW)[::HOP]
    power = np.abs(np.fft.rfft(frames * np.hanning(WINDOW), POINTS)) ** 2
    return np.log(1e-10 + power @ mel_weights(bands))


def mel_centres(bands: int) -> np.ndarray:
    """(B + 2,) Hz: where the first band begins, the peaks of all, and where the last one ends."""
    top = 2595 * np.log10(1 + RATE / 2 / 700)
    return 700 * (10 ** (np.linspace(0, top, bands + 2) / 2595) - 1)


def mel_weights(bands: int) -> np.ndarray:
    """(POINTS/2 + 1, B): the triangles, 1 at their peaks."""
    f, corners = np.fft.rfftfreq(POINTS, 1 / RATE)[:, None], mel_centres(bands)
    low, peak, high = corners[:-2], corners[1:-1], corners[2:]
    return np.maximum(0, np.minimum((f - low) / (peak - low), (high - f) / (high - peak)))


def read_wav(path: Path) -> np.ndarray:
    """The samples of a file, from -1 to 1.

    Raises:
        ValueError: it is no WAV file of 16 kHz, one channel and 16 bits, or shorter than a frame.
    """
    try:
        with wave.open(str(path)) as file:
            form = file.getframerate(), file.getnchannels(), 8 * file.getsampwidth()
            samples = file.readframes(file.getnframes())
    except (wave.Error, EOFError) as error:
        raise ValueError(f"{path}: expected a WAV file, got one that cannot be read: {error}") from error
    if form != (RATE, 1, 16):
        raise ValueError(f"{path}: expected Hz, channels, bits {(RATE, 1, 16)}, got {form}")
    values = np.frombuffer(samples, "<i2") / 2**15
    if len(values) < WINDOW:
        raise ValueError(f"{path}: expected at least {WINDOW} samples, got {len(values)}")
    return values


@functools.cache
def _read(path: str, bands: int) -> Data:
    root = Path(path)
    files = sorted(root.glob("*/*.wav"))
    if not files:
        raise ValueError(f"{root}: expected folders of .wav files, one for each class, got none")
    frames = [log_mel(read_wav(file), bands) for file in files]
    digest = hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()
    source = f"{root.name}, {len(files)} recordings, SHA-256 {digest}"
    return collect(frames, [file.parent.name for file in files], source)
