"""`recurrax report`: all runs of a folder on one page."""

import sys
from pathlib import Path

from rich.text import Text

from recurrax.report.console import terminal
from recurrax.report.runs import PAGE, TEXT, counted, overview


def report_all(results: Path, /) -> int:
    """Draws the plots and the report of every finished run again, and writes index.html and RESULTS.md over all runs.

    Everything comes from saved files. Runs that failed, were preempted or are under way are named; one whose files are
    damaged is named and left out, and the exit status is then 1.

    Args:
        results: Folder that holds run folders, at any depth.
    """
    runs = overview(results)
    console = terminal()
    console.print(Text(f"{len(runs)} runs: {counted(runs)}"))
    for run in runs:
        if run.status != "finished":
            said = run.problem or (f"to go on: {run.command}" if run.command else "")
            console.print(Text(f"{run.status}: {run.folder}" + (f": {said}" if said else "")), soft_wrap=True)
    console.print(Text(f"Written: {results / PAGE} and {results / TEXT}"), soft_wrap=True)
    damaged = [str(run.folder) for run in runs if run.status == "damaged"]
    if damaged:
        print(f"recurrax: left out, their files cannot be read: {', '.join(damaged)}", file=sys.stderr)
    return 1 if damaged else 0
