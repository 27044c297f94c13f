"""Packages that only an extra brings: loaded when used, and named with the command that installs them when missing."""

import importlib
import importlib.metadata
from types import ModuleType

COMPUTING = ("recurrax", "jax", "jaxlib", "flax", "optax", "numpy")
"""This package and those that it always needs."""


def installation(extra: str = "") -> str:
    """The command that adds an extra's packages, or those always needed, where recurrax is a clone.

    >>> installation("experiments"), installation()
    ('pip install ".[experiments]"', 'pip install .')
    """
    return f'pip install ".[{extra}]"' if extra else "pip install ."


def version(package: str) -> str | None:
    """The version of a package that is installed, None for another."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def require(module: str, extra: str) -> ModuleType:
    """The module, or one sentence that says how to get it.

    Raises:
        ModuleNotFoundError: it is not installed.

    >>> require("json", "experiments").dumps([1])
    '[1]'
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        package = module.partition(".")[0]
        if error.name != package:
            raise
        raise ModuleNotFoundError(
            f"{package} is not installed; in a clone: {installation(extra)}", name=package
        ) from error
