"""Laws that hold before anything is computed: the cell as a value, its methods, their structures and dtypes."""

import copy
import inspect
from typing import Any

import jax
import jax.numpy as jnp
from jax.core import Tracer

from recurrax.check.structure import structures
from recurrax.check.subject import Law, Subject
from recurrax.check.trial import has_gradient
from recurrax.typing import Cell

METHODS = {
    "init": ("key", "input_size", "dtype"),
    "initial_carry": ("params", "batch_shape", "dtype"),
    "project": ("params", "x"),
    "recur": ("params", "carry", "u"),
    "pointwise": ("params", "carry", "u", "v"),
    "output": ("params", "carry", "u"),
    "step": ("params", "carry", "x"),
}
"""The arguments of every method of the contract."""
FROZEN = "write it as a dataclass with frozen=True"


def is_a_value(subject: Subject) -> str | None:
    """A cell is hashable, immutable and equal by value."""
    cell = subject.cell
    for name, field in getattr(cell, "__dict__", {}).items():
        if not _has_a_hash(field):
            return f"field {name!r} holds a {type(field).__name__}, which has no hash; {_hashable_form(field)}"
    if not _has_a_hash(cell):
        return f"the cell has no hash; {FROZEN}"
    twin = copy.deepcopy(cell)
    if not (cell == twin and hash(cell) == hash(twin)):
        return f"two cells with equal fields are not equal, and each would compile again; {FROZEN}"
    for name in getattr(twin, "__dict__", {}):
        if _can_be_assigned(twin, name):
            return f"field {name!r} can be assigned to, which compiled programs would not notice; {FROZEN}"
    return None


def _has_a_hash(value: Any) -> bool:
    try:
        hash(value)
    except TypeError:
        return False
    return True


def _hashable_form(field: Any) -> str:
    if isinstance(field, list):
        return "make it a tuple"
    return "wrap it as recurrax.Fixed(array)" if hasattr(field, "shape") else "make it a value that has one"


def _can_be_assigned(cell: Any, name: str) -> bool:
    try:
        setattr(cell, name, getattr(cell, name))
    except AttributeError:  # FrozenInstanceError is one
        return False
    return True


def has_its_methods(subject: Subject) -> str | None:
    """It has the methods of the contract, with their arguments."""
    for name, arguments in METHODS.items():
        signature = f"{name}(self, {', '.join(arguments)})"
        method = getattr(subject.cell, name, None)
        if method is None or (name != "step" and getattr(type(subject.cell), name) is getattr(Cell, name)):
            return f"{name} is missing; define {signature}" + (
                " or inherit from recurrax.Cell" if name == "step" else ""
            )
        try:
            inspect.signature(method).bind(*arguments)
        except TypeError:
            return f"{name} takes {inspect.signature(method)}; define {signature}"
    return None


def reaches_nothing_traced(subject: Subject) -> str | None:
    """Its methods reach no traced value but their arguments."""
    for name in METHODS:
        for variable, value in inspect.getclosurevars(getattr(type(subject.cell), name)).nonlocals.items():
            if any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves(value)):
                return f"{name} reads {variable!r}, a traced value from outside the cell; make it a parameter"
    structure, cell = next(structures(subject)), subject.cell
    carry = (structure.params, structure.carry, structure.u)
    for name, arguments in {"recur": carry, "pointwise": (*carry, structure.v), "output": carry}.items():
        constants = jax.make_jaxpr(getattr(cell, name))(*arguments).consts
        if any(isinstance(constant, Tracer) for constant in constants):
            return f"{name} reads a value that another method computed; hand it over in carry, u or v"
    return None


def draws_parameters(subject: Subject) -> str | None:
    """`init` draws parameters in the dtype asked for."""
    for structure in structures(subject):
        for path, leaf in jax.tree.leaves_with_path(structure.params):
            wanted = _alike(leaf, structure.dtype)
            if has_gradient(leaf) and leaf.dtype != wanted:
                name = f"params{jax.tree_util.keystr(path)}"
                return f"init with dtype {structure.dtype} gave {name} in {leaf.dtype}; hand dtype on to what draws it"
    return None


def starts_a_carry(subject: Subject) -> str | None:
    """`initial_carry` gives leaves (*batch, ...), none of a higher dtype than asked for."""
    for structure in structures(subject):
        batch_shape, dtype = structure.batch_shape, structure.carry_dtype
        for path, leaf in jax.tree.leaves_with_path(structure.carry):
            name = f"initial_carry{jax.tree_util.keystr(path)} for batch shape {batch_shape} and {dtype}"
            if leaf.shape[: len(batch_shape)] != batch_shape:
                return f"{name} has shape {leaf.shape}; begin it with batch_shape"
            most = _alike(leaf, dtype)
            if has_gradient(leaf) and jnp.promote_types(leaf.dtype, most) != most:
                return f"{name} has dtype {leaf.dtype}; hand dtype on to what makes it"
    return None


def _alike(leaf: Any, dtype: Any) -> Any:
    """`dtype`, or the complex one of its precision for a complex leaf."""
    return jnp.promote_types(dtype, jnp.complex64) if jnp.issubdtype(leaf.dtype, jnp.complexfloating) else dtype


def keeps_the_carry(subject: Subject) -> str | None:
    """A step keeps the structure, shapes and dtypes of the carry."""
    for structure in structures(subject):
        old, new = jax.tree.structure(structure.carry), jax.tree.structure(structure.stepped)
        if old != new:
            return f"pointwise turns a carry of structure {old} into {new}; return what initial_carry returns"
        for (path, was), leaf in zip(
            jax.tree.leaves_with_path(structure.carry), jax.tree.leaves(structure.stepped), strict=True
        ):
            name = f"carry{jax.tree_util.keystr(path)}"
            if leaf.shape != was.shape:
                return f"pointwise turns {name} of shape {was.shape} into {leaf.shape}; keep its shape"
            if leaf.dtype != was.dtype:
                given = f"{was.dtype} (with parameters in {structure.dtype})"
                return f"pointwise turns {name} of dtype {given} into {leaf.dtype}; cast it to the carry's dtype"
    return None


def gives_one_output(subject: Subject) -> str | None:
    """`output` gives one array (*batch, ...)."""
    for structure in structures(subject):
        y, batch_shape = structure.y, structure.batch_shape
        if not hasattr(y, "shape"):
            return f"output returns a {type(y).__name__}; return one array (*batch, ...), several ones concatenated"
        if y.shape[: len(batch_shape)] != batch_shape:
            return f"output for batch shape {batch_shape} has shape {y.shape}; keep the batch axes first"
    return None


LAWS: tuple[Law, ...] = (
    is_a_value,
    has_its_methods,
    reaches_nothing_traced,
    draws_parameters,
    starts_a_carry,
    keeps_the_carry,
    gives_one_output,
)
