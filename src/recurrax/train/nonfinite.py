"""Saying which number stopped being finite, where and when."""

import jax
import numpy as np

from recurrax.train.step import Program, State, Step


class NonFiniteError(FloatingPointError):
    """A loss, gradient or parameter became inf or NaN; `state` holds the parameters from before that step."""

    def __init__(self, message: str, state: State):
        super().__init__(message)
        self.state = state


def describe(program: Program, state: State) -> str:
    """One sentence naming step, seed and tensors of every row that failed, by taking the refused steps again."""
    stories = []
    seeds = state.seeds.tolist()
    for row, (seed, step) in enumerate(zip(seeds, state.failed_at.tolist(), strict=True)):
        if step >= 0:
            names = nonfinite_names(program.retake(state, row))
            more = f" and {len(names) - 3} more" if len(names) > 3 else ""
            which = f"seed {seed}" if seeds.count(seed) == 1 else f"row {row}, seed {seed},"
            stories.append(f"{which} at step {step} in {', '.join(names[:3])}{more}")
    return f"not finite: {'; '.join(stories)}; that step was not taken"


def nonfinite_names(taken: Step) -> list[str]:
    """Paths of the tensors that hold an inf or a NaN: the loss first, then gradients, then parameters.

    >>> nonfinite_names(Step(np.inf, {"w": np.zeros(2)}, {"w": np.array([0.0, np.nan])}))
    ['loss', 'parameters.w']
    """
    leaves = jax.tree.leaves_with_path(taken)
    return [
        jax.tree_util.keystr(path, simple=True, separator=".") for path, leaf in leaves if not np.isfinite(leaf).all()
    ]
