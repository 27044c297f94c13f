"""Fields and names: what is accepted, and one sentence for what is not."""

import dataclasses

import jax
import pytest

from recurrax import (
    GRU,
    JANET,
    LEM,
    LSTM,
    MLSTM,
    SLSTM,
    AntisymmetricRNN,
    CoRNN,
    DeltaNet,
    Elman,
    IndRNN,
    Leaky,
    OrthogonalRNN,
    cells,
)

BAD_FIELDS = [
    (lambda: LSTM(0), "hidden_size: expected a positive int, got 0"),
    (lambda: GRU(-1), "hidden_size: expected a positive int, got -1"),
    (lambda: Elman(2.0), r"hidden_size: expected a positive int, got 2\.0"),
    (lambda: Elman(True), "hidden_size: expected a positive int, got True"),
    (lambda: Elman(2, activation="gelu"), "activation: unknown value 'gelu'; expected one of tanh, relu, identity"),
    (lambda: LSTM(2, kernel_init="he"), "kernel_init: unknown value 'he'"),
    (lambda: GRU(2, recurrent_init="he"), "recurrent_init: unknown value 'he'"),
    (lambda: GRU(2, kernel_init="spectral"), "kernel_init: unknown value 'spectral'"),
    (lambda: GRU(2, spectral_radius=0.0), r"spectral_radius: expected a float above 0, got 0\.0"),
    (lambda: GRU(2, spectral_radius="1"), "spectral_radius: expected a finite float, got '1'"),
    (
        lambda: LSTM(4, projection_size=2, recurrent_init="spectral").init(jax.random.key(0), 1),
        "recurrent_init: 'spectral' expects a square kernel, got 2 by 4",
    ),
    (
        lambda: CoRNN(4, recurrent_init="spectral").init(jax.random.key(0), 1),
        "recurrent_init: 'spectral' expects a square kernel, got 8 by 4",
    ),
    (lambda: Elman(2, bias_init="ones"), "bias_init: unknown value 'ones'; expected one of zeros, uniform, torch"),
    (lambda: LSTM(2, forget_bias="chronos"), "forget_bias: unknown value 'chronos'"),
    (lambda: LSTM(2, forget_bias=float("nan")), "forget_bias: expected a finite float or 'chrono', got nan"),
    (lambda: LSTM(2, forget_bias=None), "forget_bias: expected a finite float or 'chrono', got None"),
    (lambda: LSTM(2, t_max=2), "t_max: expected an int of at least 3 steps, got 2"),
    (lambda: LSTM(2, t_max=50.0), r"t_max: expected an int of at least 3 steps, got 50\.0"),
    (lambda: GRU(2, reset_after=1), "reset_after: expected True or False, got 1"),
    (lambda: LSTM(2, peepholes=1), "peepholes: expected True or False, got 1"),
    (lambda: LSTM(2, forget_gate=None), "forget_gate: expected True or False, got None"),
    (
        lambda: LSTM(2, coupled=True, input_gate=False),
        "coupled: expected False where input_gate or forget_gate is False, got True",
    ),
    (lambda: LSTM(2, projection_size=0), "projection_size: expected a positive int, got 0"),
    (lambda: LSTM(2, candidate="gelu"), "candidate: unknown value 'gelu'; expected one of tanh, relu"),
    (lambda: GRU(2, update_bias=None), "update_bias: expected a finite float, got None"),
    (lambda: Elman(2, recurrent_gain=float("inf")), "recurrent_gain: expected a finite float, got inf"),
    (lambda: JANET(2, beta=float("nan")), "beta: expected a finite float, got nan"),
    (lambda: JANET(2, forget_bias="chron"), "forget_bias: unknown value 'chron'"),
    (lambda: Leaky(2, alpha=0.0), r"alpha: expected a float above 0 and at most 1, got 0\.0"),
    (
        lambda: Leaky(2, alpha=1, learned=True),
        r"alpha: expected a float above 0 and at most 0\.999 where learned, got 1",
    ),
    (lambda: IndRNN(2, t_max=0), "t_max: expected a positive int, got 0"),
    (lambda: OrthogonalRNN(2, activation="sigmoid"), "activation: unknown value 'sigmoid'; expected one of modrelu"),
    (lambda: AntisymmetricRNN(2, gated=1), "gated: expected True or False, got 1"),
    (lambda: CoRNN(2, damping=None), "damping: expected a finite float, got None"),
    (lambda: LEM(2, step_size=float("inf")), "step_size: expected a finite float, got inf"),
    (lambda: SLSTM(4, heads=3), "heads: expected a divisor of hidden_size 4, got 3"),
    (lambda: MLSTM(4, heads=0), "heads: expected a positive int, got 0"),
    (lambda: DeltaNet(4, gated=None), "gated: expected True or False, got None"),
    (lambda: LSTM(2).init(jax.random.key(0), 0), "input_size: expected a positive int, got 0"),
    (lambda: GRU(2).init(jax.random.key(0), 3.0), r"input_size: expected a positive int, got 3\.0"),
    (lambda: cells.named("lstn"), "cell: unknown name 'lstn'; expected one of Elman, GRU, "),
]


@pytest.mark.parametrize(("build", "sentence"), BAD_FIELDS, ids=[sentence for _, sentence in BAD_FIELDS])
def test_a_bad_field_is_named(build, sentence):
    with pytest.raises(ValueError, match="^" + sentence) as error:
        build()
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("cell", cells.ALL)
def test_named(cell):
    assert cells.named(cell.__name__) is cell
    assert cells.named(cell.__name__.lower()) is cell
    assert cells.named(cell.__name__.upper()) is cell


@pytest.mark.parametrize("cell", cells.ALL)
def test_a_cell_is_a_frozen_value(cell):
    one, same, other = cell(3), cell(3), cell(4)
    assert one == same
    assert hash(one) == hash(same)
    assert one != other
    assert one == dataclasses.replace(other, hidden_size=3)
    with pytest.raises(dataclasses.FrozenInstanceError):
        one.hidden_size = 5
    assert reads_like_its_call(one)


def reads_like_its_call(cell):
    return repr(cell).startswith(f"{type(cell).__name__}(hidden_size={cell.hidden_size}")
