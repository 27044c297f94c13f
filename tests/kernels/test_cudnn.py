"""cuDNN's LSTM is the reference's: what it is given and what comes back, with JAX's own copy of it in its place.

cuDNN itself runs on a GPU alone; `test_on_a_gpu` is for a machine that has one.
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.experimental import rnn
from tolerances import SECOND_RTOL, assert_close
from walks import draw, equations
from zoo.trials import OPTIONS, difference_to_reference

import recurrax
from recurrax import GRU, LSTM, Cell
from recurrax.check import laws
from recurrax.check.subject import Subject
from recurrax.check.trial import second_order, value
from recurrax.kernels import cudnn
from recurrax.kernels.scan import IMPLEMENTATIONS
from recurrax.wrappers import Residual

pytestmark = pytest.mark.usefixtures("quick_compile")
STEPS, KEY = 4, jax.random.key(0)
has_gpu = jax.default_backend() == "gpu"


@dataclass(frozen=True)
class Mine(Cell):
    """A user's LSTM with parameters of its own: o and f first, f shifted by 1, biases added up."""

    size: int = 3

    def init(self, key, input_size, dtype=jnp.float32):
        shapes = {"x": (4, input_size, self.size), "h": (4, self.size, self.size), "b": (2, 4, self.size)}
        return {name: jax.random.normal(key, shape, dtype) / 2 for name, shape in shapes.items()}

    def initial_carry(self, params, batch_shape, dtype):
        return tuple(jnp.zeros((*batch_shape, self.size), dtype) for _ in range(2))

    def project(self, params, x):
        return tuple(x @ params["x"][g] + params["b"][0, g] + params["b"][1, g] for g in range(4))

    def recur(self, params, carry, u):
        return tuple(carry[0] @ params["h"][g] for g in range(4))

    def pointwise(self, params, carry, u, v):
        o, f, i, g = (a + b for a, b in zip(u, v, strict=True))
        c = jax.nn.sigmoid(f + 1) * carry[1] + jax.nn.sigmoid(i) * jnp.tanh(g)
        return jax.nn.sigmoid(o) * jnp.tanh(c), c

    def output(self, params, carry, u):
        return carry[0]

    def cudnn(self, params):
        def ordered(leaf):
            return jnp.moveaxis(leaf[np.array([2, 1, 3, 0])], 0, -2)

        shift = jnp.array([0.0, 1.0, 0.0, 0.0], params["b"].dtype)[:, None]
        return ordered(params["x"]), ordered(params["h"]), ordered(params["b"].sum(axis=0)) + shift


LENGTHS, MASK = OPTIONS["lengths"].rows, OPTIONS["mask"].rows
CASES = {
    "two batch axes, reverse": (LSTM(3), (2, 3), {}, {"reverse": True}),
    "lengths": (Mine(), (5,), LENGTHS, {}),
    "lengths and any mask, reverse, chunks": (LSTM(3), (5,), LENGTHS | MASK, {"reverse": True, "chunk": 3}),
}


@pytest.fixture
def in_its_place(monkeypatch, x64):
    """The library's function by JAX's definition of it, in float64 too; gives the precisions that it was asked for."""
    asked = []

    def plain(x, h, c, weights, lengths, *sizes):
        inputs, hidden, layers, _, directions = sizes
        matrices = rnn.unpack_lstm_weights(weights, inputs, hidden, layers, directions)
        return rnn.lstm_ref(x, h, c, *matrices, lengths, *sizes)

    def lstm_fwd(x, h, c, weights, lengths, *sizes):
        *sizes, precision = sizes
        asked.append(precision)
        inputs, hidden, layers, _, directions = sizes
        assert weights.shape == (rnn.get_num_params_in_lstm(inputs, hidden, layers, directions),)
        assert lengths.dtype == jnp.int32
        return plain(x, h, c, weights, lengths, *sizes), (x, h, c, weights, lengths)

    def lstm_bwd(*arguments):
        *sizes, precision, (*operands, lengths), cotangents = arguments
        asked.append(precision)
        return *jax.vjp(lambda *operands: plain(*operands, lengths, *sizes), *operands)[1](cotangents), None

    monkeypatch.setattr(rnn, "lstm_fwd", lstm_fwd)
    monkeypatch.setattr(rnn, "lstm_bwd", lstm_bwd)
    monkeypatch.setattr(cudnn, "_elsewhere", lambda: None)
    monkeypatch.setattr(cudnn, "DTYPE", "float64")
    jax.clear_caches()  # what was refused or called before may have been kept
    yield asked
    jax.clear_caches()


@pytest.mark.parametrize("case", CASES)
def test_equals_the_reference(case, in_its_place, plain_style):
    """Values, and gradients of parameters, inputs and carry, in float64; NaN in the padding matters to neither."""
    cell, batch_shape, rows, how = CASES[case]
    trial = draw(cell, STEPS, batch_shape, 2, np.float64)._replace(**rows)
    assert difference_to_reference(cell, trial, compiled=True, implementation="cudnn", **how) is None
    assert set(in_its_place) == {jax.lax.Precision.HIGHEST}


def test_second_derivatives_are_the_references(in_its_place):
    trial = draw(LSTM(3), STEPS, (5,), 2, np.float64)._replace(**OPTIONS["lengths"].rows)
    how = {"reverse": True, "chunk": 3}
    got, expected = (second_order(LSTM(3), trial, implementation=name, **how) for name in ("cudnn", "reference"))
    assert_close(got, expected, "float64", SECOND_RTOL)


def test_without_a_batch(in_its_place):
    drawn = draw(LSTM(3), STEPS, (), 2, np.float64)
    got, expected = (value(LSTM(3), drawn, implementation=name) for name in ("cudnn", "reference"))
    assert_close(got, expected, "float64")


@pytest.mark.parametrize(("steps", "batch_shape"), [(0, (2,)), (3, (0,))])
def test_nothing_to_walk(steps, batch_shape, in_its_place):
    drawn = draw(LSTM(3), steps, batch_shape, 2, np.float64)
    got, expected = (value(LSTM(3), drawn, implementation=name) for name in ("cudnn", "reference"))
    assert_close(got, expected, "float64")
    assert in_its_place == []


def test_forward_mode_is_refused_with_the_way_out(in_its_place):
    drawn = draw(LSTM(3), STEPS, (2,), 2, np.float64)
    with pytest.raises(TypeError, match=r"forward mode.*implementation='reference'"):
        jax.jvp(lambda xs: value(LSTM(3), drawn._replace(xs=xs), implementation="cudnn"), (drawn.xs,), (drawn.xs,))


def test_vmap_of_the_library_is_refused_with_the_way_out(in_its_place, monkeypatch):
    unbatched = jax.extend.core.Primitive("rnn_fwd")
    unbatched.def_abstract_eval(lambda x: x)
    monkeypatch.setattr(rnn, "lstm_fwd", lambda x, h, c, *_: ((unbatched.bind(x), h, c), None))
    params, xs = LSTM(3).init(jax.random.key(0), 3, np.float64), jnp.zeros((2, 4, 5, 3))
    with pytest.raises(ValueError, match=r"^implementation: 'cudnn' has no vmap; give recurrax\.scan the whole batch"):
        jax.vmap(lambda xs: recurrax.scan(LSTM(3), params, xs, implementation="cudnn").outputs)(xs)


VARIANTS = [
    {"input_gate": False},
    {"forget_gate": False},
    {"output_gate": False},
    {"coupled": True},
    {"peepholes": True},
    {"projection_size": 2},
    {"candidate": "relu"},
    {"activation": "identity"},
    {"gate": "tanh"},
]


@pytest.mark.parametrize("fields", VARIANTS, ids=lambda fields: next(iter(fields)))
def test_the_cell_says_which_of_its_fields_make_a_variant(fields):
    assert LSTM(3, **fields).cudnn(None) is None


def test_what_is_drawn_makes_no_variant():
    cell = LSTM(3, forget_bias="chrono", t_max=9, kernel_init="uniform", recurrent_init="uniform")
    assert cell.cudnn(cell.init(KEY, 2)) is not None


def scan(cell, xs=None, **how):
    params = cell.init(KEY, 2)
    xs = jnp.zeros((4, 5, 2)) if xs is None else xs
    return recurrax.scan(cell, params, xs, implementation="cudnn", **how)


class Shifted(Mine):
    """Says that no bias of its is shifted."""

    def cudnn(self, params):
        kernel, recurrent_kernel, bias = super().cudnn(params)
        return kernel, recurrent_kernel, bias.at[1].add(-1.0)


def test_check_cell_holds_the_matrices_to_the_step(plain_style):
    xs = np.random.default_rng(0).standard_normal((4, 3, 2), np.float32)
    fine, wrong = (laws.cudnn_is_the_step(Subject(cell, 2, xs, KEY, None, ())) for cell in (Mine(), Shifted()))
    assert fine is None
    assert wrong.startswith("cudnn and step differ")
    assert laws.cudnn_is_the_step in laws.LAWS


class TooFew(Mine):
    def cudnn(self, params):
        return tuple(leaf[..., :3, :] for leaf in super().cudnn(params))


REFUSED = {
    "another cell": (lambda: scan(GRU(3)), r"GRU does not say by a method cudnn\(params\) that it is cuDNN's LSTM"),
    "a variant": (lambda: scan(LSTM(3, coupled=True)), r"LSTM\(.*\) is a variant that cuDNN does not have"),
    "a wrapper": (lambda: scan(Residual(LSTM(2))), r"Residual does not say by a method cudnn\(params\)"),
    "resets": (lambda: scan(LSTM(3), resets=jnp.zeros((4, 5), bool)), "resets are given, which cuDNN does not have"),
    "dtype": (
        lambda: scan(LSTM(3), jnp.zeros((4, 5, 2), jnp.bfloat16)),
        "cuDNN's LSTM is in float32, and parameters, xs or carry have bfloat16",
    ),
    "three gates": (lambda: scan(TooFew()), r"cudnn gives shapes \(\(2, 3, 3\).*return kernels and a bias of shapes"),
    "no GPU": (lambda: scan(LSTM(3)), "cuDNN needs an NVIDIA GPU, and JAX runs on cpu here"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_who_is_refused(name, plain_style):
    if name == "no GPU" and has_gpu:
        pytest.skip("this machine has a GPU")
    call, reason = REFUSED[name]
    with pytest.raises(ValueError, match=f"^implementation: 'cudnn' cannot run this, since {reason}"):
        call()


def test_another_makers_gpu_is_refused(monkeypatch):
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    with pytest.raises(ValueError, match="since cuDNN needs a GPU of NVIDIA's"):
        scan(LSTM(3))


def test_an_open_size_is_refused():
    xs = jax.ShapeDtypeStruct(jax.export.symbolic_shape("t, 5, 2"), np.float32)
    with pytest.raises(ValueError, match=r"since jax\.export leaves a size of xs open"):
        jax.export.export(jax.jit(lambda xs: scan(LSTM(3), xs).outputs))(xs)


def test_none_never_chooses_it(in_its_place):
    """No benchmark says that it should."""
    drawn = draw(LSTM(3), 4, (2,), 2)
    assert list(IMPLEMENTATIONS).index("cudnn") > list(IMPLEMENTATIONS).index("reference")
    assert "scan" in {
        eqn.primitive.name for eqn in equations(jax.make_jaxpr(lambda of: value(LSTM(3), of))(drawn).jaxpr)
    }
    assert in_its_place == []


@pytest.mark.skipif(not has_gpu, reason="cuDNN runs on an NVIDIA GPU, and this machine has none")
@pytest.mark.parametrize("case", CASES)
def test_on_a_gpu(case, plain_style):
    _, batch_shape, rows, how = CASES[case]
    trial = draw(LSTM(32), STEPS, batch_shape, 16)._replace(**rows)
    with jax.default_matmul_precision("highest"):
        assert difference_to_reference(LSTM(32), trial, compiled=True, implementation="cudnn", **how) is None
