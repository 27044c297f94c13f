import math
from collections import Counter

import jax
import numpy as np
import pytest

from recurrax.tasks import Tones

KEYPAD = ("123", "456", "789", " 0 ")
pytestmark = pytest.mark.usefixtures("quick_compile")
ROWS = 20_000


@pytest.fixture(scope="module")
def drawn():
    task = Tones(silence=3)
    batch = jax.jit(task.batch, static_argnums=1)(jax.random.key(0), ROWS)
    return task, np.expm1(np.asarray(batch.xs, np.float64)), np.asarray(batch.targets)


def where(digit):
    return next((row, keys.index(str(digit))) for row, keys in enumerate(KEYPAD) if str(digit) in keys)


@pytest.mark.parametrize(("axis", "name"), [(0, "row known"), (1, "column known")])
def test_landmarks_by_counting_the_keys(axis, name):
    beside = Counter(where(digit)[axis] for digit in range(10))
    counted = sum(math.log(beside[where(digit)[axis]]) for digit in range(10)) / 10
    landmarks = Tones().landmarks
    assert landmarks[name] == pytest.approx(counted, rel=1e-12)
    assert landmarks["nothing known"] == math.log(10)
    assert landmarks["row known"] == pytest.approx(0.9 * math.log(3))


def test_two_bands_sound_and_are_the_digits(drawn):
    _, energy, digits = drawn
    louder = energy[4:8].mean(axis=0)  # (B, BANDS): all tones sound there, with 10 to 40 times the noise
    found = np.stack([louder[:, :4].argmax(axis=1), louder[:, 4:7].argmax(axis=1)], axis=1)
    right = np.array([where(digit) for digit in digits])
    assert (found == right).mean() > 0.999
    counts = np.bincount(digits, minlength=10)
    assert np.abs(counts - ROWS / 10).max() < 5 * math.sqrt(ROWS / 10)


def test_bands_of_no_tone_and_the_silence_hold_noise_of_mean_1(drawn):
    _, energy, _ = drawn
    for noise in (energy[8:], energy[:, :, 7]):
        # The standard deviation of an exponential is its mean.
        assert abs(noise.mean() - 1) < 5 / math.sqrt(noise.size)
        assert noise.var() == pytest.approx(1, abs=0.05)


def test_tones_last_4_to_8_frames_and_end_together(drawn):
    task, energy, digits = drawn
    rows = np.array([where(digit)[0] for digit in digits])
    sounding = energy[:, np.arange(ROWS), rows]  # (T, B)
    means = sounding.mean(axis=1)
    gain = 30 / math.log(4)  # E[g] of a logarithm uniform from ln 10 to ln 40
    for frame, share in enumerate([0.2, 0.4, 0.6, 0.8, 1, 1, 1, 1, 0, 0, 0]):
        deviation = sounding[frame].std() / math.sqrt(ROWS)
        assert abs(means[frame] - 1 - share * gain) < 5 * deviation + 1e-6
    assert task.lag == len(energy) - 1
