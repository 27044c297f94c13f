"""Pairs and TextFiles: texts read again, landmarks by hand."""

import math

import jax
import numpy as np
import pytest

from recurrax.tasks import Pairs, TextFiles

pytestmark = pytest.mark.usefixtures("quick_compile")


def write(folder, lines):
    path = folder / "own.tsv"
    path.write_text("\n".join(lines), encoding="utf-8")
    return str(path)


def test_a_batch_says_what_stands_in_the_file(tmp_path):
    lines = {f"{word}{number}": word * number for word in ("ä", "bc") for number in range(1, 6)}
    task = Pairs(path=write(tmp_path, [f"{source}\t{answer}" for source, answer in lines.items()]), pad=2)
    batch = jax.jit(task.batch, static_argnums=1)(jax.random.key(0), 30)
    read, told = np.asarray(batch.xs).argmax(axis=-1), np.asarray(batch.targets)
    sources, answers = " " + "".join(sorted({*"äbc12345"})), "." + "".join(sorted({*"äbc"}))
    steps = 10 + 1  # of the longest answer, and its end
    assert read.shape == (3 + 2 + steps, 30)
    trained = set()
    for column, said, weights in zip(read.T, told.T, np.asarray(batch.weights).T, strict=True):
        source = "".join(sources[symbol] for symbol in column[:3]).strip()
        answer = "".join(answers[symbol] for symbol in said[-steps:])
        assert answer == lines[source].ljust(steps, ".")
        assert weights.sum() == len(lines[source]) + 1
        np.testing.assert_array_equal(weights[-steps:], np.arange(steps) <= len(lines[source]))
        trained.add(source)
    held = np.asarray(task.held_out(2).xs).argmax(axis=-1)[:3].T
    others = {"".join(sources[symbol] for symbol in column).strip() for column in held}
    assert others | trained == set(lines)
    assert not others & trained


def test_landmarks_of_pairs_by_hand(tmp_path):
    task = Pairs(path=write(tmp_path, ["x\ta"] * 8 + ["y\taa"] * 2))
    held = int(task.held_out(2).weights.sum())  # 4, 5 or 6 symbols: an a or two for each line, and an end
    ends, letters = 2, held - 2
    counts = np.array([8, 12 - letters]) + 1
    expected = -(ends * math.log(counts[0] / counts.sum()) + letters * math.log(counts[1] / counts.sum())) / held
    assert task.landmarks["frequencies known"] == pytest.approx(expected, rel=1e-12)
    assert task.landmarks["nothing known"] == math.log(2)


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (["a\tb", "ab"], r"own.tsv, line 2: expected a text, a tab and a text, got 'ab'"),
        (["a\tb\tc"], r"own.tsv, line 1: expected a text, a tab and a text, got 'a\\tb\\tc'"),
        (["a\t"], r"own.tsv, line 1: expected a text, a tab and a text, got 'a\\t'"),
        (["a\tb"] * 4, r"own.tsv: expected at least 5 lines, so that one can be held out, got 4"),
    ],
)
def test_bad_pairs_are_told_by_file_and_line(tmp_path, lines, said):
    with pytest.raises(ValueError, match=said):
        Pairs(path=write(tmp_path, lines)).landmarks  # noqa: B018


def test_more_lines_than_are_held_out_are_refused(tmp_path):
    with pytest.raises(ValueError, match="batch_size: expected at most the 2 lines held out, got 3"):
        Pairs(path=write(tmp_path, ["x\ta"] * 10)).held_out(3)


def test_files_of_a_folder_are_joined_and_the_last_tenth_is_held_out(tmp_path):
    texts = {"b.txt": "second " * 100, "a.txt": "first. " * 100, "c.md": "neither"}
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
    task = TextFiles(str(tmp_path), length=9)
    whole = (texts["a.txt"] + texts["b.txt"]).encode()
    assert task.corpus.text == whole[: len(whole) * 9 // 10]
    assert task.corpus.files == ("a.txt", "b.txt")
    vocabulary = np.frombuffer(task.corpus.vocabulary, np.uint8)
    assert vocabulary[task.held_out_ids].tobytes() == whole[len(whole) * 9 // 10 :]
    batch = task.batch(jax.random.key(0), 5)
    for column in np.asarray(batch.targets).T:
        assert vocabulary[column].tobytes() in task.corpus.text
    alone = TextFiles(str(tmp_path / "b.txt"))
    with pytest.raises(ValueError, match=r"b.txt: expected at least 1000 bytes of text, got 700 in 1 files"):
        alone.corpus  # noqa: B018
