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
ZOO = "tests/kernels/test_zoo.py"
STATISTICS = "tests/study/test_statistics.py"
CLAIMS = "tests/study/test_claims.py"
CONTRACT = "tests/lag/test_contract.py"

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
        "kernels/projection.py",
        "jnp.ones((rows.shape[0], 1), rows.dtype)",
        "jnp.zeros((rows.shape[0], 1), rows.dtype)",
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
        "xs = where_rows(rows.valid, xs, jax.tree.map(jnp.zeros_like, xs))",
        "pass",
        f"{PADDING}::test_padding_changes_nothing",
    ),
    Mutant(
        "reverse ignored",
        "kernels/scan.py",
        "how.batch_shape, how.reverse, how.unroll)",
        "how.batch_shape, False, how.unroll)",
        f"{WALKS}::test_reverse_is_forward_on_each_flipped_row",
    ),
    Mutant(
        "lengths off by one",
        "kernels/arguments.py",
        "at < _lengths(",
        "at <= _lengths(",
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
        "jnp.result_type(jnp.float32, *leaves)",
        "jnp.result_type(*leaves)",
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
        "return _one_later(self.stored.z[d.same[i]], first, self.loop.reverse)",
        "return self.stored.z[d.same[i]]",
        f"{GRADIENTS}::test_gradients_where_all_rows_are_alike",
    ),
    Mutant(
        "fused: the backward walks forward",
        "kernels/fused.py",
        "reverse=not loop.reverse",
        "reverse=loop.reverse",
        WEIGHT_GRADIENT,
    ),
    Mutant(
        "fused: padded rows' cotangents enter the step",
        "kernels/fused.py",
        "return where_rows(valid, ct_s, zeros), where_rows(valid, zeros, ct_s)",
        "return ct_s, where_rows(valid, zeros, ct_s)",
        LENGTH_ZERO,
    ),
    Mutant(
        "fused: padded rows pass no cotangent on",
        "kernels/fused.py",
        "where_rows(valid, zeros, ct_s)",
        "zeros",
        LENGTH_ZERO,
    ),
    Mutant(
        "fused: the gradient leaks through a reset",
        "kernels/fused.py",
        "ct_s = where_rows(rows_t.reset, zeros, ct_s)",
        "pass",
        f"{GRADIENTS}::test_gradients_stop_at_a_reset_and_reach_a_learned_start",
    ),
    Mutant(
        "fused: a learned start gets no gradient at resets",
        "kernels/fused.py",
        "ct_initial = _sum(ct_initial, where_rows(rows_t.reset, ct_s, zeros))",
        "pass",
        f"{GRADIENTS}::test_gradients_stop_at_a_reset_and_reach_a_learned_start",
    ),
    Mutant(
        "fused: nothing flows back through a step",
        "kernels/fused.py",
        "_added(next(pulled) if flow else None, beside, leaf)",
        "_added(None if flow else None, beside, leaf)",
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
    Mutant(
        "fused: the step before is the step itself",
        "kernels/fused.py",
        "t + 1 if self.loop.reverse else t - 1",
        "t",
        f"{GRADIENTS}::test_gradients_where_all_rows_are_alike",
    ),
    Mutant(
        "fused: the carry given is not the one before the first step",
        "kernels/fused.py",
        "jnp.where(is_first, self.first[i],",
        "jnp.where(False, self.first[i],",
        f"{GRADIENTS}::test_gradients_where_all_rows_are_alike",
    ),
    Mutant(
        "fused: an output made after the loop is not masked",
        "kernels/fused.py",
        "return leaving_output(rows.valid, ys)",
        "return ys",
        f"{ZOO}::test_options_at_once[Readout]",
    ),
    Mutant(
        "fused: outputs of padded rows without a derivative",
        "kernels/fused.py",
        "leaving_carry(rows_t.valid, stepped, entering), masked(rows_t, z)",
        "leaving_carry(rows_t.valid, stepped, entering), z",
        f"{PADDING}::test_padded_outputs_are_zero_without_a_derivative",
    ),
    Mutant(
        "jaxprs: slices taken for a split in the wrong order",
        "kernels/jaxprs.py",
        "Replacement([eqn.outvars[0] for eqn in cuts], ",
        "Replacement([eqn.outvars[0] for eqn in cuts[::-1]], ",
        f"{ZOO}::test_all_rows_alike[Uneven]",
    ),
    Mutant(
        "jaxprs: a loop is light enough to run twice",
        "kernels/jaxprs.py",
        "return eqn.primitive.name in _HEAVY or any(is_heavy(inner) for inner in inner_equations(eqn))",
        "return False",
        "tests/kernels/test_lowering.py::test_one_product_per_step_in_each_direction",
    ),
    Mutant(
        "steps: leaves of u in the order of a dict",
        "kernels/steps.py",
        "zip([u[i] for i in self.order], self.sizes, strict=True)",
        "zip(u, self.sizes, strict=True)",
        f"{ZOO}::test_all_rows_alike[ResetBeforeGRU]",
    ),
    Mutant(
        "steps: nothing is prepared",
        "kernels/steps.py",
        "constant = jaxprs.constants(traced, varying, sunk=_LEFT_TO_THE_LOOP)",
        "constant = {*theta}",
        "tests/kernels/test_lowering.py::test_a_matrix_exponential_is_made_once",
    ),
    Mutant(
        "steps: no output waits for the end of the loop",
        "kernels/steps.py",
        "after = _after_the_loop(traced, stepped, varying) if head else set()",
        "after = set()",
        "tests/kernels/test_lowering.py::test_what_parameters_alone_decide_and_what_outputs_alone_wait_for_stand_outside_the_loops",
    ),
    Mutant(
        "residuals: complex leaves have no gradient",
        "kernels/residuals.py",
        "jnp.issubdtype(leaf.dtype, jnp.inexact)",
        "jnp.issubdtype(leaf.dtype, jnp.floating)",
        f"{ZOO}::test_all_rows_alike[LRU]",
    ),
    Mutant(
        "residuals: what follows from the saved is saved too",
        "kernels/residuals.py",
        "            if follows:\n                known.add(var)\n            elif",
        "            if False:\n                known.add(var)\n            elif",
        "tests/kernels/test_lowering.py::test_a_training_step_holds_few_time_sized_arrays",
    ),
    Mutant(
        "sums: a product of two that change with time summed first",
        "kernels/sums.py",
        "(name in _BILINEAR and len(moved) == 1)",
        "name in _BILINEAR",
        f"{ZOO}::test_all_rows_alike[Modulated]",
    ),
    Mutant(
        "sums: the first step is left out",
        "kernels/sums.py",
        "factors, over = [left, right],",
        "factors, over = [left[1:], right[1:]],",
        WEIGHT_GRADIENT,
    ),
    Mutant(
        "arguments: parameters of any shape",
        "kernels/arguments.py",
        '    raise ValueError(f"params{name}: expected shape {want}, got {got}")',
        "    return",
        f"{ARGUMENTS}::test_parameters_and_steps_are_checked_against_the_cell",
    ),
    Mutant(
        "meshes: results cut along time",
        "kernels/meshes.py",
        "cuts = tuple(cuts[1 : 1 + len(batch_shape)])",
        "cuts = tuple(cuts[: len(batch_shape)])",
        "tests/kernels/test_meshes.py::test_gradients_are_those_of_one_device",
    ),
    Mutant(
        "fixed: equal whatever the dtype",
        "fixed.py",
        "return self.array.shape, self.array.dtype.str, self.array.tobytes()",
        "return self.array.shape, self.array.sum()",
        "tests/test_fixed.py::test_equal_by_shape_dtype_and_bytes",
    ),
    Mutant(
        "the frame: one buffer for every leaf of a carry",
        "cells/gated.py",
        "[jnp.zeros((*batch_shape, self.hidden_size), dtype) for _ in range(count)]",
        "[jnp.zeros((*batch_shape, self.hidden_size), dtype)] * count",
        "tests/cells/test_all_cells.py::test_a_loop_that_donates_its_carry",
    ),
    Mutant(
        "norms: the imaginary part left out",
        "norms.py",
        "jnp.square(x.real) + jnp.square(x.imag)",
        "jnp.square(x.real)",
        f"{CONTRACT}::test_adjoint[ComplexDiagonal]",
    ),
    Mutant(
        "lag: no adjoint through the products with the carry",
        "lag/walk.py",
        "jax.tree.map(jnp.add, direct, through_v)",
        "direct",
        f"{CONTRACT}::test_adjoint[TokenReader]",
    ),
    Mutant(
        "lag: the direct path takes the products too",
        "lag/walk.py",
        "pointwise_adjoints(cell, params, at_t, adjoint)[0], adjoint)",
        "adjoint_before(cell, params, at_t, adjoint), adjoint)",
        f"{CONTRACT}::test_carousel[TokenReader]",
    ),
    Mutant(
        "lag: an adjoint changes where a step is padding",
        "lag/walk.py",
        "where_valid(at_t.valid, jax.tree.map(",
        "where_valid(None, jax.tree.map(",
        f"{CONTRACT}::test_a_loss_is_its_cotangent_and_padding_is_not_there[GatedOutput]",
    ),
    Mutant(
        "lag: counted from the end of the padding",
        "lag/walk.py",
        "jnp.clip(lengths, 0, steps)[None] - 1 - lag",
        "jnp.full_like(lengths, steps)[None] - 1 - lag",
        "tests/lag/test_adjoint_laws.py::test_lengths_count_lags_from_each_rows_own_end",
    ),
    Mutant(
        "lag: an output's own parameters left out",
        "lag/parameter.py",
        "ScaledVector(cotangent, jnp",
        "ScaledVector(0 * cotangent, jnp",
        f"{CONTRACT}::test_parameter[GatedOutput]",
    ),
    Mutant(
        "lag: the way through the output counted twice",
        "lag/parameter.py",
        "jax.lax.stop_gradient(after)",
        "after",
        f"{CONTRACT}::test_parameter[TokenReader]",
    ),
    Mutant(
        "memory: decoded on the steps it was fitted to",
        "lag/memory.py",
        "slice(start, end), slice(held_out, None)",
        "slice(start, end), slice(start, end)",
        f"{CONTRACT}::test_memory[TokenReader]",
    ),
    Mutant(
        "statistics: the interval one order statistic too narrow",
        "study/statistics.py",
        "np.sort(low)[k - 1]",
        "np.sort(low)[k]",
        f"{STATISTICS}::test_the_paired_median_lies_between_order_statistics",
    ),
    Mutant(
        "statistics: an interval at 94 % from five seeds",
        "study/statistics.py",
        "<= 1 - confidence for below",
        "<= 1.5 * (1 - confidence) for below",
        f"{STATISTICS}::test_five_seeds_cannot_give_a_95_percent_interval",
    ),
    Mutant(
        "statistics: what lies beyond those measured taken for the last one",
        "study/statistics.py",
        "of.low - against.high, of.high - against.low",
        "of.low - against.low, of.low - against.low",
        f"{STATISTICS}::test_censored_differences_are_bounded_on_the_side_that_is_known",
    ),
    Mutant(
        "statistics: Holm's p values not in order",
        "study/statistics.py",
        "np.maximum.accumulate(",
        "np.asarray(",
        f"{STATISTICS}::test_holm_by_hand_and_in_any_order",
    ),
    Mutant(
        "claims: the smallest effect that counts forgotten",
        "study/claims.py",
        "if theta.high < delta:",
        "if theta.high < 0:",
        f"{CLAIMS}::test_verdicts_on_planted_effects",
    ),
    Mutant(
        "claims: seeds paired by their place",
        "study/claims.py",
        "if not np.array_equal(of.seeds, against.seeds):",
        "if len(of.seeds) != len(against.seeds):",
        f"{CLAIMS}::test_cells_that_do_not_share_their_seeds_are_not_compared",
    ),
    Mutant(
        "named: the settings' size before the text's own",
        "study/named.py",
        "given = {name: size for name, size in sizes.items() if name in known} | dict(self.fields)",
        "given = dict(self.fields) | {name: size for name, size in sizes.items() if name in known}",
        "tests/study/test_named.py::test_sizes_are_those_of_the_settings_unless_the_text_has_them",
    ),
    Mutant(
        "named: an edited file as it was imported first",
        "study/named.py",
        'f"{path.stem}_{where}_{digest[:8]}"',
        'f"{path.stem}_{where}"',
        "tests/study/test_named.py::test_a_file_that_has_changed_is_read_again",
    ),
    Mutant(
        "experiment: an edited cell given the results of the one before",
        "study/experiment.py",
        'return {"files": digests} if digests else {}',
        "return {}",
        "tests/study/test_experiment.py::test_an_edited_file_is_another_run",
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
