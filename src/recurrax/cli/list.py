"""`recurrax list`: what there is to choose from."""

import ast
import dataclasses
import inspect
import re
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType
from typing import Any, Literal, NamedTuple, get_args, get_origin, get_type_hints

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from recurrax.report.console import terminal

_COST = re.compile(r"^Command: `[^`]*`,? *([^.;]*)", re.MULTILINE)


class Experiment(NamedTuple):
    """A script: its name, the question it answers, and what that takes, both in its docstring's words."""

    name: str
    question: str
    cost: str


def list_all(experiments: Path = Path("experiments")) -> int:
    """Cells and tasks with their fields and defaults, initialisations, experiments with their question and cost.

    Args:
        experiments: Folder of the experiments' scripts, as in a clone of the project.
    """
    from recurrax import cells, tasks, wrappers
    from recurrax.cells import initializers

    console = terminal()
    _show_classes(console, "Cells", cells.ALL)
    _show_classes(console, "Wrappers of cells", wrappers.ALL)
    _show_initialisations(console, initializers)
    _show_classes(console, "Tasks", tasks.ALL)
    _show_classes(console, "Tasks of your own files", tasks.OF_FILES)
    console.print(
        Text("\nAs a text for --cells and --tasks: lstm:forget_bias=chrono, gru:init=uniform, my_file.py:Name")
    )
    found = read_experiments(experiments) if experiments.is_dir() else []
    if not found:
        console.print(Text(f"Experiments: no scripts in {experiments}; name their folder with --experiments"))
        return 0
    table = _table(f"Experiments in {experiments}", ("experiment", "question", "takes"))
    for experiment in found:
        table.add_row(*map(Text, experiment))
    console.print(table)
    return 0


def read_experiments(folder: Path) -> list[Experiment]:
    """The experiments in a folder, read and not run: scripts whose docstring has a line "Command:".

    The first line of that docstring is the question; what follows the command is the cost.

    Raises:
        ValueError: a script cannot be read as Python.
    """
    found = []
    for path in sorted(folder.glob("[!_.]*.py")):
        try:
            said = ast.get_docstring(ast.parse(path.read_bytes())) or ""
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            raise ValueError(f"{path}: expected a script, got a file that cannot be read as Python: {error}") from error
        cost = _COST.search(said)
        if cost is not None:
            found.append(Experiment(path.stem, said.partition("\n")[0], " ".join(cost[1].split()) or "not said"))
    return found


def _show_classes(console: Console, title: str, classes: Iterable[type]) -> None:
    table = _table(title, ("name", "field", "default", "values"))
    for shown in classes:
        hints = get_type_hints(shown)
        for index, field in enumerate(dataclasses.fields(shown)):
            name = shown.__name__ if index == 0 else ""
            required = field.default is dataclasses.MISSING
            default = "required" if required else str(field.default)
            table.add_row(*map(Text, (name, field.name, default, ", ".join(_choices(hints[field.name])))))
    console.print(table)


def _choices(hint: Any) -> list[str]:
    """The values a field may have: those of a Literal, and the types it may be beside them."""
    if get_origin(hint) is Literal:
        return [str(choice) for choice in get_args(hint)]
    if get_args(hint):
        return [choice for part in get_args(hint) for choice in _choices(part)]
    name = str(hint.__name__)
    return [{"int": "a whole number", "float": "a number", "bool": "True, False"}.get(name, name)]


def _show_initialisations(console: Console, initializers: ModuleType) -> None:
    table = _table("Initialisations of a kernel, drawn gate by gate", ("name", "what"))
    for name, what in read_initialisations(initializers):
        table.add_row(Text(name), Text(what))
    table.caption = Text(f"A bias: {(inspect.getdoc(initializers.bias) or '').partition(': ')[2]}")
    table.caption_justify = "left"
    console.print(table)


def read_initialisations(initializers: ModuleType) -> list[tuple[str, str]]:
    """Every kernel initialisation with what it draws, as the docstring of `initializers.kernel` has them."""
    described = " ".join((inspect.getdoc(initializers.kernel) or "").partition("\n\n")[2].split())
    entries = (entry.partition(": ") for entry in described.rstrip(".").split("; "))
    return [(name, what) for name, _, what in entries]


def _table(title: str, columns: tuple[str, ...]) -> Table:
    heading = Text(f"\n{title}", style="bold")
    table = Table(title=heading, title_justify="left", box=SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    return table
