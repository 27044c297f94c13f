"""Measurements of a run side by side, each saved as soon as it is done, none done twice."""

import contextlib
import itertools
import tempfile
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.experimental.compilation_cache import compilation_cache
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from recurrax import runs
from recurrax.files import append_lines
from recurrax.runs import RunFolder
from recurrax.runs.processes import on_first


class JobResult(NamedTuple):
    """What a job gives: some of the run's arrays, and lines for metrics.jsonl.

    `trained` are lines of trainings, of which a tracker has been told as they came.
    """

    arrays: Mapping[str, np.ndarray]
    metrics: Sequence[Mapping[str, Any]] = ()
    trained: Sequence[Mapping[str, Any]] = ()


Job = Callable[[RunFolder], JobResult]
"""A measurement. It may keep its own progress in the run's folder, and heed the run's `stop` on the way."""


def do_all(run: RunFolder, jobs: Mapping[str, Job], side_by_side: int) -> dict[str, np.ndarray]:
    """Does every job that the run's folder does not hold yet.

    XLA runs small programs on one core, so two jobs at a time keep two cores busy.

    Args:
        run: an open run folder. A signal that asks it to stop is heeded between jobs.
        jobs: by title, which metrics.jsonl has once the job is done.
        side_by_side: how many at a time; one where several processes have joined.

    Returns:
        All arrays, those of jobs done before included, in the order of their names.

    Raises:
        Stopped: a signal asked to stop; what is done is saved.
    """
    console = Console(stderr=True)
    shown = console.is_terminal and runs.is_first_process()
    lines = run.metrics()
    done = {line["measured"] for line in lines if "measured" in line}
    # What a crash has left of a job that was about to be noted as done.
    cut = list(itertools.takewhile(lambda line: "measured" not in line, reversed(lines)))
    arrays = run.arrays() if done else {}
    missing = {title: job for title, job in jobs.items() if title not in done}
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with (
        Progress(*columns, console=console, refresh_per_second=2, disable=not shown) as progress,
        shared_compilations(),
        contextlib.closing(_results(run, missing, side_by_side)) as results,
    ):
        bar = progress.add_task("measuring", total=len(jobs), completed=len(done & jobs.keys()))
        for title, result in results:
            arrays |= result.arrays
            run.save_arrays(arrays)
            trained = [line for line in result.trained if line not in cut]
            on_first(partial(append_lines, run.path / "metrics.jsonl", trained))
            for line in (*result.metrics, {"measured": title}):
                run.append_metrics(line)
            progress.update(bar, advance=1, description=title)
            run.stop.check()
    # In an order of their own: which job ends first is chance, and the same run should save the same bytes.
    return dict(sorted(arrays.items()))


def _results(
    run: RunFolder, jobs: Mapping[str, Job], side_by_side: int
) -> Generator[tuple[str, JobResult], None, None]:
    """What jobs give, by title, as they end."""
    if runs.several_processes():
        # All processes have to meet in the same order.
        for title, job in jobs.items():
            yield title, _do(job, run)
        return
    with ThreadPoolExecutor(side_by_side) as pool:
        titles = {pool.submit(_do, job, run): title for title, job in jobs.items()}
        try:
            for future in as_completed(titles):
                yield titles[future], future.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _do(job: Job, run: RunFolder) -> JobResult:
    run.stop.check()
    return job(run)


@contextlib.contextmanager
def shared_compilations() -> Iterator[None]:
    """Compiles equal programs once, whichever cell asks for them, unless JAX keeps a cache of its own already.

    JAX caches by the function that is traced; its cache on disk is by the program that results, which cells that differ
    only in how they are drawn have in common.
    """
    with tempfile.TemporaryDirectory() as folder:
        settings = {"jax_compilation_cache_dir": folder, "jax_persistent_cache_min_compile_time_secs": 0.0}
        before = {setting: getattr(jax.config, setting) for setting in settings}
        if before["jax_compilation_cache_dir"] is not None:
            yield
            return
        try:
            for setting, value in settings.items():
                jax.config.update(setting, value)
            compilation_cache.reset_cache()
            yield
        finally:
            for setting, value in before.items():
                jax.config.update(setting, value)
            compilation_cache.reset_cache()
