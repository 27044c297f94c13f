"""What a report says and draws, as plain data: the part of `summary.json` that the report room reads.

A figure is described by the names of arrays in `arrays.npz`, so it can be drawn again from the two files alone.
"""

import dataclasses
import re
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

Scale: TypeAlias = Literal["linear", "log", "exp"]
"""How an axis shows its values: as they are, on a log axis, or (exp) natural logs as norms, see `decades`."""


@dataclass(frozen=True)
class Line:
    """One labelled line: `x` names an array (N,), `y` one (N,) or (S, N), drawn as median and 10-90 % band over S."""

    label: str
    x: str
    y: str
    slot: int
    """Position in `style.COLOURS`: the same family of cells has the same colour in every panel."""
    dash: int = 0
    """Position in `style.DASHES`."""


@dataclass(frozen=True)
class Level:
    """A line across a panel at `value`, in the units of its axis, and what it means."""

    value: float
    label: str


@dataclass(frozen=True)
class Panel:
    """One pair of axes: lines, horizontal `levels` and vertical `marks`."""

    title: str
    x_label: str
    y_label: str
    lines: tuple[Line, ...]
    levels: tuple[Level, ...] = ()
    marks: tuple[Level, ...] = ()
    x_scale: Scale = "linear"
    y_scale: Scale = "linear"
    y_limits: tuple[float, float] | None = None
    markers: bool = False


@dataclass(frozen=True)
class Row:
    """The row `label` of a panel of dots.

    `x` names an array (S,), drawn as small dots and a large one at their median. `to`, if it is not empty, names
    another, and an arrow runs from median to median. Rows may share a label: `name` then tells them apart in a legend.
    """

    label: str
    x: str
    slot: int
    to: str = ""
    name: str = ""


@dataclass(frozen=True)
class Dots:
    """Rows of dots on a log axis, and vertical `levels`; inf is drawn at the edge as more than `beyond`."""

    title: str
    x_label: str
    rows: tuple[Row, ...]
    levels: tuple[Level, ...] = ()
    beyond: float | None = None


@dataclass(frozen=True)
class Group:
    """Points that belong together: `x` and `y` name arrays (N,), `slot` a colour and a shape."""

    label: str
    x: str
    y: str
    slot: int


@dataclass(frozen=True)
class Scatter:
    """Points of groups on two log axes; inf is drawn at an edge as more than `beyond`, the same on both axes.

    `slope` and `intercept` of a line log2 y = intercept + slope log2 x, drawn where they are given; `note` in a corner.
    """

    title: str
    x_label: str
    y_label: str
    groups: tuple[Group, ...]
    beyond: float
    slope: float | None = None
    intercept: float = 0.0
    note: str = ""


@dataclass(frozen=True)
class Figure:
    """Panels row by row in `columns` columns; `name` is the stem of its PNG and SVG."""

    name: str
    title: str
    caption: str
    panels: tuple[Panel | Dots | Scatter, ...]
    columns: int = 2
    finding: str = ""
    """What the figure shows, in one sentence that stands in the picture itself."""

    def __post_init__(self):
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}", self.name):
            raise ValueError(f"name: expected a figure's file name without folder or ending, got {self.name[:120]!r}")


@dataclass(frozen=True)
class Table:
    """A title, what its columns mean, and rows as long as `columns`."""

    title: str
    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def __post_init__(self):
        for row in self.rows:
            if len(row) != len(self.columns):
                raise ValueError(f"rows: expected {len(self.columns)} entries as in columns, got {len(row)}: {row}")


@dataclass(frozen=True)
class KeyFigure:
    """One number of a run that stands for it beside other runs: what it is, and its value with interval and unit."""

    name: str
    value: str


@dataclass(frozen=True)
class Report:
    """A question, the answer the numbers give, what they rest on.

    >>> table = Table("Half-lives", "In steps.", columns=("cell", "steps"), rows=(("LSTM", "2.2"),))
    >>> report = Report("Does it fade?", "Yes.", findings=(), tables=(table,), figures=(), protocol=("One probe.",))
    >>> Report.from_json(report.to_json()) == report
    True
    """

    question: str
    answer: str
    findings: tuple[str, ...]
    tables: tuple[Table, ...]
    figures: tuple[Figure, ...]
    protocol: tuple[str, ...]
    key_figures: tuple[KeyFigure, ...] = ()
    smoke: bool = False
    """Whether the sizes were the smallest: nothing is concluded from the numbers."""

    def to_json(self) -> dict[str, Any]:
        """The report as dictionaries, lists, strings and numbers."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, saved: dict[str, Any]) -> "Report":
        """The report that `to_json` gave, possibly after a trip through a JSON file.

        Raises:
            ValueError: a field is missing or unknown.
        """
        try:
            tables = tuple(
                Table(table["title"], table["caption"], tuple(table["columns"]), _texts(table["rows"]))
                for table in saved["tables"]
            )
            figures = tuple(_figure(figure) for figure in saved["figures"])
            # Runs saved before there were key figures have none.
            key_figures = tuple(KeyFigure(**key) for key in saved.get("key_figures", ()))
            texts = {name: tuple(saved[name]) for name in ("findings", "protocol")}
            question, answer = saved["question"], saved["answer"]
            smoke = saved.get("smoke", False)
            return cls(question, answer, tables=tables, figures=figures, key_figures=key_figures, smoke=smoke, **texts)
        except (KeyError, TypeError) as error:
            raise ValueError(f"report: expected the fields written by Report.to_json, problem at {error}") from error


def _texts(rows: list[list[Any]]) -> tuple[tuple[str, ...], ...]:
    return tuple(tuple(map(str, row)) for row in rows)


def _figure(saved: dict[str, Any]) -> Figure:
    panels = tuple(_panel(panel) for panel in saved["panels"])
    # Runs saved before figures had findings have none.
    finding = saved.get("finding", "")
    return Figure(saved["name"], saved["title"], saved["caption"], panels, saved["columns"], finding)


def _panel(saved: dict[str, Any]) -> Panel | Dots | Scatter:
    if "groups" in saved:
        return Scatter(**{**saved, "groups": tuple(Group(**one) for one in saved["groups"])})
    if "rows" in saved:
        rows, levels = (tuple(kind(**one) for one in saved[name]) for name, kind in (("rows", Row), ("levels", Level)))
        return Dots(**{**saved, "rows": rows, "levels": levels})
    lines = tuple(Line(**line) for line in saved["lines"])
    levels, marks = (tuple(Level(**level) for level in saved[kind]) for kind in ("levels", "marks"))
    limits = None if saved["y_limits"] is None else tuple(saved["y_limits"])
    return Panel(**{**saved, "lines": lines, "levels": levels, "marks": marks, "y_limits": limits})
