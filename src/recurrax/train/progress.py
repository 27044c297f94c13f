"""One bar for a training, drawn outside the compiled program."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np

REFRESHES = 2
"""Per second. Each costs about 3 ms of one core, so that a bar takes less than 1 % of it."""


@contextmanager
def bar(total: int, *, title: str = "training", show: bool = True) -> Iterator[Callable[[int, np.ndarray], None]]:
    """A bar of `total` steps on standard error; call what it yields with (steps done, losses (n, S)).

    Nothing is drawn where `show` is False, or where standard error is no terminal and this is no notebook.
    """
    if not show:
        yield lambda done, losses: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[loss]}"),
        TimeRemainingColumn(),
    )
    console = Console(stderr=True)
    unseen = not (console.is_terminal or console.is_jupyter)
    with Progress(*columns, console=console, refresh_per_second=REFRESHES, disable=unseen) as progress:
        task = progress.add_task(title, total=total, loss="")

        def advance(done: int, losses: np.ndarray) -> None:
            running = losses[-1][~np.isnan(losses[-1])] if len(losses) else losses
            text = f"loss {np.median(running):.4g}" if len(running) else ""
            progress.update(task, completed=done, loss=text)

        yield advance
        progress.refresh()  # rich leaves a notebook's bar as it was at the last refresh
