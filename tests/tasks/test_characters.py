import hashlib
import itertools
import math
import platform
import sysconfig
from collections import Counter
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from recurrax.tasks import Characters, bits, standard_library
from recurrax.tasks.corpus import bigram_entropy, from_bytes, unigram_entropy

SIZE = 50_000

pytestmark = pytest.mark.usefixtures("quick_compile")


@pytest.fixture(scope="module")
def task():
    return Characters(length=30, max_bytes=SIZE)


@pytest.fixture(scope="module")
def batch(task):
    return jax.jit(task.batch, static_argnums=1)(jax.random.key(0), 5)


def test_the_corpus_is_the_named_files_of_this_python(task):
    corpus = task.corpus
    root = Path(sysconfig.get_path("stdlib"))
    text = b"".join((root / name).read_bytes() for name in corpus.files)[:SIZE]
    assert corpus.text == text
    assert corpus.sha256 == hashlib.sha256(text).hexdigest()
    assert len(corpus.ids) == SIZE
    assert corpus.vocabulary == bytes(sorted(set(text)))
    assert corpus.files == tuple(sorted(corpus.files))
    assert not any("test" in Path(name).parts or "site-packages" in name for name in corpus.files)


def test_reading_again_gives_the_same_sha(task):
    assert standard_library.__wrapped__(SIZE).sha256 == task.corpus.sha256
    assert standard_library.__wrapped__(SIZE - 1).sha256 != task.corpus.sha256


def test_shuffled_text_has_the_same_characters_and_nothing_left_to_foretell():
    plain, shuffled = Characters(max_bytes=SIZE, symbols=32), Characters(max_bytes=SIZE, symbols=32, shuffled=True)
    for part in (lambda task: task.corpus.ids, lambda task: task.held_out_ids):
        np.testing.assert_array_equal(np.bincount(part(plain)), np.bincount(part(shuffled)))
    # Of independent characters the current one says less than (32 - 1)² / 2N nats of the next, but for chance.
    gained = [unigram_entropy(task.corpus) - bigram_entropy(task.corpus) for task in (plain, shuffled)]
    assert gained[0] > 0.5
    assert gained[1] < 31**2 / SIZE
    assert "shuffled" in shuffled.describes


def test_a_batch_is_windows_of_the_text_and_their_next_characters(task, batch):
    np.testing.assert_array_equal(batch.xs.sum(axis=-1), np.ones((30, 5)))
    lookup = np.frombuffer(task.corpus.vocabulary, np.uint8)
    inputs, targets = lookup[np.argmax(np.asarray(batch.xs), axis=-1)], lookup[np.asarray(batch.targets)]
    for b in range(5):
        window = inputs[:, b].tobytes()
        assert window[1:] == targets[:-1, b].tobytes()
        assert window + targets[-1:, b].tobytes() in task.corpus.text


def test_every_window_can_be_drawn():
    corpus_size = 1000
    task = Characters(length=corpus_size - 2, max_bytes=corpus_size)
    batch = jax.jit(task.batch, static_argnums=1)(jax.random.key(0), 64)
    inputs = np.argmax(np.asarray(batch.xs), axis=-1)
    heads = {tuple(inputs[:, b]) for b in range(64)}
    ids = task.corpus.ids
    assert heads == {tuple(ids[:-2]), tuple(ids[1:-1])}


def test_landmarks_against_counts_in_plain_python(task):
    text = task.corpus.text
    one, two = Counter(text), Counter(itertools.pairwise(text))
    entropy = -sum(n / SIZE * math.log(n / SIZE) for n in one.values())
    before = Counter(text[:-1])
    conditional = -sum(n / (SIZE - 1) * math.log(n / before[a]) for (a, _), n in two.items())
    landmarks = task.landmarks
    assert landmarks["nothing known"] == math.log(len(one))
    assert math.isclose(landmarks["frequencies known"], entropy, rel_tol=1e-12)
    assert math.isclose(landmarks["current character known"], conditional, rel_tol=1e-9)
    assert landmarks["current character known"] < landmarks["frequencies known"] < landmarks["nothing known"]


def test_entropies_of_texts_worked_by_hand():
    fair = from_bytes(b"abba")
    assert math.isclose(unigram_entropy(fair), math.log(2), rel_tol=1e-12)
    assert math.isclose(bigram_entropy(from_bytes(b"ababababa")), 0.0, abs_tol=1e-12)


def test_the_loss_is_nats_per_character(task, batch):
    frequencies = np.bincount(task.corpus.ids) / SIZE
    logits = jnp.broadcast_to(jnp.log(jnp.asarray(frequencies, jnp.float32)), (30, 5, task.output_size))
    expected = -np.log(frequencies[np.asarray(batch.targets)]).mean()
    np.testing.assert_allclose(task.loss(logits, batch), expected, rtol=1e-5)
    np.testing.assert_allclose(task.loss(100 * jax.nn.one_hot(batch.targets, task.output_size), batch), 0, atol=1e-6)
    assert bits(math.log(8)) == pytest.approx(3.0)


def test_refuses_what_it_cannot_do(task, batch):
    with pytest.raises(ValueError, match=r"length: expected an int of at least 1, got 0"):
        Characters(length=0)
    with pytest.raises(ValueError, match=r"max_bytes: expected an int of at least 1000, got 10"):
        Characters(max_bytes=10)
    with pytest.raises(ValueError, match=r"predictions: expected shape \(30, 5, 'classes'\)"):
        task.loss(jnp.zeros((29, 2, 5)), batch)


def test_a_python_without_source_is_told_so(monkeypatch, tmp_path):
    monkeypatch.setattr(sysconfig, "get_path", lambda name: str(tmp_path))
    with pytest.raises(FileNotFoundError, match="carries no source of its standard library"):
        standard_library.__wrapped__(SIZE)


def test_held_out_windows_come_from_the_text_after_the_one_trained_on(task):
    following = standard_library(SIZE + SIZE // 10).text[SIZE:]
    known = bytes(c for c in following if c in task.corpus.vocabulary)
    lookup = np.frombuffer(task.corpus.vocabulary, np.uint8)
    held = task.held_out(7)
    inputs, targets = lookup[np.argmax(np.asarray(held.xs), axis=-1)], lookup[np.asarray(held.targets)]
    places = [known.find(inputs[:, b].tobytes() + targets[-1:, b].tobytes()) for b in range(7)]
    assert places == np.linspace(0, len(known) - 31, 7).astype(int).tolist()
    with pytest.raises(ValueError, match=r"batch_size: expected at most the \d+ windows that are held out"):
        task.held_out(100_000)
    with pytest.raises(ValueError, match="length: expected less than the text's 5000"):
        Characters(length=6000, max_bytes=SIZE).held_out(1)


def test_few_symbols_are_the_frequent_characters_and_one_for_the_rest(task):
    folded = Characters(length=30, max_bytes=SIZE, symbols=5)
    text = task.corpus.text
    frequent = [c for c, _ in sorted(Counter(text).items(), key=lambda entry: (-entry[1], entry[0]))[:4]]
    assert folded.corpus.vocabulary == bytes([*frequent, 0])
    assert (folded.input_size, folded.output_size) == (5, 5)
    few, all_ = (one.batch(jax.random.key(0), 3) for one in (folded, task))
    characters = np.frombuffer(task.corpus.vocabulary, np.uint8)[np.asarray(all_.targets)].ravel().tolist()
    assert np.asarray(few.targets).ravel().tolist() == [frequent.index(c) if c in frequent else 4 for c in characters]
    np.testing.assert_array_equal(np.argmax(few.xs[1:], axis=-1), few.targets[:-1])
    assert folded.held_out(2).xs.shape == (30, 2, 5)
    for symbols in (1, -2):
        with pytest.raises(ValueError, match="symbols: expected an int of at least 2"):
            Characters(symbols=symbols)


def test_it_says_which_text_it_read():
    task = Characters(length=10, max_bytes=10_000)
    assert task.source.endswith(f"10000 bytes, SHA-256 {hashlib.sha256(task.corpus.text).hexdigest()}")
    assert platform.python_version() in task.source
