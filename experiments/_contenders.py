"""Peers of `recurrax.scan`, each as the function its users would compile: batch-major inputs to outputs (B, T, H).

A builder gives (apply, params), apply(params, x) being JAX; PyTorch's gives a callable that runs by itself. What a peer
does not have, or is not installed, raises `Absent` with the sentence to print.
"""

import importlib
import os
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

import recurrax
from recurrax import cells
from recurrax.kernels import Implementation

Apply = Callable[[Any, jax.Array], jax.Array]
Shape = tuple[int, int, int, int]
"""B, T, D, H."""

SHAPES = {
    "usual": (32, 128, 64, 128),
    "wide": (64, 128, 256, 512),
    "long": (16, 1024, 32, 64),
    "single": (1, 512, 128, 128),
    "large batch": (128, 96, 128, 256),
    "small": (32, 50, 2, 64),
}
"""What contenders are compared on."""

SCALING = {
    "T": tuple((16, steps, 32, 64) for steps in (64, 256, 1024, 4096, 16384)),
    "B": tuple((batch, 128, 64, 128) for batch in (1, 4, 16, 64, 256)),
    "H": tuple((32, 64, 64, hidden) for hidden in (32, 64, 128, 256, 512)),
}
"""What one axis at a time is drawn against."""


class Absent(Exception):  # noqa: N818 (not an error: a contender that does not take part)
    """A contender cannot take part; the message says why."""


def _peer(module: str, package: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise Absent(f"{package} is not installed; `pip install recurrax[bench]` brings it") from error


def _recurrax(implementation: Implementation) -> Callable[[str, Shape], tuple[Apply, Any]]:
    def build(cell_name: str, shape: Shape) -> tuple[Apply, Any]:
        _, _, inputs, hidden = shape
        cell = cells.named(cell_name)(hidden)

        def apply(params: Any, x: jax.Array) -> jax.Array:
            result = recurrax.scan(cell, params, jnp.moveaxis(x, 1, 0), implementation=implementation)
            return jnp.moveaxis(result.outputs, 0, 1)

        return apply, cell.init(jax.random.key(0), inputs)

    return build


def _linen(cell_name: str, shape: Shape) -> tuple[Apply, Any]:
    nn = _peer("flax.linen", "flax")
    batch, steps, inputs, hidden = shape
    cell = {"LSTM": nn.OptimizedLSTMCell, "GRU": nn.GRUCell, "Elman": nn.SimpleCell}[cell_name]
    model = nn.RNN(cell(hidden))
    return model.apply, model.init(jax.random.key(0), jnp.zeros((batch, steps, inputs)))


def _nnx(cell_name: str, shape: Shape) -> tuple[Apply, Any]:
    nnx = _peer("flax.nnx", "flax")
    _, _, inputs, hidden = shape
    cell = {"LSTM": nnx.OptimizedLSTMCell, "GRU": nnx.GRUCell, "Elman": nnx.SimpleCell}[cell_name]
    graph, params, rest = nnx.split(nnx.RNN(cell(inputs, hidden, rngs=nnx.Rngs(0))), nnx.Param, ...)
    # The carry's generator is made anew: one that was split off may not be advanced inside a trace.
    return lambda params, x: nnx.merge(graph, params, rest)(x, rngs=nnx.Rngs(0)), params


def _equinox(cell_name: str, shape: Shape) -> tuple[Apply, Any]:
    eqx = _peer("equinox", "equinox")
    _, _, inputs, hidden = shape
    if cell_name == "Elman":
        raise Absent("equinox has no Elman cell")
    cell = {"LSTM": eqx.nn.LSTMCell, "GRU": eqx.nn.GRUCell}[cell_name](inputs, hidden, key=jax.random.key(0))
    params, static = eqx.partition(cell, eqx.is_array)

    def apply(params: Any, x: jax.Array) -> jax.Array:
        cell = eqx.combine(params, static)
        zeros = jnp.zeros((x.shape[0], hidden))

        def step(carry: Any, x_t: jax.Array) -> tuple[Any, jax.Array]:
            carry = jax.vmap(cell)(x_t, carry)
            return carry, carry[0] if cell_name == "LSTM" else carry

        start = (zeros, zeros) if cell_name == "LSTM" else zeros
        return jnp.moveaxis(jax.lax.scan(step, start, jnp.moveaxis(x, 1, 0))[1], 0, 1)

    return apply, params


def _haiku(cell_name: str, shape: Shape) -> tuple[Apply, Any]:
    hk = _peer("haiku", "dm-haiku")
    batch, steps, inputs, hidden = shape

    def forward(x: jax.Array) -> jax.Array:
        core = {"LSTM": hk.LSTM, "GRU": hk.GRU, "Elman": hk.VanillaRNN}[cell_name](hidden)
        return hk.dynamic_unroll(core, x, core.initial_state(x.shape[0]), time_major=False)[0]

    model = hk.without_apply_rng(hk.transform(forward))
    return model.apply, model.init(jax.random.key(0), jnp.zeros((batch, steps, inputs)))


def _keras(cell_name: str, shape: Shape) -> tuple[Apply, Any]:
    os.environ["KERAS_BACKEND"] = "jax"
    keras = _peer("keras", "keras")
    batch, steps, inputs, hidden = shape
    layer = {"LSTM": keras.layers.LSTM, "GRU": keras.layers.GRU, "Elman": keras.layers.SimpleRNN}[cell_name]
    model = layer(hidden, return_sequences=True)
    model.build((batch, steps, inputs))
    rest = [variable.value for variable in model.non_trainable_variables]
    params = [variable.value for variable in model.trainable_variables]
    return lambda params, x: model.stateless_call(params, rest, x)[0], params


def _cudnn(cell_name: str, shape: Shape) -> tuple[Apply, Any]:
    if cell_name != "LSTM":
        raise Absent("jax.experimental.rnn has an LSTM only")
    if jax.default_backend() != "gpu":
        raise Absent(f"jax.experimental.rnn runs cuDNN, on a GPU only; this is {jax.default_backend()}")
    rnn = _peer("jax.experimental.rnn", "jax")
    batch, steps, inputs, hidden = shape
    sizes = {"input_size": inputs, "hidden_size": hidden, "num_layers": 1, "bidirectional": False}

    def apply(params: Any, x: jax.Array) -> jax.Array:
        zeros, lengths = jnp.zeros((1, batch, hidden)), jnp.full((batch,), steps, jnp.int32)
        # The rules of its derivative take the settings by position.
        return rnn.lstm(x, zeros, zeros, params, lengths, inputs, hidden, 1, 0.0, False)[0]

    return apply, rnn.init_lstm_weight(jax.random.key(0), **sizes)


def pytorch(cell_name: str, shape: Shape, training: bool) -> Callable[[], None]:
    """A callable that runs PyTorch's layer once, with as many threads as cores, and waits for the end."""
    torch = _peer("torch", "torch")
    batch, steps, inputs, hidden = shape
    torch.set_num_threads(os.cpu_count() or 1)
    device = "cuda" if jax.default_backend() == "gpu" and torch.cuda.is_available() else "cpu"
    layer = {"LSTM": torch.nn.LSTM, "GRU": torch.nn.GRU, "Elman": torch.nn.RNN}[cell_name]
    model = layer(inputs, hidden, batch_first=True).to(device)
    x = torch.randn(batch, steps, inputs, device=device, requires_grad=training)

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
    "cuDNN through JAX": _cudnn,
}
"""Contenders that JAX compiles, by name."""
OURS = ("recurrax", "recurrax, batch split", "recurrax reference")
