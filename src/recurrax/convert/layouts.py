"""How other libraries keep the weights of their cells: one table per library, data and no code.

A new library is one entry in `LAYOUTS`; `recurrax.convert.weights` does the rest.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from recurrax.cells import GRU, LSTM, Elman


class Part(NamedTuple):
    """An array there: its name, "/" between levels, what it holds, and its gates, side by side on the last axis.

    `fields` stand below each other on the first axis: kernel (D, H) per gate, recurrent_kernel (P, H), input_bias and
    recurrent_bias (1, H), of which one alone has no first axis; peephole (H,) per gate; projection (H, P) has no gates.
    `transposed`: the array lies there as (G*H, D).
    """

    name: str
    fields: tuple[str, ...]
    gates: str
    transposed: bool = False
    optional: bool = False


@dataclass(frozen=True)
class Layout:
    """One of a library's cells.

    Fields: `kind`, our cell class, and `fixed`, fields of it that this layout means; `free`, fields that the library
    keeps elsewhere, as an activation is; `parts`; `carry`, the order in which the library gives h and c; `added`, what
    our bias of a gate has more than theirs, being added in their code; `negated`, gates that are theirs times -1.
    """

    kind: type
    parts: tuple[Part, ...]
    carry: tuple[str, ...] = ("h",)
    fixed: Mapping[str, Any] = field(default_factory=dict)
    free: tuple[str, ...] = ()
    added: Mapping[str, float] = field(default_factory=dict)
    negated: str = ""


K, R, BX, BH = ("kernel",), ("recurrent_kernel",), ("input_bias",), ("recurrent_bias",)


def _torch(gates: str, *more: Part) -> tuple[Part, ...]:
    return (
        Part("weight_ih", K, gates, transposed=True),
        Part("weight_hh", R, gates, transposed=True),
        Part("bias_ih", BX, gates, optional=True),
        Part("bias_hh", BH, gates, optional=True),
        *more,
    )


def _equinox(gates: str, *more: Part) -> tuple[Part, ...]:
    return (
        Part("weight_ih", K, gates, transposed=True),
        Part("weight_hh", R, gates, transposed=True),
        Part("bias", BX, gates, optional=True),
        *more,
    )


def _keras(gates: str, bias: tuple[str, ...] = BX) -> tuple[Part, ...]:
    return (
        Part("kernel", K, gates),
        Part("recurrent_kernel", R, gates),
        Part("bias", bias, gates, optional=True),
    )


def _gate_by_gate(inputs: str, states: str, gates: str, biased: str, recurrent_biased: str) -> tuple[Part, ...]:
    """Flax's Dense layers, two for each gate: the names of those that read x and of those that read h."""
    parts = []
    for gate, x, h in zip(gates, inputs.split(), states.split(), strict=True):
        parts += [Part(f"{x}/kernel", K, gate), Part(f"{h}/kernel", R, gate)]
        parts += [Part(f"{x}/bias", BX, gate)] if gate in biased else []
        parts += [Part(f"{h}/bias", BH, gate)] if gate in recurrent_biased else []
    return tuple(parts)


def _onnx(gates: str, *more: Part) -> tuple[Part, ...]:
    """One direction of a node's inputs, B in its two halves."""
    return (
        Part("W", K, gates, transposed=True),
        Part("R", R, gates, transposed=True),
        Part("Wb", BX, gates, optional=True),
        Part("Rb", BH, gates, optional=True),
        *more,
    )


def _dense(gates: str, bias: Part) -> tuple[Part, ...]:
    """The two Dense layers of nnx, all gates in one."""
    return Part("dense_i/kernel", K, gates), Part("dense_h/kernel", R, gates), bias


AFTER, BEFORE = {"reset_after": True}, {"reset_after": False}
LAYOUTS: Mapping[str, Mapping[str, Layout]] = {
    "torch": {
        "LSTM": Layout(
            LSTM, _torch("ifgo", Part("weight_hr", ("projection",), "", transposed=True, optional=True)), ("h", "c")
        ),
        "GRU": Layout(GRU, _torch("rzn"), fixed=AFTER),
        "RNN": Layout(Elman, _torch("n"), free=("activation",)),
    },
    "onnx": {
        "LSTM": Layout(
            LSTM,
            _onnx("iofg", Part("P", ("peephole",), "iof", optional=True)),
            ("h", "c"),
            free=("gate", "candidate", "activation"),
        ),
        "GRU": Layout(GRU, _onnx("zrn"), fixed=BEFORE, free=("gate", "candidate")),
        "GRU, linear_before_reset=1": Layout(GRU, _onnx("zrn"), fixed=AFTER, free=("gate", "candidate")),
        "RNN": Layout(Elman, _onnx("n"), free=("activation",)),
    },
    "equinox": {
        "LSTMCell": Layout(LSTM, _equinox("ifgo"), ("h", "c")),
        "GRUCell": Layout(GRU, _equinox("rzn", Part("bias_n", BH, "n", optional=True)), fixed=AFTER),
    },
    "keras": {
        "LSTM": Layout(LSTM, _keras("ifgo"), ("h", "c")),
        "GRU": Layout(GRU, _keras("zrn", (*BX, *BH)), fixed=AFTER),
        "GRU, reset_after=False": Layout(GRU, _keras("zrn"), fixed=BEFORE),
        "SimpleRNN": Layout(Elman, _keras("n"), free=("activation",)),
    },
    "haiku": {
        "LSTM": Layout(
            LSTM,
            (Part("linear/w", (*K, *R), "igfo"), Part("linear/b", BX, "igfo")),
            ("h", "c"),
            added={"f": 1.0},
        ),
        "GRU": Layout(
            GRU, (Part("w_i", K, "zrn"), Part("w_h", R, "zrn"), Part("b", BX, "zrn")), fixed=BEFORE, negated="z"
        ),
        "VanillaRNN": Layout(
            Elman,
            (
                Part("linear/w", K, "n"),
                Part("linear_1/w", R, "n"),
                Part("linear/b", BX, "n"),
                Part("linear_1/b", BH, "n", optional=True),
            ),
            fixed={"activation": "relu"},
        ),
    },
    "linen": {
        "LSTMCell": Layout(LSTM, _gate_by_gate("ii if ig io", "hi hf hg ho", "ifgo", "", "ifgo"), ("c", "h")),
        "GRUCell": Layout(GRU, _gate_by_gate("ir iz in", "hr hz hn", "rzn", "rzn", "n"), fixed=AFTER),
        "SimpleCell": Layout(Elman, _gate_by_gate("i", "h", "n", "n", ""), free=("activation",)),
    },
    "nnx": {
        "LSTMCell": Layout(LSTM, _gate_by_gate("ii if_ ig io", "hi hf hg ho", "ifgo", "", "ifgo"), ("c", "h")),
        "OptimizedLSTMCell": Layout(LSTM, _dense("ifgo", Part("dense_h/bias", BH, "ifgo")), ("c", "h")),
        "GRUCell": Layout(GRU, _dense("rzn", Part("dense_i/bias", BX, "rzn")), fixed=AFTER),
        "SimpleCell": Layout(Elman, _dense("n", Part("dense_i/bias", BX, "n")), free=("activation",)),
    },
}
"""By library and cell; gates in the letters of our cells, Keras's c and h being g and n."""
