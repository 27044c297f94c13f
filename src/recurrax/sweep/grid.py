"""From `--grid` to settings: every combination of the values given for each flag."""

import itertools
import re
from collections.abc import Mapping, Sequence

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9._-]*")
_MOST = 10_000
RESERVED = ("setting", "status", "seconds", "folder", "error")
"""Columns of a sweep's table beside its flags."""


def settings(grid: Sequence[str]) -> list[dict[str, str]]:
    """All settings of a grid, the last flag changing fastest.

    Args:
        grid: one text per flag, `name=value,value,...`, or the name alone for a flag that takes no value. A value with
            spaces in it becomes several arguments of that flag.

    Returns:
        Each setting's values by flag; "" where the flag takes none.

    Raises:
        ValueError: one of the texts cannot be meant.

    >>> settings(["smoke", "train.steps=1,2"])
    [{'smoke': '', 'train.steps': '1'}, {'smoke': '', 'train.steps': '2'}]
    """
    if not grid:
        raise ValueError("--grid: expected at least one name=value,value, got none")
    values: dict[str, list[str]] = {}
    for text in grid:
        name, equals, listed = text.partition("=")
        name = name.removeprefix("--")
        of_name = [value.strip() for value in listed.split(",")]
        if not _NAME.fullmatch(name) or name in RESERVED or name == "out":
            raise ValueError(
                f"--grid: expected the name of a flag before '=', other than out and {', '.join(RESERVED)}, "
                f"got {text[:120]!r}"
            )
        if name in values:
            raise ValueError(f"--grid: expected each flag once, got {name} again")
        if equals and (not all(of_name) or len(set(of_name)) < len(of_name) or not listed.isprintable()):
            raise ValueError(f"--grid: expected distinct values with commas between them, got {text[:120]!r}")
        values[name] = of_name
    number = 1
    for of_name in values.values():
        number *= len(of_name)
    if number > _MOST:
        raise ValueError(f"--grid: expected at most {_MOST} settings, got {number}")
    return [dict(zip(values, chosen, strict=True)) for chosen in itertools.product(*values.values())]


def flags(setting: Mapping[str, str]) -> list[str]:
    """The setting's part of a command line.

    >>> flags({"smoke": "", "lr": "-1", "inputs": "adding characters"})
    ['--smoke', '--lr=-1', '--inputs', 'adding', 'characters']
    """
    arguments: list[str] = []
    for name, value in setting.items():
        words = value.split()
        arguments += [f"--{name}={value}"] if len(words) == 1 else [f"--{name}", *words]
    return arguments


def slug(setting: Mapping[str, str]) -> str:
    """A few readable words on a setting, fit for a file's name.

    >>> slug({"smoke": "", "train.steps": "1"})
    'smoke-train.steps-1'
    """
    words = "-".join(f"{name} {value}" for name, value in setting.items())
    return re.sub(r"[^A-Za-z0-9.]+", "-", words).strip("-")[:60]
