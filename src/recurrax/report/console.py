"""The tables of a report on a terminal."""

from rich.console import Console
from rich.table import Table
from rich.text import Text

from recurrax.report.page import is_number
from recurrax.report.saved import Saved

_WIDTH = 140


def show(saved: Saved, console: Console | None = None) -> None:
    """Prints a saved run's tables, its answer and where its report lies.

    Args:
        saved: from `recurrax.report.load`.
        console: where to print; the terminal if None.
    """
    console = terminal() if console is None else console
    for table in saved.report.tables:
        shown = Table(
            title=Text(table.title), caption=Text(table.caption), title_justify="left", caption_justify="left"
        )
        for column, head in enumerate(table.columns):
            shown.add_column(Text(head), justify="right" if is_number(table, column) else "left")
        for row in table.rows:
            shown.add_row(*map(Text, row))
        console.print(shown)
    console.print(Text(saved.report.answer))
    console.print(Text(f"Report: {saved.folder / 'report.html'}"), soft_wrap=True)


def terminal() -> Console:
    """The terminal as wide as it is; a file or a pipe wide enough for a table."""
    console = Console()
    return console if console.is_terminal else Console(width=_WIDTH)
