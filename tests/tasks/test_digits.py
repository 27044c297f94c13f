import jax
import numpy as np
import pytest
import scipy.optimize
import scipy.special

from recurrax import extras
from recurrax.tasks import Digits, digits


def test_without_scikit_learn_it_says_what_to_install(monkeypatch):
    def missing(module):
        raise ModuleNotFoundError("no", name="sklearn")

    monkeypatch.setattr(extras.importlib, "import_module", missing)
    with pytest.raises(ModuleNotFoundError, match=r'sklearn is not installed; .* pip install "\.\[data\]"'):
        digits.images.__wrapped__()


def test_refuses_a_lag_shorter_than_an_image():
    with pytest.raises(ValueError, match="lag: expected an int of at least 63, got 62"):
        Digits().with_lag(62)
    with pytest.raises(ValueError, match="blanks: expected an int of at least 0, got -1"):
        Digits(blanks=-1)


@pytest.fixture
def sklearn():
    return pytest.importorskip("sklearn.datasets", reason='scikit-learn is missing: pip install "recurrax[data]"')


def test_an_image_is_read_row_after_row_and_then_blanks(sklearn):
    known = sklearn.load_digits()
    originals = {image.tobytes(): digit for image, digit in zip(known.images, known.target, strict=True)}
    task = Digits(blanks=3)
    held = task.held_out(297)
    batch = jax.jit(task.batch, static_argnums=1)(jax.random.key(0), 40)
    for drawn in (batch, held):
        xs = np.asarray(drawn.xs, np.float64)
        assert (xs[64:] == 0).all()
        assert len(xs) == 67
        for column, digit in zip(16 * xs[:64, :, 0].T, np.asarray(drawn.targets), strict=True):
            assert originals[column.reshape(8, 8).tobytes()] == digit


def test_the_split_is_disjoint_and_holds_every_image(sklearn):
    train, held = digits.images()
    assert (len(train.digits), len(held.digits)) == (1500, 297)
    both = [image.tobytes() for part in (train, held) for image in part.pixels]
    whole = [(image / 16).astype(np.float32).tobytes() for image in sklearn.load_digits().data]
    assert sorted(both) == sorted(whole)
    with pytest.raises(ValueError, match="batch_size: expected at most the 297 images held out, got 298"):
        Digits().held_out(298)


@pytest.mark.parametrize(("name", "columns"), [("the sum", 0), ("the last row", 8)])
def test_landmarks_by_minimising_the_same_by_other_means(name, columns, sklearn):
    def features(part):
        pixels = part.pixels.astype(np.float64)
        return pixels[:, -columns:] if columns else pixels.sum(axis=1, keepdims=True)

    train, held = digits.images()
    deviation = features(train).std(axis=0)
    x, others = ((features(part) - features(train).mean(axis=0)) / deviation for part in (train, held))
    one_hot = np.eye(10)[train.digits]
    size = x.shape[1]

    def objective(flat):
        weights, bias = flat[: size * 10].reshape(size, 10), flat[size * 10 :]
        logits = x @ weights + bias
        error = scipy.special.softmax(logits, axis=1) - one_hot
        loss = -np.sum(one_hot * scipy.special.log_softmax(logits, axis=1)) + 0.5 * np.sum(weights**2)
        return loss, np.concatenate([(x.T @ error + weights).ravel(), error.sum(axis=0)])

    best = scipy.optimize.minimize(objective, np.zeros((size + 1) * 10), jac=True, method="L-BFGS-B", tol=1e-10).x
    logits = others @ best[: size * 10].reshape(size, 10) + best[size * 10 :]
    expected = -scipy.special.log_softmax(logits, axis=1)[np.arange(297), held.digits].mean()
    assert Digits().landmarks[f"logistic regression on {name}"] == pytest.approx(expected, abs=1e-3)


def test_more_pixels_tell_more(sklearn):
    landmarks = Digits().landmarks
    nothing, last_row, whole = (landmarks[name] for name in landmarks if "sum" not in name)
    assert whole < last_row < nothing == pytest.approx(np.log(10))
