"""The cell under check, and what several laws read of it, computed once."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, TypeAlias

import jax
import numpy as np

from recurrax import code
from recurrax.check import trial as trials
from recurrax.check.trial import Trial, ValueAndGrad
from recurrax.kernels import Implementation
from recurrax.typing import Cell, DTypeLike, Key, Params

RTOL = 1e-4
"""What float32 may lose between two orders of summation over a few steps; a wrong term costs far more."""
QUICK = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}
EVERY_OPTION = {"reverse": True, "chunk": 2}


@partial(code.jit, static_argnums=(0, 1))
def _drawn(cell: Cell, input_size: int, key: Key) -> Params:
    return cell.init(key, input_size)


@dataclass(frozen=True)
class Subject:
    """A cell and how it is checked: the arguments of `recurrax.check_cell`.

    `plain` and `reference` are runs with all rows alike; `given_uneven` and `reference_uneven` are runs under every
    option at once. Each is one compiled program, which laws call again with other numbers.
    """

    cell: Cell
    input_size: int
    xs: Any  # leaves (T, B, ...), NumPy
    key: Key
    implementation: Implementation | None
    dtypes: tuple[DTypeLike, ...]

    @property
    def name(self) -> str:
        """What sentences call the implementation under check."""
        return "the default" if self.implementation is None else f'"{self.implementation}"'

    @property
    def steps(self) -> int:
        """T."""
        return jax.tree.leaves(self.xs)[0].shape[0]

    @property
    def batch(self) -> int:
        """B."""
        return jax.tree.leaves(self.xs)[0].shape[1]

    @cached_property
    def trial(self) -> Trial:
        """Parameters near their initial values, inputs, a carry and cotangents; all rows alike."""
        params = _drawn(self.cell, self.input_size, self.key)
        return trials.draw(self.cell, params, self.xs, (self.batch,), scale=0.3)

    @cached_property
    def uneven(self) -> Trial:
        """The same with lengths, one of them 0, a mask and resets."""
        lengths = np.full(self.batch, self.steps)
        lengths[1], lengths[2:] = 0, self.steps - 1
        mask, resets = np.ones((self.steps, self.batch), bool), np.zeros((self.steps, self.batch), bool)
        mask[1, 0], resets[self.steps // 2] = False, True
        return self.trial._replace(lengths=lengths, mask=mask, resets=resets)

    @cached_property
    def _programs(self) -> dict[Any, Callable[[Trial], Any]]:
        return {}

    def _call(self, function: Any, trial: Trial, **options: Any) -> Any:
        """`function` of `trials`, compiled once and without most optimisations: each program runs a few times."""
        key = (function, *options.values())
        if key not in self._programs:
            self._programs[key] = quickly(function.lower(self.cell, trial, **options))
        return self._programs[key](trial)

    def run(self, trial: Trial, reference: bool = False) -> tuple[ValueAndGrad, Any]:
        """A trial with all rows alike, its gradients and a Hessian-vector product."""
        implementation = "reference" if reference else self.implementation
        return self._call(trials.second_order, trial, implementation=implementation)

    @cached_property
    def plain(self) -> tuple[ValueAndGrad, Any]:
        return self.run(self.trial)

    @cached_property
    def reference(self) -> tuple[ValueAndGrad, Any]:
        return self.run(self.trial, reference=True)

    def run_uneven(self, trial: Trial) -> ValueAndGrad:
        """A trial under every option of `recurrax.scan` at once."""
        return self._call(trials.value_and_grad, trial, implementation=self.implementation, **EVERY_OPTION)

    @cached_property
    def given_uneven(self) -> ValueAndGrad:
        return self.run_uneven(self.uneven)

    @cached_property
    def reference_uneven(self) -> ValueAndGrad:
        return self._call(trials.value_and_grad, self.uneven, implementation="reference", **EVERY_OPTION)


def quickly(lowered: Any) -> Any:
    """A lowered function compiled without most optimisations."""
    return lowered.compile(QUICK if jax.default_backend() == "cpu" else None)


Law: TypeAlias = Callable[[Subject], str | None]
"""A law, stated by the first line of its docstring: None where it holds, else a sentence that says what to change."""


def differ(actual: Any, expected: Any) -> str | None:
    """Where two trees differ by more than float32 loses."""
    return trials.difference(actual, expected, RTOL, least=1.0)
