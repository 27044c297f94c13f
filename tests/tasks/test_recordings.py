import math

import numpy as np
import pytest

from recurrax.tasks import Recordings
from recurrax.tasks.recordings import log_mel, mel_centres, mel_weights, read_wav
from tests import made_files


def tone(hertz, samples=16_000):
    return 0.5 * np.sin(2 * np.pi * hertz * np.arange(samples) / 16_000)


@pytest.mark.parametrize("bands", [20, 40])
@pytest.mark.parametrize("hertz", [300.0, 1000.0, 4000.0])
def test_a_tone_lands_in_the_band_whose_peak_is_nearest_in_mel(hertz, bands):
    mel = 2595 * math.log10(1 + hertz / 700)
    step = 2595 * math.log10(1 + 8000 / 700) / (bands + 1)
    loudest = log_mel(tone(hertz), bands).argmax(axis=1)
    assert (loudest == round(mel / step) - 1).all()


def test_1000_hertz_are_1000_mel():
    """The scale's own fixed point, to the rounding of its constants."""
    centres = mel_centres(40)
    mel = 2595 * np.log10(1 + centres / 700)
    np.testing.assert_allclose(np.diff(mel), mel[1], rtol=1e-9)
    assert (centres[0], centres[-1]) == (0, pytest.approx(8000))
    assert 2595 * math.log10(1 + 1000 / 700) == pytest.approx(1000, abs=0.05)


def test_bands_overlap_to_1_between_the_first_peak_and_the_last():
    f, centres = np.fft.rfftfreq(512, 1 / 16_000), mel_centres(10)
    between = (f >= centres[1]) & (f <= centres[-2])
    np.testing.assert_allclose(mel_weights(10).sum(axis=1)[between], 1, rtol=1e-12)


@pytest.mark.parametrize(("samples", "frames"), [(400, 1), (559, 1), (560, 2), (16_000, 98)])
def test_a_frame_every_10_milliseconds(samples, frames):
    silence = log_mel(np.zeros(samples), bands=5)
    assert silence.shape == (frames, 5)
    np.testing.assert_allclose(silence, math.log(1e-10))


def test_energy_of_a_frame_by_parseval():
    """With all bands together, a tone away from the edges has the energy of its window: N/2 Σ (a w)² / 2."""
    energy = np.exp(log_mel(tone(1000.0, 400), bands=10)).sum()
    window = 0.5 * np.hanning(400) * np.sin(2 * np.pi * 1000 * np.arange(400) / 16_000)
    assert energy == pytest.approx(512 / 2 * np.sum(window**2), rel=1e-3)


def test_folders_are_classes_and_samples_are_read_as_written(tmp_path):
    task = made_files.recordings(tmp_path)
    assert task.data.labels == ("a", "b")
    assert (task.input_size, task.output_size, task.lag) == (3, 2, 2)
    assert task.source.startswith("wavs, 48 recordings, SHA-256 ")
    made_files.write_wav(tmp_path / "one.wav", tone(440.0))
    np.testing.assert_allclose(read_wav(tmp_path / "one.wav"), tone(440.0), atol=2**-15)


def test_bad_files_are_told_by_name(tmp_path):
    path = tmp_path / "a" / "b.wav"
    made_files.write_wav(path, tone(440.0), rate=8000)
    with pytest.raises(ValueError, match=r"b.wav: expected Hz, channels, bits \(16000, 1, 16\), got \(8000, 1, 16\)"):
        read_wav(path)
    path.write_bytes(b"none")
    with pytest.raises(ValueError, match=r"b.wav: expected a WAV file, got one that cannot be read"):
        read_wav(path)
    made_files.write_wav(path, tone(440.0, 399))
    with pytest.raises(ValueError, match=r"b.wav: expected at least 400 samples, got 399"):
        Recordings(str(tmp_path)).data  # noqa: B018
    with pytest.raises(ValueError, match=r"empty: expected folders of .wav files, one for each class, got none"):
        Recordings(str(tmp_path / "empty")).data  # noqa: B018
