"""What every experiment's command does: read flags, refuse what cannot work, run jobs side by side, save, show."""

import contextlib
import dataclasses
import sys
import tempfile
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import jax
import numpy as np
from jax.experimental.compilation_cache import compilation_cache
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.text import Text

from recurrax import report, runs
from recurrax.train.progress import REFRESHES


@dataclass(frozen=True)
class Common:
    """Flags that all experiments have."""

    out: Path = Path("results")
    """Folder of all results; the run gets its own in it, named after its configuration."""
    smoke: bool = False
    """Smallest sizes: shows in seconds that everything runs; the numbers mean nothing."""
    dry_run: bool = False
    """Say what would be done; compute and write nothing."""
    replot: Path | None = None
    """Draw figures and report of this finished run again, from its saved files alone."""
    jobs: int = 2
    """Measurements that run side by side; one at a time under `recurrax launch`."""
    track: Literal["tensorboard"] | None = None
    """Write metrics as event files for TensorBoard too, into the run's folder."""


class Measured(NamedTuple):
    """What a job gives: some of the run's arrays, and lines for metrics.jsonl."""

    arrays: dict[str, np.ndarray]
    metrics: Sequence[dict[str, Any]] = ()


class Finished(NamedTuple):
    """What a run comes to: all its arrays, the numbers of summary.json, the report."""

    arrays: Mapping[str, np.ndarray]
    numbers: dict[str, Any]
    report: report.Report


@dataclass(frozen=True)
class Resumable:
    """A job that keeps what it has done in the run's folder, and stops early when a signal asks the run to."""

    measure: Callable[[runs.RunFolder], Measured]


Job = Callable[[], Measured] | Resumable


def main(
    name: str,
    config_type: type,
    smoke: Mapping[str, int],
    plan: Callable[[Any], Mapping[str, Job]],
    finish: Callable[[Any, Mapping[str, np.ndarray]], Finished],
    arguments: Sequence[str] | None = None,
) -> int:
    """Runs an experiment from its command line.

    Args:
        name: of the experiment.
        config_type: a frozen dataclass that extends `Common`; its fields are the flags.
        smoke: the largest value that each of these fields may have under --smoke.
        plan: a configuration to its measurements, by title; each gives some of the run's arrays.
        finish: all arrays measured to what is saved.
        arguments: the command line; `sys.argv` if None.

    Returns:
        The exit status: 0, or 1 with one sentence on standard error. Flags that cannot be read or meant exit with 2.
    """
    try:
        runs.join_processes()
        config = _read_flags(name, config_type, smoke, arguments)
        if (config.replot or config.dry_run) and not runs.is_first_process():
            return 0
        if config.replot is not None:
            _replot(config.replot)
        elif config.dry_run:
            _announce(config, plan(config))
        else:
            _run(name, config, plan, finish)
    except runs.ElsewhereError:
        return 1  # process 0 has said why
    except (RefusedError, ModuleNotFoundError, FloatingPointError, OSError) as error:
        print(f"{name}: {error}", file=sys.stderr)
        return 1
    return 0


class RefusedError(Exception):
    """Something asked for cannot be done; the message is the sentence to print."""


def check_least(name: str, value: int, least: int) -> None:
    """Raises a ValueError unless the flag `name` has a value of at least `least`."""
    if value < least:
        raise ValueError(f"{name}: expected at least {least}, got {value}")


def _read_flags(name: str, config_type: type, smoke: Mapping[str, int], arguments: Sequence[str] | None) -> Any:
    tyro = report.require("tyro", "experiments")
    config = tyro.cli(config_type, prog=name, args=arguments, config=(tyro.conf.FlagCreatePairsOff,))
    caps = {field: min(getattr(config, field), most) for field, most in smoke.items()} if config.smoke else {}
    return dataclasses.replace(config, **caps)


def _replot(folder: Path) -> None:
    try:
        report.render(folder)
        report.show(report.load(folder))
    except ValueError as error:
        raise RefusedError(str(error)) from error


def _announce(config: Common, jobs: Mapping[str, Job]) -> None:
    console = Console()
    for field in dataclasses.fields(config):
        console.print(Text(f"{field.name} = {getattr(config, field.name)}"))
    console.print(Text(f"{len(jobs)} measurements, {config.jobs} at a time, into {config.out}:"))
    for title in jobs:
        console.print(Text(f"  {title}"))


def _run(
    name: str,
    config: Common,
    plan: Callable[[Any], Mapping[str, Job]],
    finish: Callable[[Any, Mapping[str, np.ndarray]], Finished],
) -> None:
    for package in ("matplotlib", "jinja2"):
        report.require(package, "experiments")
    if config.track:
        report.require("tensorboardX", "track")
    with contextlib.ExitStack() as stack:
        try:
            slug = "smoke" if config.smoke else "run"
            track = runs.tensorboard if config.track else None
            run = stack.enter_context(runs.open_run(config.out, name, slug, _settings(config), track=track))
        except ValueError as error:
            raise RefusedError(str(error)) from error
        if not run.finished:
            finished = finish(config, _measure(run, plan(config), config.jobs))
            run.save_arrays(finished.arrays)
            run.save_summary({"numbers": finished.numbers, "report": finished.report.to_json()})
    if runs.is_first_process():
        report.render(run.path)
        report.show(report.load(run.path))


def _settings(config: Common) -> dict[str, Any]:
    """What the results depend on: every flag that is not about where or how the run is done."""
    about_the_run = {field.name for field in dataclasses.fields(Common)}
    fields = (field.name for field in dataclasses.fields(config))
    return {field: getattr(config, field) for field in fields if field not in about_the_run}


def _measure(run: runs.RunFolder, jobs: Mapping[str, Job], side_by_side: int) -> dict[str, np.ndarray]:
    """Runs every job that the folder does not hold yet, and saves each as soon as it is done.

    XLA runs small programs on one core, so two jobs at a time keep two cores busy.
    """
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    console = Console(stderr=True)
    shown = console.is_terminal and runs.is_first_process()
    done = {line["measured"] for line in run.metrics() if "measured" in line}
    arrays = run.arrays() if done else {}
    missing = {title: job for title, job in jobs.items() if title not in done}
    with (
        Progress(*columns, console=console, refresh_per_second=REFRESHES, disable=not shown) as progress,
        shared_compilations(),
        contextlib.closing(_results(run, missing, side_by_side)) as results,
    ):
        task = progress.add_task("measuring", total=len(jobs), completed=len(done & jobs.keys()))
        for title, measured in results:
            arrays |= measured.arrays
            run.save_arrays(arrays)
            for line in (*measured.metrics, {"measured": title}):
                run.append_metrics(line)
            progress.update(task, advance=1, description=title)
            run.stop.check()
    # In an order of their own: which job ends first is chance, and the same run should save the same bytes.
    return dict(sorted(arrays.items()))


def _results(
    run: runs.RunFolder, jobs: Mapping[str, Job], side_by_side: int
) -> Generator[tuple[str, Measured], None, None]:
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


def _do(job: Job, run: runs.RunFolder) -> Measured:
    run.stop.check()
    return job.measure(run) if isinstance(job, Resumable) else job()


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
