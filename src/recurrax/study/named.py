"""Cells and tasks by a text: `[path/to/file.py:]NAME[:field=value,...]`.

| text | what |
|---|---|
| `lstm` | the cell of that name, upper or lower case; sizes come from the settings of whoever asks |
| `lstm:forget_bias=chrono,t_max=100` | with these fields, each value read as its field's type |
| `gru:init=uniform` | `init` is no field of it, so every field that ends in `_init` |
| `my_cells.py:Leaky:alpha=0.1` | the class of that name in that file, which is imported only when it is named |
"""

import contextlib
import dataclasses
import difflib
import hashlib
import importlib.util
import re
import sys
import types
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, is_dataclass
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from recurrax import cells as known_cells
from recurrax import tasks as known_tasks
from recurrax.tasks import Task
from recurrax.typing import Cell

_TEXT = re.compile(r"(?:(?P<file>.+?\.py):)?(?P<name>[^:]*)(?::(?P<fields>.*))?", re.DOTALL)
_WORDS = {int: "a whole number", float: "a number", bool: "True or False", str: "a text", type(None): "None"}


@dataclass(frozen=True)
class Name:
    """A cell or task that a text names, its sizes still open.

    Fields: `label`, the text without the folder and file of the class, which stands for it in tables, figures and file
    names; `kind`, its class; `fields`, those the text gives; `contract`, `Cell` or `Task`.
    """

    label: str
    kind: type
    fields: tuple[tuple[str, Any], ...]
    contract: type

    def build(self, **sizes: Any) -> Any:
        """The cell or task, with those of the `sizes` that are fields of it and not given by the text.

        Raises:
            ValueError: a field lacks a value or has one that the class refuses, or the class lacks what the contract
                asks for.

        >>> cell("lstm:forget_bias=0").build(hidden_size=64, length=50).forget_bias
        0.0
        """
        known = {field.name for field in dataclasses.fields(self.kind)}
        given = {name: size for name, size in sizes.items() if name in known} | dict(self.fields)
        for field in dataclasses.fields(self.kind):
            needed = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
            if needed and field.init and field.name not in given:
                raise ValueError(f"{self.label}: expected a value for its field {field.name!r}, got none")
        try:
            built = self.kind(**given)
        except (ValueError, TypeError) as error:
            raise ValueError(f"{self.label}: {error}") from error
        if not isinstance(built, self.contract):
            missing = [name for name in vars(self.contract) if name[0] != "_" and not hasattr(built, name)]
            raise ValueError(f"{self.label}: expected a {self.contract.__name__.lower()}, lacks {', '.join(missing)}")
        return built

    @property
    def slug(self) -> str:
        """The label as a part of a file's name."""
        return re.sub(r"[^A-Za-z0-9._-]+", "-", self.label)


def cell(text: str) -> Name:
    """The cell that a text names.

    Raises:
        ValueError: there is no such file, class, field or value; the message names the nearest there is.

    >>> cell("GRU:reset_after=false").build(hidden_size=8).reset_after
    False
    >>> cell("lstn")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ValueError: cells: expected one of ... or file.py:NAME, got 'lstn'; the nearest is 'LSTM'
    """
    return _named("cells", text, known_cells.ALL, Cell)


def task(text: str) -> Name:
    """The task that a text names; see `cell`.

    >>> task("adding").build(length=20)
    Adding(length=20)
    """
    return _named("tasks", text, known_tasks.ALL, Task)


def cells(texts: Sequence[str]) -> tuple[Name, ...]:
    """The cells that texts name.

    Raises:
        ValueError: one of them is unknown, none is given, or two have the same label.
    """
    return _distinct("cells", [cell(text) for text in texts])


def tasks(texts: Sequence[str]) -> tuple[Name, ...]:
    """The tasks that texts name; see `cells`."""
    return _distinct("tasks", [task(text) for text in texts])


def _distinct(what: str, names: list[Name]) -> tuple[Name, ...]:
    slugs = [name.slug.lower() for name in names]
    if not names or len(set(slugs)) < len(slugs):
        labels = ", ".join(name.label for name in names) or "none"
        raise ValueError(f"{what}: expected at least one and no two alike, got {labels}")
    return tuple(names)


def _named(what: str, text: str, ours: Iterable[type], contract: type) -> Name:
    match = _TEXT.fullmatch(text)
    assert match is not None  # it matches any text
    file, name, listed = match["file"], match["name"], match["fields"]
    label = name + (f":{listed}" if listed else "")
    if file is None:
        kinds = {kind.__name__: kind for kind in ours}
        found = next((kind for kind in kinds.values() if kind.__name__.lower() == name.lower()), None)
        if found is None:
            raise ValueError(f"{what}: {_expected([*kinds], name, 'or file.py:NAME')}")
        return Name(label, found, _fields(label, found, listed), contract)
    module = _module(what, Path(file))
    kinds = {name: kind for name, kind in vars(module).items() if isinstance(kind, type) and is_dataclass(kind)}
    if name not in kinds:
        own = [name for name, kind in kinds.items() if kind.__module__ == module.__name__]
        raise ValueError(f"{what}: {_expected(own or ['a frozen dataclass'], name, f'in {file}')}")
    return Name(label, kinds[name], _fields(label, kinds[name], listed), contract)


def _fields(label: str, kind: type, listed: str | None) -> tuple[tuple[str, Any], ...]:
    names = [field.name for field in dataclasses.fields(kind) if field.init]
    hints, given = get_type_hints(kind), {}
    for entry in listed.split(",") if listed else ():
        name, equals, value = (part.strip() for part in entry.partition("="))
        of_name = [name] if name in names else [field for field in names if name and field.endswith(f"_{name}")]
        if not of_name or not equals:
            expected = _expected(names, name, "before '='")
            raise ValueError(f"{label}: {expected}")
        for field in of_name:
            if field in given:
                raise ValueError(f"{label}: expected each field once, got {field} again")
            given[field] = _value(f"{label}: {field}", hints[field], value)
    return tuple(given.items())


def _value(where: str, hint: Any, text: str) -> Any:
    """The text as a value of a type: numbers, texts, True and False, None, members of a Literal, and unions of them."""
    options = get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)
    expected = []
    for option in options:
        if get_origin(option) is Literal:
            for choice in get_args(option):
                if str(choice) == text:
                    return choice
            expected += map(str, get_args(option))
        elif option in (bool, type(None)):
            for choice in (True, False) if option is bool else (None,):
                if str(choice).lower() == text.lower():
                    return choice
            expected.append(_WORDS[option])
        elif option in (int, float, str):
            with contextlib.suppress(ValueError):
                return option(text)
            expected.append(_WORDS[option])
    if not expected:
        raise ValueError(f"{where}: expected no text, its values are of type {hint}")
    raise ValueError(f"{where}: {_expected(expected, text)}")


def _expected(known: Sequence[str], got: str, place: str = "") -> str:
    """What was expected (and where), what came, and what that is nearest to."""
    listed = " ".join(filter(None, [", ".join(known), place]))
    names = {name.lower(): name for name in known if " " not in name}
    close = difflib.get_close_matches(got.lower(), names, n=1, cutoff=0.3)
    said = f"expected {'one of ' if len(known) > 1 else ''}{listed}, got {got[:120]!r}"
    return f"{said}; the nearest is {names[close[0]]!r}" if close else said


def _module(what: str, path: Path) -> types.ModuleType:
    """A user's file as a module; one that has changed since is read again."""
    try:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        beside = sorted(other.name for other in path.parent.glob("*.py"))
        close = difflib.get_close_matches(path.name, beside, n=1, cutoff=0.3)
        nearest = f"; the nearest is {str(path.with_name(close[0]))!r}" if close else ""
        raise ValueError(f"{what}: expected a file that can be read, got {str(path)!r}{nearest}") from error
    where = hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:8]
    name = f"{path.stem}_{where}_{digest[:8]}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None  # its name ends in .py
    assert spec.loader is not None
    # Dataclasses and type hints look their module up by its name, so it has to be there before it runs.
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    try:
        with _first_on_path(path.parent):
            spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        raise ValueError(f"{what}: {path} cannot be imported: {type(error).__name__}: {error}") from error
    return module


@contextlib.contextmanager
def _first_on_path(folder: Path) -> Iterator[None]:
    """Lets a file import those beside it, as a script may."""
    before = sys.path[:]
    sys.path.insert(0, str(folder.resolve()))
    try:
        yield
    finally:
        sys.path[:] = before
