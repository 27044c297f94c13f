"""Cells and tasks by a text: `[path/to/file.py:]NAME[:field=value,...]`.

| text | what |
|---|---|
| `lstm` | the cell of that name, upper or lower case; sizes come from the settings of whoever asks |
| `lstm:forget_bias=chrono,t_max=100` | with these fields, each value read as its field's type |
| `gru:init=uniform` | `init` is no field of it, so every field that ends in `_init` |
| `my_cells.py:Leaky:alpha=0.1` | the class of that name in that file, which is imported only when it is named |
| `stack:cells=[elman,(gru:reset_after=False)]` | a wrapper, of cells that are texts themselves |
| `my_cells.py:Twice:cell=(lstm:forget_bias=0),gain=2` | a field that is a cell: parentheses hold a text of its own |
| `my_cells.py:Deep:cells=[gru,(gru:reset_after=False)]` | a field that is a sequence |
"""

import contextlib
import dataclasses
import difflib
import hashlib
import importlib.util
import re
import sys
import types
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, is_dataclass
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from recurrax import cells as known_cells
from recurrax import tasks as known_tasks
from recurrax import wrappers as known_wrappers
from recurrax.tasks import Task
from recurrax.typing import Cell

_TEXT = re.compile(
    r"(?:(?P<file>(?!\w*:\s*\w+\s*=).+?\.py):)?(?P<name>[^:]*)(?::(?P<fields>.*))?", re.DOTALL
)  # a file in the value of a field is not that of the name before it
_LONGEST = 40
_WORDS = {int: "a whole number", float: "a number", str: "a text"}
_CHOICES = {bool: (True, False), type(None): (None,)}
_KNOWN: dict[type, tuple[type, ...]] = {
    Cell: known_cells.ALL + known_wrappers.ALL,
    Task: known_tasks.ALL + known_tasks.OF_FILES,
}


@dataclass(frozen=True)
class Name:
    """A cell or task that a text names, its sizes still open.

    Fields: `label`, the text without the folder and file of the class, which stands for it in tables, figures and file
    names; `kind`, its class; `fields`, those the text gives, cells among them as names; `contract`, `Cell` or `Task`.
    """

    label: str
    kind: type
    fields: tuple[tuple[str, Any], ...]
    contract: type

    def build(self, **sizes: Any) -> Any:
        """The cell or task, with those of the `sizes` that are fields of it, or of cells in it, and not in the text.

        Raises:
            ValueError: a field lacks a value or has one that the class refuses, or the class lacks what the contract
                asks for.

        >>> cell("lstm:forget_bias=0").build(hidden_size=64, length=50).forget_bias
        0.0
        """
        known = {field.name for field in dataclasses.fields(self.kind)}
        given = {name: size for name, size in sizes.items() if name in known}
        given |= {name: _built(value, sizes) for name, value in self.fields}
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
        slug = re.sub(r"[^A-Za-z0-9._-]+", "-", self.label).strip("-")
        if len(slug) <= _LONGEST:
            return slug
        # A hash tells apart what is cut off.
        return f"{slug[: _LONGEST - 9]}-{hashlib.sha256(self.label.encode()).hexdigest()[:8]}"


def _built(value: Any, sizes: dict[str, Any]) -> Any:
    """A value of a field, nested names built in the same sizes."""
    if isinstance(value, tuple):
        return tuple(_built(entry, sizes) for entry in value)
    return value.build(**sizes) if isinstance(value, Name) else value


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
    return _named("cells", text, Cell)


def task(text: str) -> Name:
    """The task that a text names; see `cell`.

    >>> task("adding").build(length=20)
    Adding(length=20)
    """
    return _named("tasks", text, Task)


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


def _named(what: str, text: str, contract: type) -> Name:
    match = _TEXT.fullmatch(text)
    assert match is not None  # it matches any text
    file, name = match["file"], match["name"]
    if file is None:
        kinds = {kind.__name__: kind for kind in _KNOWN[contract]}
        found = next((kind for kind in kinds.values() if kind.__name__.lower() == name.lower()), None)
        if found is None:
            raise ValueError(f"{what}: {_expected([*kinds], name, 'or file.py:NAME')}")
        return _filled(found, name, match["fields"] or "", contract)
    module = _module(what, Path(file))
    kinds = {name: kind for name, kind in vars(module).items() if isinstance(kind, type) and is_dataclass(kind)}
    if name not in kinds:
        others = tuple(known for known in _KNOWN if known is not contract and known not in contract.__mro__)
        own = [
            name
            for name, kind in kinds.items()
            if kind.__module__ == module.__name__ and not set(others) & set(kind.__mro__)
        ]
        raise ValueError(f"{what}: {_expected(own or ['a frozen dataclass'], name, f'in {file}')}")
    return _filled(kinds[name], name, match["fields"] or "", contract)


def _filled(kind: type, name: str, listed: str, contract: type) -> Name:
    """The name of a class with the fields listed, its label without the files of nested classes."""
    label = name + (f":{listed}" if listed else "")
    names = [field.name for field in dataclasses.fields(kind) if field.init]
    hints, given, shown = get_type_hints(kind), {}, []
    for entry in _split(label, listed):
        field, equals, text = (part.strip() for part in entry.partition("="))
        of_name = [field] if field in names else [known for known in names if field and known.endswith(f"_{field}")]
        if not of_name or not equals:
            expected = _expected(names, field, "before '='")
            raise ValueError(f"{label}: {expected}")
        for known in of_name:
            if known in given:
                raise ValueError(f"{label}: expected each field once, got {known} again")
            given[known] = _value(f"{label}: {known}", hints[known], text)
        shown.append(f"{field}={_shown(given[of_name[0]], text)}")
    return Name(":".join(filter(None, [name, ",".join(shown)])), kind, tuple(given.items()), contract)


def _split(where: str, text: str) -> list[str]:
    """What stands between commas, those in brackets left alone."""
    entries, depth = [""], 0
    for letter in text:
        depth += (letter in "([") - (letter in ")]")
        if letter == "," and depth == 0:
            entries.append("")
        else:
            entries[-1] += letter
        if depth < 0:
            break
    if depth:
        raise ValueError(f"{where}: expected every bracket to be closed, got {text[:120]!r}")
    return [entry.strip() for entry in entries] if text else []


def _shown(value: Any, text: str) -> str:
    """A value in a label: its text, but for nested names theirs."""
    if isinstance(value, Name):
        return f"({value.label})" if set(value.label) & set(":,") else value.label
    if isinstance(value, tuple) and any(isinstance(entry, Name) for entry in value):
        return f"[{','.join(_shown(entry, '') for entry in value)}]"
    return text


def _value(where: str, hint: Any, text: str) -> Any:
    """The text as a value of a type, or of one of several.

    Of a union cells come last, since any text may name one.
    """
    options = get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)
    inner = text[1:-1].strip() if text[:1] == "(" and text[-1:] == ")" else text
    expected = []
    for option in sorted(options, key=lambda option: _contract(option) is not None):
        if (contract := _contract(option)) is not None:
            return _named(where, inner, contract)
        if get_origin(option) in (tuple, list, Sequence) and text[:1] == "[" and text[-1:] == "]":
            return tuple(_value(where, get_args(option)[0], entry) for entry in _split(where, text[1:-1]))
        if get_origin(option) in (tuple, list, Sequence):
            expected.append("values in [ ]")
        elif get_origin(option) is Literal or option in _CHOICES:
            choices = {str(choice): choice for choice in _CHOICES.get(option, get_args(option))}
            found = [choice for name, choice in choices.items() if name.lower() == inner.lower()]
            if found:
                return found[0]
            expected += [" or ".join(choices)] if option in _CHOICES else [*choices]
        elif option in _WORDS:
            with contextlib.suppress(ValueError):
                return option(inner)
            expected.append(_WORDS[option])
    if not expected:
        raise ValueError(f"{where}: expected no text, its values are of type {hint}")
    raise ValueError(f"{where}: {_expected(expected, text)}")


def _contract(hint: Any) -> type | None:
    """Cell or Task where a type says that a value is one, a cell where it says nothing."""
    kind = get_origin(hint) or hint
    if kind is Any:
        return Cell
    return next((known for known in _KNOWN if known in getattr(kind, "__mro__", ())), None)


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
