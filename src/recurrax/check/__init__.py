"""`recurrax.check_cell`: the laws of the Cell contract, run on anyone's cell."""

import sys
import time
from typing import Any

import jax
import numpy as np

from recurrax.check import contract, laws
from recurrax.check.subject import Subject
from recurrax.check.table import CheckTable, Verdict
from recurrax.kernels import Implementation, arguments
from recurrax.typing import Cell, DTypeLike, Key

__all__ = ["CheckTable", "check_cell"]

_SILENCE = 2.0
"""Seconds after which a check says which law it is at."""


def check_cell(
    cell: Cell,
    *,
    input_size: int | None = None,
    xs: Any = None,
    key: Key | None = None,
    implementation: Implementation | None = None,
    dtypes: tuple[DTypeLike, ...] = ("float32", "bfloat16", "float64"),
) -> CheckTable:
    """Runs the laws of the contract on a cell; each that is broken gets a sentence that says what to change.

    First what needs no computing: hashable, immutable, equal by value; the methods and their arguments; structures,
    shapes and dtypes. Where all of that holds, what the cell computes: no row of the batch sees another and no output a
    later input; a loop over `step`, the reference and the implementation under check agree in value, in gradients and
    in second derivatives, under every option; padding never matters; any batch axes; a donated stream; memory.

    Args:
        cell: an instance of any class with the methods of `recurrax.Cell`.
        input_size: features D that `init` is given; those of `xs` where that is one floating array. If None, the cell's
            own `input_size`, as of one that `recurrax.from_nnx` made, or 3.
        xs: inputs to try it on, any pytree of arrays (T, B, ...) with T >= 3 and B >= 3; drawn (4, 3, D) if None.
        key: what parameters are drawn from; `jax.random.key(0)` if None.
        implementation: what is held to the reference: a name that `recurrax.scan` knows, or None for its default.
        dtypes: of parameters for which structures and dtypes must hold. What is computed is computed in float32.

    Returns:
        A table of all laws, each of which holds.

    Raises:
        ValueError: `cell` is no cell at all, or `xs` too short.
        AssertionError: laws are broken; one sentence for each.

    >>> import recurrax
    >>> table = recurrax.check_cell(recurrax.Elman(4), dtypes=("float32",))
    >>> table.verdicts[0]
    Verdict(law='A cell is hashable, immutable and equal by value.', finding='holds')
    """
    if isinstance(cell, type) or not any(hasattr(cell, name) for name in contract.METHODS if name != "init"):
        arguments.check_is_cell(cell)
    key = jax.random.key(0) if key is None else key
    features: int = input_size or getattr(cell, "input_size", None) or 3
    if xs is None:
        xs = np.random.default_rng(0).standard_normal((4, 3, features)).astype(np.float32)
    xs = jax.tree.map(np.asarray, xs)
    _check_inputs(xs)
    if hasattr(xs, "shape") and np.issubdtype(xs.dtype, np.floating):
        features = xs.shape[-1]
    table = _table(Subject(cell, features, xs, key, implementation, dtypes))
    if table.broken:
        raise AssertionError("\n".join(f"{type(cell).__name__}: {sentence}" for _, sentence in table.broken))
    return table


def _check_inputs(xs: Any) -> None:
    for path, leaf in jax.tree.leaves_with_path(xs):
        if leaf.ndim < 2 or leaf.shape[0] < 3 or leaf.shape[1] < 3:
            name = f"xs{jax.tree_util.keystr(path)}"
            raise ValueError(f"{name}: expected (T, B, ...) with at least 3 steps and 3 rows, got shape {leaf.shape}")


def _table(subject: Subject) -> CheckTable:
    """Every law's verdict; laws about structure are run up to the first broken one, the others if none is."""
    begun, verdicts = time.monotonic(), []
    for law in (*contract.LAWS, *laws.LAWS):
        statement = (law.__doc__ or "").splitlines()[0]
        settled = law in laws.LAWS and all(verdict.finding == "holds" for verdict in verdicts[: len(contract.LAWS)])
        if not settled and any(verdict.finding != "holds" for verdict in verdicts):
            verdicts.append(Verdict(statement, "not run"))
            continue
        if time.monotonic() - begun > _SILENCE:
            print(f"check_cell({type(subject.cell).__name__}): {statement}", file=sys.stderr, flush=True)
        verdicts.append(Verdict(statement, law(subject) or "holds"))
    return CheckTable(repr(subject.cell), tuple(verdicts))
