"""Packages that only an extra brings: loaded when used, and named with the command that installs them when missing."""

import importlib
from types import ModuleType


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
            f'{package} is not installed; it comes with: pip install "recurrax[{extra}]"', name=package
        ) from error
