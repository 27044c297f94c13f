import hashlib
import subprocess
import sys
import zipfile

import numpy as np
import pytest

from recurrax.tasks import JapaneseVowels, TimeSeries, japanese_vowels
from recurrax.tasks.time_series import parse_ts
from tests import made_files

HEAD = "# comment\n@problemName own\n@timeStamps false\n@classLabel true up down\n@data\n"


def test_values_dimensions_and_labels_of_a_text():
    series = parse_ts("own.ts", HEAD + "1,2.5,-3:4,5,6:up\n\n7:8e-1:down\n")
    np.testing.assert_array_equal(series.sequences[0], [[1, 4], [2.5, 5], [-3, 6]])
    np.testing.assert_array_equal(series.sequences[1], [[7, 0.8]])
    assert series.targets == ["up", "down"]
    assert series.labels == ("up", "down")


def test_targets_that_are_numbers():
    series = parse_ts("own.ts", "@targetLabel true\n@data\n1,2:0.5\n3:1.5\n")
    np.testing.assert_array_equal(series.targets, [0.5, 1.5])
    assert series.labels == ()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (HEAD + "1,x:2,3:up", r"own.ts, line 6: expected a finite number, got 'x'"),
        (HEAD + "1,?:2,3:up", r"own.ts, line 6: expected a finite number, got '\?'"),
        (HEAD + "1,2:3:up", r"own.ts, line 6: expected dimensions of one length, got lengths \[1, 2\]"),
        (HEAD + "1:2:up\n1:up", r"own.ts, line 7: expected 2 dimensions and a label, .* got 1 dimensions"),
        (HEAD + "up", r"own.ts, line 6: expected at least one dimension and a label, .* got 0 dimensions"),
        (HEAD + "1:left", r"own.ts, line 6: expected a label of @classLabel, one of \['up', 'down'\], got 'left'"),
        ("@data\n1:up", r"own.ts, line 2: expected a label of @classLabel, one of \[\], got 'up'"),
        ("@timeStamps true", "own.ts, line 1: expected @timeStamps false, got '@timeStamps true'"),
        ("1,2,3", "own.ts, line 1: expected a line with @ or # before @data, got '1,2,3'"),
        (HEAD, "own.ts: expected series after a line @data, got none"),
        ("@targetLabel true\n@data\n1:up", "own.ts, line 3: expected a finite number, got 'up'"),
    ],
)
def test_a_bad_text_is_told_by_file_and_line(text, said):
    with pytest.raises(ValueError, match=said):
        parse_ts("own.ts", text)


def test_the_file_of_the_test_is_what_is_held_out(tmp_path):
    made_files.write_ts(tmp_path / "own_TRAIN.ts", made_files.series(6, seed=1))
    made_files.write_ts(tmp_path / "own_TEST.ts", made_files.series(4, seed=2))
    task = TimeSeries(str(tmp_path / "own_TRAIN.ts"))
    assert (len(task.data.train.targets), len(task.data.held.targets)) == (6, 4)
    steps = np.concatenate(made_files.series(6, seed=1))
    expected = [(sequence - steps.mean(axis=0)) / steps.std(axis=0) for sequence in made_files.series(4, seed=2)]
    held = task.held_out(4)
    for row, sequence in enumerate(expected):
        np.testing.assert_allclose(held.xs[-len(sequence) :, row], sequence, rtol=1e-5, atol=1e-6)
    assert task.source.startswith("own_TRAIN.ts, 10 series, SHA-256 ")
    assert [task.data.labels[target] for target in held.targets.tolist()] == ["a", "b", "a", "b"]


def test_a_file_that_is_no_text_is_told_so(tmp_path):
    path = tmp_path / "own.ts"
    path.write_bytes(b"# caf\xe9\n")
    with pytest.raises(ValueError, match=r"own.ts, line 1: expected text in UTF-8, got b'\\xe9'"):
        TimeSeries(str(path)).data  # noqa: B018


@pytest.fixture
def vowels(tmp_path, monkeypatch):
    """Two files with the names of the real ones, whose checksums are then taken for the real ones'."""
    folder = tmp_path / "unpacked" / "aeon" / "data"
    folder.mkdir(parents=True)
    for seed, name in enumerate(japanese_vowels.FILES):
        made_files.write_ts(folder / name, made_files.series(12, features=12, seed=seed), labels="123456789")
    digests = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in japanese_vowels.FILES}
    monkeypatch.setattr(japanese_vowels, "FILES", digests)
    return folder


def test_vowels_are_read_from_a_wheel_or_what_was_unpacked_from_one(vowels, tmp_path):
    wheel = tmp_path / "aeon-1-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as packed:
        for path in vowels.iterdir():
            packed.write(path, f"aeon/data/{path.name}")
    one, other = (JapaneseVowels(str(path)).with_lag(7) for path in (wheel, tmp_path / "unpacked"))
    np.testing.assert_array_equal(one.held_out(5).xs, other.held_out(5).xs)
    assert (one.input_size, one.output_size, len(one.data.held.targets)) == (12, 9, 12)


def test_vowels_with_another_checksum_are_refused(vowels):
    path = vowels / "JapaneseVowels_TEST.ts"
    path.write_text(path.read_text() + "\n")
    with pytest.raises(
        ValueError, match=r"expected JapaneseVowels_TEST.ts with SHA-256 [0-9a-f]{64}, got [0-9a-f]{64}"
    ):
        JapaneseVowels(str(vowels)).data  # noqa: B018


def test_without_vowels_it_says_where_they_are(tmp_path):
    said = "path: expected the wheel of the package aeon or a folder that holds JapaneseVowels_TRAIN.ts, got .* fetches"
    for path in (tmp_path, tmp_path / "none.whl"):
        with pytest.raises(FileNotFoundError, match=said):
            JapaneseVowels(str(path)).data  # noqa: B018


def test_the_package_is_never_imported():
    code = "import sys; import recurrax.tasks.japanese_vowels; print('aeon' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "False\n"
