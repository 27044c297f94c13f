"""Peers of `recurrax.scan`, each as the function its users would compile: batch-major inputs to outputs (B, T, H).

A builder gives (apply, params), apply(params, x) being JAX; PyTorch's gives a callable that runs by itself. What a peer
does not have, or is not installed, raises `Absent` with the sentence to print.

This is no experiment, but what kernel_speed.py measures.
"""

import contextlib
import importlib
import math
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

import recurrax
from recurrax import train
from recurrax.kernels.scan import IMPLEMENTATIONS
from recurrax.study.named import Name

Apply = Callable[[Any, jax.Array], jax.Array]
Shape = tuple[int, int, int, int]
"""B, T, D, H."""


class Absent(Exception):  # noqa: N818 (not an error: a contender that does not take part)
    """A contender cannot take part; the message says why."""


def _peer(module: str, package: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise Absent(f'{package} is not installed; `pip install ".[bench]"` in a clone brings it') from error


def _of(cell: Name, layers: Mapping[str, Any], peer: str) -> Any:
    """A peer's layer for a cell of ours as it stands; one with fields of its own, or a user's, has no peer."""
    if cell.label.lower() not in {name.lower() for name in layers}:
        raise Absent(f"{peer} has no {cell.label}")
    return layers[cell.kind.__name__]


@contextlib.contextmanager
def refusals() -> Iterator[None]:
    """Makes `Absent` of the sentence with which `recurrax.scan` refuses an implementation."""
    try:
        yield
    except ValueError as error:
        if not re.match(r"implementation: '\w+' cannot run this, since ", str(error)):
            raise
        raise Absent(str(error).partition("since ")[2]) from error


def _recurrax(implementation: Any) -> Callable[[Name, Shape], tuple[Apply, Any]]:
    def build(name: Name, shape: Shape) -> tuple[Apply, Any]:
        _, _, inputs, hidden = shape
        cell = name.build(hidden_size=hidden)

        def apply(params: Any, x: jax.Array) -> jax.Array:
            result = recurrax.scan(cell, params, jnp.moveaxis(x, 1, 0), implementation=implementation)
            return jnp.moveaxis(result.outputs, 0, 1)

        return apply, cell.init(jax.random.key(0), inputs)

    return build


def _linen(cell: Name, shape: Shape) -> tuple[Apply, Any]:
    nn = _peer("flax.linen", "flax")
    batch, steps, inputs, hidden = shape
    layer = _of(cell, {"LSTM": nn.OptimizedLSTMCell, "GRU": nn.GRUCell, "Elman": nn.SimpleCell}, "flax")
    model = nn.RNN(layer(hidden))
    return model.apply, model.init(jax.random.key(0), jnp.zeros((batch, steps, inputs)))


def _nnx(cell: Name, shape: Shape) -> tuple[Apply, Any]:
    nnx = _peer("flax.nnx", "flax")
    _, _, inputs, hidden = shape
    layer = _of(cell, {"LSTM": nnx.OptimizedLSTMCell, "GRU": nnx.GRUCell, "Elman": nnx.SimpleCell}, "flax")
    graph, params, rest = nnx.split(nnx.RNN(layer(inputs, hidden, rngs=nnx.Rngs(0))), nnx.Param, ...)
    # The carry's generator is made anew: one that was split off may not be advanced inside a trace.
    return lambda params, x: nnx.merge(graph, params, rest)(x, rngs=nnx.Rngs(0)), params


def _equinox(cell: Name, shape: Shape) -> tuple[Apply, Any]:
    eqx = _peer("equinox", "equinox")
    _, _, inputs, hidden = shape
    layer = _of(cell, {"LSTM": eqx.nn.LSTMCell, "GRU": eqx.nn.GRUCell}, "equinox")
    params, static = eqx.partition(layer(inputs, hidden, key=jax.random.key(0)), eqx.is_array)
    pair = layer is eqx.nn.LSTMCell

    def apply(params: Any, x: jax.Array) -> jax.Array:
        layer = eqx.combine(params, static)
        zeros = jnp.zeros((x.shape[0], hidden))

        def step(carry: Any, x_t: jax.Array) -> tuple[Any, jax.Array]:
            carry = jax.vmap(layer)(x_t, carry)
            return carry, carry[0] if pair else carry

        start = (zeros, zeros) if pair else zeros
        return jnp.moveaxis(jax.lax.scan(step, start, jnp.moveaxis(x, 1, 0))[1], 0, 1)

    return apply, params


def _haiku(cell: Name, shape: Shape) -> tuple[Apply, Any]:
    hk = _peer("haiku", "dm-haiku")
    batch, steps, inputs, hidden = shape
    layer = _of(cell, {"LSTM": hk.LSTM, "GRU": hk.GRU, "Elman": hk.VanillaRNN}, "dm-haiku")

    def forward(x: jax.Array) -> jax.Array:
        core = layer(hidden)
        return hk.dynamic_unroll(core, x, core.initial_state(x.shape[0]), time_major=False)[0]

    model = hk.without_apply_rng(hk.transform(forward))
    return model.apply, model.init(jax.random.key(0), jnp.zeros((batch, steps, inputs)))


def _keras(cell: Name, shape: Shape) -> tuple[Apply, Any]:
    os.environ["KERAS_BACKEND"] = "jax"
    keras = _peer("keras", "keras")
    batch, steps, inputs, hidden = shape
    layer = _of(cell, {"LSTM": keras.layers.LSTM, "GRU": keras.layers.GRU, "Elman": keras.layers.SimpleRNN}, "keras")
    model = layer(hidden, return_sequences=True)
    model.build((batch, steps, inputs))
    rest = [variable.value for variable in model.non_trainable_variables]
    params = [variable.value for variable in model.trainable_variables]
    return lambda params, x: model.stateless_call(params, rest, x)[0], params


def pytorch(cell: Name, shape: Shape, training: bool, dtype: Any = jnp.float32) -> Callable[[], None]:
    """A callable that runs PyTorch's layer once, with as many threads as cores, and waits for the end."""
    torch = _peer("torch", "torch")
    batch, steps, inputs, hidden = shape
    torch.set_num_threads(os.cpu_count() or 1)
    device = "cuda" if jax.default_backend() == "gpu" and torch.cuda.is_available() else "cpu"
    layer = _of(cell, {"LSTM": torch.nn.LSTM, "GRU": torch.nn.GRU, "Elman": torch.nn.RNN}, "torch")
    kind = {"device": device, "dtype": getattr(torch, jnp.dtype(dtype).name)}
    model = layer(inputs, hidden, batch_first=True).to(**kind)
    x = torch.randn(batch, steps, inputs, requires_grad=training, **kind)

    def run() -> None:
        if training:
            model.zero_grad(set_to_none=True)
            x.grad = None
            model(x)[0].square().sum().backward()
        else:
            with torch.no_grad():
                model(x)[0].square().sum()
        if device == "cuda":
            torch.cuda.synchronize()

    return run


JAX = {
    "recurrax": _recurrax("fused"),
    "recurrax reference": _recurrax("reference"),
    "Flax linen": _linen,
    "Flax nnx": _nnx,
    "Equinox": _equinox,
    "Haiku": _haiku,
    "Keras": _keras,
    "cuDNN through JAX": _recurrax("cudnn"),
}
"""Contenders that JAX compiles, by name."""
OURS = ("recurrax", "recurrax, batch split", "recurrax reference")
BY_IMPLEMENTATION = {f"recurrax {name}": _recurrax(name) for name in IMPLEMENTATIONS}


class Contender(NamedTuple):
    """What is timed: `run` once and wait for it; compile time in s, temporaries in bytes, nan where unknown."""

    run: Callable[[], Any]
    compile_seconds: float
    temporaries: float


def lowered(function: Callable[..., Any], params: Any, x: jax.Array) -> Callable[[], Contender]:
    """A JAX function traced for its arguments; what is returned compiles it, in any thread, and times both."""
    begun = time.perf_counter()
    program = jax.jit(function).lower(params, x)
    tracing = time.perf_counter() - begun

    def compiles() -> Contender:
        begun = time.perf_counter()
        compiled = program.compile()
        seconds = tracing + time.perf_counter() - begun
        memory = compiled.memory_analysis()
        temporaries = math.nan if memory is None else memory.temp_size_in_bytes
        return Contender(lambda: jax.block_until_ready(compiled(params, x)), seconds, temporaries)

    return compiles


def compiled(function: Callable[..., Any], params: Any, x: jax.Array) -> Contender:
    """A JAX function compiled for its arguments, timed while compiling."""
    return lowered(function, params, x)()


def prepare(name: str, cell: Name, shape: Shape, training: bool, dtype: Any = jnp.float32) -> Callable[[], Contender]:
    """What makes the contender of that name, traced with parameters and inputs of `dtype`, ready to run in any thread.

    Raises:
        Absent: it cannot take part.
    """
    if name == "PyTorch":
        torch = pytorch(cell, shape, training, dtype)
        return lambda: Contender(torch, math.nan, math.nan)
    batch, steps, inputs, _ = shape
    x = jax.random.normal(jax.random.key(1), (batch, steps, inputs), dtype)
    split = name == "recurrax, batch split"
    apply, params = (JAX | BY_IMPLEMENTATION)["recurrax" if split else name](cell, shape)
    params = jax.tree.map(lambda leaf: leaf.astype(dtype) if jnp.issubdtype(leaf.dtype, jnp.floating) else leaf, params)

    def loss(params: Any, x: jax.Array) -> jax.Array:
        return jnp.sum(jnp.square(apply(params, x)))

    run: Callable[..., jax.Array] = loss
    if split:
        devices = jax.local_device_count()
        if devices == 1 or batch % devices:
            raise Absent(f"a batch of {batch} cannot be split over {devices} device(s)")
        mesh = train.batch_mesh()
        params, x = train.replicate(mesh, params), train.split_batch(mesh, x)
        run = train.split_loss(loss, mesh, axes=0, mean=False)
    with refusals():
        return lowered(jax.value_and_grad(run, (0, 1)) if training else run, params, x)


def enter(name: str, cell: Name, shape: Shape, training: bool) -> Contender:
    """The contender of that name, ready to run; see `prepare`."""
    return prepare(name, cell, shape, training)()
