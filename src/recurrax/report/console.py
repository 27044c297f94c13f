"""The tables of a report on a terminal."""

import rich.table
from rich.box import SIMPLE_HEAD
from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from recurrax.report.description import Table
from recurrax.report.findings import SMOKE
from recurrax.report.page import is_number
from recurrax.report.saved import Saved

_WIDTH = 140
_GAP = 2


def show(saved: Saved, console: Console | None = None) -> None:
    """Prints a saved run's tables, its answer and where its report lies.

    Args:
        saved: from `recurrax.report.load`.
        console: where to print; the terminal if None.
    """
    console = terminal() if console is None else console
    for table in saved.report.tables:
        console.print(Text(f"\n{table.title}", style="bold"))
        for columns in _parts(table, console.width):
            console.print(_drawn(table, columns))
        console.print(Text(table.caption, style="dim"))
    console.print(Text(f"\n{SMOKE}", style="bold red") if saved.smoke else Text(f"\n{saved.report.answer}"))
    console.print(Text(f"Report: {saved.folder / 'report.html'}"), soft_wrap=True)


def _parts(table: Table, width: int) -> list[list[int]]:
    """Columns to be shown together: all, or where they are too wide, a few of numbers at a time beside the names."""
    widths = [max(map(cell_len, column)) + _GAP for column in zip(table.columns, *table.rows, strict=True)]
    numbers = [column for column in range(len(widths)) if is_number(table, column)]
    names = [column for column in range(len(widths)) if column not in numbers]
    if sum(widths) <= width + _GAP or not numbers:
        return [list(range(len(widths)))]
    parts: list[list[int]] = [[*names]]
    for column in numbers:
        if len(parts[-1]) > len(names) and sum(widths[shown] for shown in (*parts[-1], column)) > width + _GAP:
            parts.append([*names])
        parts[-1].append(column)
    return parts


def _drawn(table: Table, columns: list[int]) -> rich.table.Table:
    drawn = rich.table.Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, collapse_padding=True)
    for column in columns:
        drawn.add_column(Text(table.columns[column]), justify="right" if is_number(table, column) else "left")
    for row in table.rows:
        drawn.add_row(*(Text(row[column]) for column in columns))
    return drawn


def terminal() -> Console:
    """The terminal as wide as it is; a file or a pipe wide enough for a table."""
    console = Console()
    return console if console.is_terminal else Console(width=_WIDTH)
