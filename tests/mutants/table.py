"""Deliberate bugs, and for each the tests that must catch it.

A substring is replaced in one file of a copy of `src`; keep it short, and change it here when the code changes.
"""

from typing import NamedTuple


class Mutant(NamedTuple):
    """One bug: `old`, found exactly once in `file` (below src/recurrax), becomes `new`; a test of `caught_by` fails."""

    name: str
    file: str
    old: str
    new: str
    caught_by: str


EQUATIONS = "tests/cells/test_equations.py"
INITIALIZERS = "tests/cells/test_initializers.py"
PADDING = "tests/kernels/test_padding.py"
WALKS = "tests/kernels/test_walks.py"
GRADIENTS = "tests/kernels/test_gradients.py"
ARGUMENTS = "tests/kernels/test_arguments.py"

LENGTH_ZERO = f"{PADDING}::test_a_length_of_zero_gives_the_carry_it_started_with[fused]"
WEIGHT_GRADIENT = f"{GRADIENTS}::test_float64_gradients_are_those_of_the_reference[1]"

MUTANTS = (
    Mutant(
        "LSTM: gates i and f swapped",
        "cells/lstm.py",
        "    i: Array\n    f: Array\n",
        "    f: Array\n    i: Array\n",
        f"{EQUATIONS}::test_lstm",
    ),
    Mutant(
        "LSTM: h without tanh of c",
        "cells/lstm.py",
        "jax.nn.sigmoid(v.o) * jnp.tanh(carry.c)",
        "jax.nn.sigmoid(v.o) * carry.c",
        f"{EQUATIONS}::test_lstm",
    ),
    Mutant(
        "LSTM: sign of the forget bias",
        "cells/lstm.py",
        "zeros + self.forget_bias",
        "zeros - self.forget_bias",
        f"{INITIALIZERS}::test_the_forget_bias_is_added_to_f_alone",
    ),
    Mutant(
        "LSTM: forget bias given to i",
        "cells/lstm.py",
        "[zeros, zeros + self.forget_bias, zeros, zeros]",
        "[zeros + self.forget_bias, zeros, zeros, zeros]",
        f"{INITIALIZERS}::test_the_forget_bias_is_added_to_f_alone",
    ),
    Mutant(
        "LSTM: chrono in two biases, which squares the time scale",
        "cells/lstm.py",
        "b_f = jnp.log(",
        "b_f = 2 * jnp.log(",
        f"{INITIALIZERS}::test_chrono_spans_its_time_scales_once",
    ),
    Mutant(
        "LSTM: chrono without the input gate's bias",
        "cells/lstm.py",
        "[-b_f, b_f, zeros, zeros]",
        "[zeros, b_f, zeros, zeros]",
        f"{INITIALIZERS}::test_chrono_spans_its_time_scales_once",
    ),
    Mutant(
        "GRU: z and 1-z swapped",
        "cells/gru.py",
        "h=(1 - z) * n + z * carry.h",
        "h=z * n + (1 - z) * carry.h",
        f"{EQUATIONS}::test_gru",
    ),
    Mutant(
        "GRU: gates r and z swapped",
        "cells/gru.py",
        "    r: Array\n    z: Array\n",
        "    z: Array\n    r: Array\n",
        f"{EQUATIONS}::test_gru",
    ),
    Mutant(
        "GRU: no reset",
        "cells/gru.py",
        "jax.nn.sigmoid(v.r) * v.n if",
        "v.n if",
        f"{EQUATIONS}::test_gru",
    ),
    Mutant(
        "GRU: recurrent bias outside the reset product",
        "cells/gru.py",
        "n=add_bias(n, params.recurrent_bias)",
        "n=n",
        f"{EQUATIONS}::test_gru",
    ),
    Mutant(
        "Elman: relu is the identity",
        "cells/elman.py",
        "h=jax.nn.relu(v)",
        "h=v",
        f"{EQUATIONS}::test_elman",
    ),
    Mutant(
        "the bias of a sequence meets a zero",
        "cells/products.py",
        "jnp.ones((*x.shape[:-1], 1), dtype)",
        "jnp.zeros((*x.shape[:-1], 1), dtype)",
        WEIGHT_GRADIENT,
    ),
    Mutant(
        "bias counted twice",
        "cells/products.py",
        "return x + bias.astype",
        "return x + 2 * bias.astype",
        f"{EQUATIONS}::test_elman",
    ),
    Mutant(
        "stop: steps that were not taken count as a loss of 0",
        "train/step.py",
        "training.stop.window), jnp.inf)",
        "training.stop.window), 0.0)",
        "tests/train/test_stop.py::test_no_row_ends_before_its_window_is_full",
    ),
    Mutant(
        "stop: the step at which a row ended, one too early",
        "train/step.py",
        "jnp.where(reached, step + 1, row.stopped_at)",
        "jnp.where(reached, step, row.stopped_at)",
        "tests/train/test_stop.py::test_a_row_ends_when_its_mean_loss_is_low_enough_and_not_before",
    ),
    Mutant(
        "programs shared whatever their constants",
        "train/compiled.py",
        "hashlib.sha256(lowered.as_text().encode())",
        "hashlib.sha256(str(lowered.in_tree).encode())",
        "tests/train/test_compiled.py::test_closures_made_anew_share_a_program_and_other_constants_do_not",
    ),
    Mutant(
        "a batch takes time for its rows",
        "tasks/task.py",
        "type(self)(xs=1,",
        "type(self)(xs=0,",
        "tests/tasks/test_all_tasks.py::test_a_batch_knows_the_axis_of_its_rows",
    ),
    Mutant(
        "another program's numbers are taken",
        "runs/program.py",
        "if saved.get(part) != now.get(part)",
        "if saved.get(part) is None",
        "tests/train/test_fingerprint.py::test_the_numbers_of_another_program_are_never_returned",
    ),
    Mutant(
        "every epoch in the same order",
        "tasks/arrays.py",
        "default_rng((seed, epoch))",
        "default_rng(seed)",
        "tests/tasks/test_arrays.py::test_every_epoch_is_an_order_of_all_sequences_and_another_each_time",
    ),
    Mutant(
        "bisection: censored lags are averaged",
        "train/bisection.py",
        "np.sqrt(self.solved * self.failed)",
        "(self.solved + self.failed) / 2",
        "tests/train/test_bisection.py::test_brackets_the_lag_at_which_each_row_begins_to_fail",
    ),
    Mutant(
        "orthogonal over all gates jointly",
        "cells/initializers.py",
        "return jnp.stack(per_gate, axis=1).astype(dtype)",
        "return draw(key, (fan_in, gates * hidden_size), wide).reshape(fan_in, gates, hidden_size).astype(dtype)",
        f"{INITIALIZERS}::test_every_gate_is_orthogonal_by_itself",
    ),
    Mutant(
        "one key for all gates",
        "cells/initializers.py",
        "for gate_key in jax.random.split(key, gates)",
        "for gate_key in [key] * gates",
        f"{INITIALIZERS}::test_every_gate_is_orthogonal_by_itself",
    ),
    Mutant(
        "uniform bound of the fan-in",
        "cells/initializers.py",
        "    bound = hidden_size**-0.5\n",
        "    bound = fan_in**-0.5\n",
        f"{INITIALIZERS}::test_bounds_and_variances_are_those_of_one_gate",
    ),
    Mutant(
        "the carry of a padded row not kept",
        "kernels/padding.py",
        "return where_rows(valid, stepped, entering)",
        "return stepped",
        LENGTH_ZERO,
    ),
    Mutant(
        "the output of a padded row not zero",
        "kernels/padding.py",
        "return y if valid is None else where_rows(valid, y, jnp.zeros_like(y))",
        "return y",
        LENGTH_ZERO,
    ),
    Mutant(
        "resets ignored",
        "kernels/padding.py",
        "return carry if reset is None else where_rows(reset, initial, carry)",
        "return carry",
        f"{WALKS}::test_a_reset_starts_afresh_from_the_initial_carry",
    ),
    Mutant(
        "padding not sanitised",
        "kernels/scan.py",
        "xs = jnp.where(rows.valid[..., None], xs, 0)",
        "pass",
        f"{PADDING}::test_padding_changes_nothing",
    ),
    Mutant(
        "reverse ignored",
        "kernels/scan.py",
        'implementation or "fused", reverse,',
        'implementation or "fused", False,',
        f"{WALKS}::test_reverse_is_forward_on_each_flipped_row",
    ),
    Mutant(
        "lengths off by one",
        "kernels/arguments.py",
        "steps < _lengths(",
        "steps <= _lengths(",
        LENGTH_ZERO,
    ),
    Mutant(
        "lengths or mask where both are meant",
        "kernels/arguments.py",
        "valid & within",
        "valid | within",
        f"{PADDING}::test_padding_changes_nothing",
    ),
    Mutant(
        "a bfloat16 carry",
        "kernels/arguments.py",
        "jnp.result_type(jnp.float32, xs.dtype",
        "jnp.result_type(xs.dtype",
        f"{GRADIENTS}::test_bfloat16_inputs_too",
    ),
    Mutant(
        "any structure of carry accepted",
        "kernels/arguments.py",
        "if jax.tree.structure(carry) != jax.tree.structure(expected):",
        "if False:",
        f"{ARGUMENTS}::test_one_sentence_names_the_argument",
    ),
    Mutant(
        "fused: h_t for h_tm1 in the weight gradient",
        "kernels/fused.py",
        "entering.insert(step.output_leaf, _one_later(kept.ys, first, walk.reverse))",
        "entering.insert(step.output_leaf, kept.ys)",
        f"{GRADIENTS}::test_gradients_where_all_rows_are_alike",
    ),
    Mutant(
        "fused: the backward walks forward",
        "kernels/fused.py",
        "reverse=not walk.reverse",
        "reverse=walk.reverse",
        WEIGHT_GRADIENT,
    ),
    Mutant(
        "fused: padded rows' cotangents enter the step",
        "kernels/fused.py",
        "where_rows(valid, ct_carry, zeros)",
        "ct_carry",
        LENGTH_ZERO,
    ),
    Mutant(
        "fused: padded rows pass no cotangent on",
        "kernels/fused.py",
        "where_rows(valid, zeros, ct_carry)",
        "zeros",
        LENGTH_ZERO,
    ),
    Mutant(
        "fused: the gradient leaks through a reset",
        "kernels/fused.py",
        "ct_entering = where_rows(rows_t.reset, zeros, ct_entering)",
        "pass",
        f"{GRADIENTS}::test_gradients_stop_at_a_reset_and_reach_a_learned_start",
    ),
    Mutant(
        "fused: a learned start gets no gradient at resets",
        "kernels/fused.py",
        "ct_initial = _sum(ct_initial, where_rows(rows_t.reset, ct_entering, zeros))",
        "pass",
        f"{GRADIENTS}::test_gradients_stop_at_a_reset_and_reach_a_learned_start",
    ),
    Mutant(
        "cut: no adjoint through the recurrent product",
        "kernels/residuals.py",
        "_add(ct_entering, also_entering)",
        "ct_entering",
        WEIGHT_GRADIENT,
    ),
    Mutant(
        "in place: a group's results in the wrong order",
        "kernels/buffers.py",
        "found.update(zip(places, _cut(",
        "found.update(zip(places[::-1], _cut(",
        WEIGHT_GRADIENT,
    ),
    Mutant(
        "in place: a step reads what the step before it wrote",
        "kernels/buffers.py",
        "t - 1 if reverse else t + 1",
        "t",
        WEIGHT_GRADIENT,
    ),
)

REPRESENTATIVE = (
    "LSTM: gates i and f swapped",
    "LSTM: sign of the forget bias",
    "orthogonal over all gates jointly",
    "the carry of a padded row not kept",
    "padding not sanitised",
    "fused: h_t for h_tm1 in the weight gradient",
)
"""Run with the suite; the others with `make mutants`."""
