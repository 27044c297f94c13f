"""Time in parallel is time step by step, for cells that are linear in their carry; and who is refused, and why."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tolerances import RTOL, assert_close
from walks import draw, equations
from zoo.trials import OPTIONS, difference_to_reference

import recurrax
from recurrax import LRU, LSTM, RGLRU, Cell, MinGRU, cells, check_cell
from recurrax.check.trial import value, value_and_grad

pytestmark = pytest.mark.usefixtures("quick_compile", "plain_style")


@dataclass(frozen=True)
class Traces(Cell):
    """A user's: a matrix memory that inputs let decay, a complex trace with a decay of its own, a learned start.

    S_t = σ(x w) S_tm1 + k vᵀ,  z_t = λ z_tm1 + x W,  y_t = (S_t k, Re z_t)
    """

    size: int = 3

    def init(self, key, input_size, dtype=jnp.float32):
        shapes = {"decay": (input_size, 1), "key": (input_size, self.size), "value": (input_size, self.size)}
        shapes |= {"angle": (self.size,), "kernel": (input_size, self.size), "start": (self.size, self.size)}
        keys = jax.random.split(key, len(shapes))
        return {name: 0.5 * jax.random.normal(k, shapes[name], dtype) for k, name in zip(keys, shapes, strict=True)}

    def initial_carry(self, params, batch_shape, dtype):
        memory = jnp.broadcast_to(params["start"].astype(dtype), (*batch_shape, self.size, self.size))
        return {"memory": memory, "trace": jnp.zeros((*batch_shape, self.size), jnp.result_type(dtype, jnp.complex64))}

    def project(self, params, x):
        return {name: x @ params[name] for name in ("decay", "key", "value", "kernel")}

    def coefficients(self, params, u):
        decay = jax.nn.sigmoid(u["decay"])[..., None]  # (..., 1, 1)
        turn = jnp.exp(-0.1 + 1j * params["angle"].astype(u["kernel"].dtype))  # (H,), the same at every step
        written = u["key"][..., :, None] * u["value"][..., None, :]
        return {"memory": decay, "trace": turn}, {"memory": written, "trace": u["kernel"] + 0j}

    def recur(self, params, carry, u):
        return None

    def pointwise(self, params, carry, u, v):
        a, b = self.coefficients(params, u)
        return jax.tree.map(lambda a, b, s: (a * s + b).astype(s.dtype), a, b, carry)

    def output(self, params, carry, u):
        read = jnp.einsum("...kv,...k->...v", carry["memory"], u["key"])
        return jnp.concatenate([read, carry["trace"].real], axis=-1)


LINEAR = [*(cell(3) for cell in cells.ALL if hasattr(cell, "coefficients")), Traces()]
BATCH, STEPS = 5, 4


def differs(cell, option, implementation="associative"):
    """Where values or gradients in float64 are not the reference's, or padding mattered; None where they are."""
    option = OPTIONS[option]
    trial = draw(cell, STEPS, option.batch_shape, 2, np.float64)._replace(**option.rows)
    return difference_to_reference(cell, trial, implementation=implementation, **option.how)


@pytest.mark.parametrize("option", ["plain", "all at once"])
@pytest.mark.parametrize("cell", LINEAR, ids=lambda cell: type(cell).__name__)
def test_equals_the_sequential_walk(cell, option, x64):
    assert differs(cell, option) is None


@pytest.mark.parametrize("cell", LINEAR[:-1], ids=lambda cell: type(cell).__name__)
def test_the_fused_scan_does_too(cell, x64):
    assert differs(cell, "all at once", "fused") is None


@pytest.mark.parametrize("option", ["mask", "resets"])
def test_under_one_option(option, x64):
    assert differs(Traces(), option) is None


def test_a_cell_of_a_user_obeys_the_laws():
    """Second derivatives, `vmap`, any batch axes and donation among them."""
    assert check_cell(Traces(), implementation="associative", dtypes=("float32",)).broken == ()


def test_forward_mode_too(x64):
    cell = Traces()
    drawn = draw(cell, STEPS, (BATCH,), 2, np.float64)

    def outputs(xs, implementation):
        return value(cell, drawn._replace(xs=xs), implementation=implementation).outputs

    got, expected = (
        jax.jvp(lambda xs, name=name: outputs(xs, name), (drawn.xs,), (drawn.xs[::-1],))[1]
        for name in ("associative", "reference")
    )
    assert_close(got, expected, "float64")


@pytest.mark.parametrize(("steps", "batch_shape"), [(0, (2,)), (1, ()), (3, (0,))])
def test_next_to_nothing_to_walk(steps, batch_shape):
    drawn = draw(Traces(), steps, batch_shape, 2)
    got, expected = (
        value_and_grad(Traces(), drawn, implementation=name, reverse=True) for name in ("associative", "reference")
    )
    assert_close(got, expected, "float32")


@dataclass(frozen=True)
class Sums(Cell):
    """h_t = a h_tm1 + x_t, with a decay for each unit."""

    def init(self, key, input_size, dtype=jnp.float32):
        return jnp.ones(input_size, dtype)

    def initial_carry(self, params, batch_shape, dtype):
        return jnp.zeros((*batch_shape, params.size), dtype)

    def project(self, params, x):
        return x

    def recur(self, params, carry, u):
        return None

    def coefficients(self, params, u):
        return params, u

    def pointwise(self, params, carry, u, v):
        return params * carry + u

    def output(self, params, carry, u):
        return carry


def test_a_hundred_thousand_steps_in_float32():
    """Products of decays underflow long before; sums, and how they change with the decay, are those of the series.

    h_{T-1} = Σ_k a^k and its derivatives by a. Near a = 1 they change visibly with the last digit of a, to which
    float32 knows it: that much is granted beside the rounding of a sum.
    """
    steps = 100_000
    decays = np.array([0.0, 1e-20, 0.5, 0.99, 0.9999, 1 - 2.0**-17, 1.0], np.float32)
    a, k = decays.astype(np.float64), np.arange(steps)[:, None]
    sums = (a**k).sum(axis=0)
    slopes = (k[1:] * a ** (k[1:] - 1)).sum(axis=0)
    curvatures = (k[2:] * (k[2:] - 1) * a ** (k[2:] - 2)).sum(axis=0)

    @jax.jit
    def run(decays):
        def last(decays):
            xs = jnp.ones((steps, decays.size))
            result = recurrax.scan(Sums(), decays, xs, implementation="associative")
            return jnp.sum(result.carry), result

        return jax.grad(last, has_aux=True)(decays)

    gradient, result = run(decays)
    rtol, digit = RTOL["float32"], np.finfo(np.float32).eps * a
    assert np.all(np.abs(result.carry - sums) <= rtol * sums + digit * slopes)
    assert np.all(np.abs(gradient - slopes) <= rtol * slopes + digit * curvatures)
    np.testing.assert_allclose(result.outputs[999], (a ** k[:1000]).sum(axis=0), rtol=rtol)
    assert np.isfinite(result.outputs).all()


def test_no_loop_and_each_weight_gradient_one_product():
    """Forward one product, backward two: for the kernel and for the inputs."""
    drawn = draw(MinGRU(3), 6, (2,), 2)._replace(lengths=np.array([6, 1]))
    traced = jax.make_jaxpr(lambda given: value_and_grad(MinGRU(3), given, implementation="associative"))(drawn)
    names = [eqn.primitive.name for eqn in equations(traced.jaxpr)]
    assert not {"scan", "while"} & set(names)
    assert names.count("dot_general") == 3


def test_chunks_bound_the_memory():
    """Temporaries of a training step: T/K carries and one chunk of K steps."""
    cell, xs = MinGRU(8), jnp.zeros((1024, 2, 8))
    params = cell.init(jax.random.key(0), 8)

    def held(chunk):
        def loss(params):
            return jnp.sum(recurrax.scan(cell, params, xs, chunk=chunk, implementation="associative").outputs ** 2)

        return jax.jit(jax.grad(loss)).lower(params).compile().memory_analysis().temp_size_in_bytes

    assert held(32) < held(None) / 2


@pytest.mark.parametrize("cell", [LRU(3), RGLRU(3), Traces()], ids=lambda cell: type(cell).__name__)
def test_lowers_for_every_platform_with_an_open_batch(cell):
    drawn = draw(cell, 5, (1,), 2)

    def gradients(params, xs):
        def loss(params, xs):
            return jnp.sum(recurrax.scan(cell, params, xs, implementation="associative").outputs ** 2)

        return jax.grad(loss, argnums=(0, 1))(params, xs)

    shapes = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), drawn.params)
    xs = jax.ShapeDtypeStruct(jax.export.symbolic_shape("5, b, 2"), np.float32)
    exported = jax.export.export(jax.jit(gradients), platforms=("cpu", "cuda", "tpu"))(shapes, xs)
    assert exported.platforms == ("cpu", "cuda", "tpu")
    xs = draw(cell, 5, (3,), 2).xs
    assert_close(exported.call(drawn.params, xs), gradients(drawn.params, xs), "float32")


class Twice(Sums):
    def coefficients(self, params, u):
        return params, u, u


class OtherStructure(Sums):
    def coefficients(self, params, u):
        return params, (u,)


class TooWide(Sums):
    def coefficients(self, params, u):
        return params, jnp.concatenate([u, u], axis=-1)


class Turning(Sums):
    def coefficients(self, params, u):
        return 1j * params, u


class Counting(Sums):
    def initial_carry(self, params, batch_shape, dtype):
        return jnp.zeros((*batch_shape, params.size), jnp.int32)

    def pointwise(self, params, carry, u, v):
        return carry + 1


REFUSED = [
    (LSTM(2), r"LSTM does not say by a method coefficients\(params, u\) that it is linear in its carry"),
    (Twice(), r"coefficients gives a tuple of 3; return two carries, \(a, b\)"),
    (OtherStructure(), "coefficients gives b of structure .*; return a carry"),
    (TooWide(), r"coefficients gives b of shape \(3, 4\) for a carry of shape \(3, 2\)"),
    (Turning(), "coefficients gives a in complex64 for a carry in float32; make that complex too"),
    (Counting(), "carry is int32; a linear carry is floating or complex"),
]


@pytest.mark.parametrize(("cell", "reason"), REFUSED, ids=[type(cell).__name__ for cell, _ in REFUSED])
def test_who_is_refused(cell, reason):
    params = cell.init(jax.random.key(0), 2)
    with pytest.raises(ValueError, match=f"^implementation: 'associative' cannot run this, since {reason}"):
        recurrax.scan(cell, params, jnp.zeros((4, 3, 2)), implementation="associative")


def test_an_open_number_of_steps_is_refused():
    xs = jax.ShapeDtypeStruct(jax.export.symbolic_shape("t, 2"), np.float32)
    program = jax.jit(lambda xs: recurrax.scan(Sums(), jnp.ones(2), xs, implementation="associative").outputs)
    with pytest.raises(ValueError, match=r"since jax\.export leaves the number of steps open"):
        jax.export.export(program)(xs)


def test_none_never_chooses_it():
    """No benchmark says that it should."""
    drawn = draw(MinGRU(3), 4, (2,), 2)
    traced = jax.make_jaxpr(lambda given: value(MinGRU(3), given))(drawn)
    assert "scan" in {eqn.primitive.name for eqn in equations(traced.jaxpr)}
