"""Laws about what a cell computes, over a sequence of a few steps in float32."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from recurrax import code
from recurrax.check import trial as trials
from recurrax.check.subject import Law, Subject, differ, quickly
from recurrax.check.trial import Trial, has_gradient
from recurrax.kernels import associative
from recurrax.kernels.scan import Implementation, ScanResult, scan
from recurrax.typing import Array, Carry, Cell, Params


def rows_do_not_mix(subject: Subject) -> str | None:
    """No row of the batch sees another."""
    moved = _with_other_inputs(subject, np.arange(subject.batch) == 0)

    def others(result: ScanResult) -> Any:
        return result.outputs[:, 1:], jax.tree.map(lambda leaf: leaf[1:], result.carry)

    if differ(others(subject.run(moved)[0].result), others(subject.plain[0].result)) or _sees(
        subject, np.s_[:, :1], np.s_[:, 1:]
    ):
        return "one row of the batch changes another; let every mean, norm, softmax and sort run over axis=-1 alone"
    return None


def the_future_is_not_seen(subject: Subject) -> str | None:
    """No output sees a later input."""
    until = subject.steps // 2
    moved = _with_other_inputs(subject, np.arange(subject.steps)[:, None] > until)
    new, old = subject.run(moved)[0].result.outputs, subject.plain[0].result.outputs
    if differ(new[: until + 1], old[: until + 1]) or _sees(subject, np.s_[: until + 1], np.s_[until + 1 :]):
        return "an output changes with a later input; let project take every step by itself, never along time"
    return None


def the_input_matters(subject: Subject) -> str | None:
    """The result depends on the inputs."""
    moved = _with_other_inputs(subject, np.ones((subject.steps, subject.batch), bool))
    if differ(subject.run(moved)[0].result, subject.plain[0].result):
        return None
    return "other inputs give the same result; use u in recur, pointwise or output"


def _with_other_inputs(subject: Subject, where: np.ndarray) -> Trial:
    """The trial with the inputs of other steps wherever `where`, (B,) or (T, 1) or (T, B), is True."""
    where = np.broadcast_to(where, (subject.steps, subject.batch))

    def replace(leaf: Any) -> np.ndarray:
        return np.where(where.reshape(*where.shape, *(1,) * (leaf.ndim - 2)), leaf[::-1], leaf)

    return subject.trial._replace(xs=jax.tree.map(replace, subject.trial.xs))


def _sees(subject: Subject, outputs: Any, inputs: Any) -> bool:
    """Whether the chosen outputs (T, B) have a gradient with respect to the chosen inputs."""
    zeros = jax.tree.map(np.zeros_like, subject.trial.cotangents)
    zeros.outputs[outputs] = subject.trial.cotangents.outputs[outputs]
    gradients = subject.run(subject.trial._replace(cotangents=zeros))[0].xs
    return any(np.any(leaf[inputs]) for leaf in jax.tree.leaves(gradients) if has_gradient(leaf))


def scanning_is_looping(subject: Subject) -> str | None:
    """The reference is a loop over `step`, under every option."""
    outputs, carry = trials.loop(subject.cell, subject.uneven, reverse=True)
    found = differ(subject.reference_uneven.result, ScanResult(jnp.stack(outputs), carry))
    return found and f"the scan and a loop over step differ ({found}); let the methods depend on their arguments alone"


def values_are_the_references(subject: Subject) -> str | None:
    """Its values are those of the reference, with all rows alike and under every option."""
    found = differ(subject.plain[0].result, subject.reference[0].result) or differ(
        subject.given_uneven.result, subject.reference_uneven.result
    )
    if found and type(subject.cell).step is not Cell.step:
        return f"{subject.name} and step differ ({found}); inherit step from recurrax.Cell, which composes the others"
    return found and f"{subject.name} and the reference differ ({found}); {_ANY_AXES}"


def gradients_are_the_references(subject: Subject) -> str | None:
    """Its gradients are those of the reference, with all rows alike and under every option."""
    for got, expected in ((subject.plain[0], subject.reference[0]), (subject.given_uneven, subject.reference_uneven)):
        for of in ("params", "xs", "carry"):
            if found := differ(getattr(got, of), getattr(expected, of)):
                return f"the gradient of {of} by {subject.name} is not the reference's ({of}{found}); {_ANY_AXES}"
    return None


_ANY_AXES = "let every method treat a sequence (T, *batch, ...) as it treats a step, whatever the number of axes"


def second_derivatives_are_the_references(subject: Subject) -> str | None:
    """Its second derivatives are those of the reference."""
    found = differ(subject.plain[1], subject.reference[1])
    return found and f"a Hessian-vector product by {subject.name} is not the reference's ({found}); {_ANY_AXES}"


def coefficients_are_the_steps(subject: Subject) -> str | None:
    """Its coefficients, where it has them, say what a step does."""
    cell, trial = subject.cell, subject.trial
    if not hasattr(cell, "coefficients"):
        return None
    if reason := associative.mismatch(cell, trial.params, trial.carry, trial.xs):
        return reason

    def said_and_done(params: Params, carry: Carry, xs: Any) -> tuple[Carry, Carry]:
        u = cell.project(params, xs)
        # Other carries at every step: leaves (T, B, ...).
        before = jax.tree.map(lambda leaf: jnp.stack([(1 + t) * leaf for t in range(subject.steps)]), carry)
        a, b = associative.coefficients(cell, params, u, before)
        said = jax.tree.map(lambda a, b, s: (a * s + b).astype(s.dtype), a, b, before)
        return said, cell.pointwise(params, before, u, cell.recur(params, before, u))

    arguments = (trial.params, trial.carry, trial.xs)
    found = differ(*quickly(jax.jit(said_and_done).lower(*arguments))(*arguments))
    return found and f"coefficients and pointwise differ ({found}); let pointwise return a * s + b of the coefficients"


def cudnn_is_the_step(subject: Subject) -> str | None:
    """Its matrices for cuDNN, where it gives them, say what a step does."""
    cell, trial = subject.cell, subject.trial
    matrices: Any = getattr(cell, "cudnn", lambda params: None)
    if matrices(trial.params) is None:
        return None

    def said_and_done(params: Params, carry: Carry, x: Any) -> tuple[list[Array], list[Array]]:
        (kernel, recurrent_kernel, bias), (h, c) = matrices(params), jax.tree.leaves(carry)
        i, f, g, o = (x @ kernel[:, k] + h @ recurrent_kernel[:, k] + bias[k][None] for k in range(4))
        c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
        h = jax.nn.sigmoid(o) * jnp.tanh(c)
        stepped, y = cell.step(params, carry, x)
        return [h, c, h], [*jax.tree.leaves(stepped), y]

    arguments = (trial.params, trial.carry, jax.tree.map(lambda leaf: leaf[0], trial.xs))
    found = differ(*quickly(jax.jit(said_and_done).lower(*arguments))(*arguments))
    return found and f"cudnn and step differ ({found}); give kernels and a bias of its gates i, f, g, o"


def padding_never_matters(subject: Subject) -> str | None:
    """NaN in the padding reaches no output and no gradient."""
    got = subject.run_uneven(trials.poisoned(subject.uneven, np.nan))
    if trials.difference(got, subject.given_uneven, 0.0) is None:
        return None
    return "NaN in the padding changes an output or a gradient; let project take every step by itself"


def batch_axes_are_free(subject: Subject) -> str | None:
    """A batch is any number of axes, and `vmap` over it gives the same."""
    trial, expected = subject.trial, subject.plain[0].result
    arguments = (trial.params, trial.xs, trial.carry)
    program = quickly(_over_other_axes.lower(subject.cell, subject.implementation, *arguments))
    alone, wide = program(*arguments)
    if found := differ(alone, expected):
        return f"vmap over the batch gives something else than the batch ({found}); {_ANY_AXES}"
    second = ScanResult(wide.outputs[:, 1], jax.tree.map(lambda leaf: leaf[1], wide.carry))
    found = differ(second, expected)
    return found and f"two batch axes give something else than one ({found}); {_ANY_AXES}"


@partial(code.jit, static_argnums=(0, 1))
def _over_other_axes(
    cell: Cell, implementation: Implementation | None, params: Params, xs: Any, carry: Carry
) -> tuple[ScanResult, ScanResult]:
    """The same scan vmapped over the batch, and with the batch as the second of two axes."""

    def twice(tree: Any, axis: int) -> Any:
        return jax.tree.map(lambda leaf: jnp.stack([leaf, leaf], axis), tree)

    def rows(params: Params) -> ScanResult:
        def row(xs: Any, carry: Carry) -> ScanResult:
            return scan(cell, params, xs, carry, implementation=implementation)

        return jax.vmap(row, in_axes=(1, 0), out_axes=ScanResult(1, 0))(xs, carry)  # pyright: ignore[reportArgumentType]

    # As a derivative sees it: JAX lays out what a rule for it gives by what the plain function gives.
    alone = jax.vjp(rows, params)[0]
    return alone, scan(cell, params, twice(xs, 1), twice(carry, 0), implementation=implementation)


def a_stream_can_be_donated(subject: Subject) -> str | None:
    """A loop over steps that donates its carry gives what the scan gives, from the initial carry on."""
    initial = trials.initial_carry(subject.cell, subject.trial, (subject.batch,))
    if trials.shares_buffers(initial):
        return "two leaves of initial_carry are one array, which cannot be donated twice; make an array for each"
    expected = subject.run(subject.trial._replace(carry=jax.tree.map(jnp.copy, initial)))[0].result
    found = differ(trials.stream(subject.cell, subject.trial._replace(carry=initial)), expected)
    return found and f"a loop that donates its carry differs from the scan ({found}); keep nothing but the carry"


def memory_is_the_references_at_most(subject: Subject) -> str | None:
    """A training step over 64 steps holds no more than the reference's."""
    if subject.implementation in ("associative", "newton"):  # their rounds are time-sized arrays; `chunk` bounds them
        return None
    repeats = -(-64 // subject.steps)
    xs = jax.tree.map(lambda leaf: np.concatenate([leaf] * repeats)[:64], subject.trial.xs)
    given, reference = (
        temporaries(subject.cell, subject.trial.params, xs, implementation)
        for implementation in (subject.implementation, "reference")
    )
    if given - reference < 4 * 64 * subject.batch:  # less than one number for each step and row
        return None
    return (
        f"a training step of {subject.name} holds {given} bytes, the reference's {reference}: please report this cell"
    )


def temporaries(cell: Cell, params: Params, xs: Any, implementation: Implementation | None) -> int:
    """Bytes that the gradient of Σ y² with respect to the parameters holds beside its arguments and results."""
    moves = [has_gradient(leaf) for leaf in jax.tree.leaves(params)]

    def loss(params: Params) -> Array:
        return jnp.sum(jnp.square(jnp.abs(scan(cell, params, xs, implementation=implementation).outputs)))

    gradient = jax.jit(jax.grad(loss, allow_int=not all(moves)))
    held = quickly(gradient.lower(params)).memory_analysis()
    return 0 if held is None else held.temp_size_in_bytes  # a back end may not say


LAWS: tuple[Law, ...] = (
    rows_do_not_mix,
    the_future_is_not_seen,
    the_input_matters,
    scanning_is_looping,
    values_are_the_references,
    gradients_are_the_references,
    second_derivatives_are_the_references,
    coefficients_are_the_steps,
    cudnn_is_the_step,
    padding_never_matters,
    batch_axes_are_free,
    a_stream_can_be_donated,
    memory_is_the_references_at_most,
)
