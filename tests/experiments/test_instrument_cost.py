"""The cost of instruments: compilations are counted, and aims are judged in their own units."""

import instrument_cost
import jax
import jax.numpy as jnp
import numpy as np
import pytest


def test_counts_what_a_call_compiles():
    double = jax.jit(lambda x: 2 * x)
    assert instrument_cost.compilations(lambda: double(jnp.arange(3.0))) >= 1
    assert instrument_cost.compilations(lambda: double(jnp.arange(3.0))) == 0


def test_aims_are_judged_in_training_steps_or_seconds():
    config = instrument_cost.Config(rounds=2)
    seconds = {
        "training step": 0.1,
        "adjoint_profile": 0.16,
        "carousel_share": 0.2,
        "parameter_profile": 1.0,
        "jacobian_profile, one sequence": 19.0,
        "jacobian_profile, 32 sequences": 99.0,
        "lyapunov_spectrum": 61.0,
    }
    arrays = {f"seconds.{name}": np.full(2, of) for name, of in seconds.items()}
    finished = instrument_cost.finish(config, arrays | {f"compilations.{name}": np.array(0) for name in seconds})
    assert finished.report.answer.endswith("Aims missed: adjoint_profile, lyapunov_spectrum.")
    assert finished.numbers["adjoint_profile"]["training_steps"] == pytest.approx(1.6)
    assert [row[-1] for row in finished.report.tables[0].rows if row[-1]] == ["1.5 training steps", "20 s", "60 s"]
