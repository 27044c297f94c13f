"""`recurrax record`: a figure or the tables of a run into docs/."""

from pathlib import Path

from recurrax.report.record import record


def record_figure(run: Path, figure: str | None = None, /, name: str | None = None, docs: Path = Path("docs")) -> int:
    """Puts a figure, or the tables, of a finished run into docs/, with the command, versions and settings that made it.

    Args:
        run: folder of the run.
        figure: name of the figure's files in it; the tables are recorded where none is given.
        name: what the files are called in docs/; the experiment's name, where none is given.
        docs: folder that they go to.
    """
    print(record(run, figure, docs, name))
    return 0
