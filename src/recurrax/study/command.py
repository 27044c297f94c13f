"""What the command of a question does: reads flags, refuses what cannot work, runs jobs, saves, shows."""

import contextlib
import dataclasses
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from rich.console import Console
from rich.text import Text

from recurrax import report, runs, train
from recurrax.extras import require
from recurrax.study import program
from recurrax.study.jobs import Job, do_all
from recurrax.study.settings import Settings


class Findings(NamedTuple):
    """What a run comes to: all its arrays, the numbers of summary.json, the report, and verdicts on claims."""

    arrays: Mapping[str, np.ndarray]
    numbers: Mapping[str, Any]
    report: report.Report
    claims: Sequence[Mapping[str, Any]] = ()


@dataclass(frozen=True)
class Command:
    """A question's command.

    Fields:
        name: of the question; its runs lie in a folder of that name.
        settings: a frozen dataclass that extends `Settings`; its fields are the flags, its docstring the help.
        plan: settings to jobs by title; raises a ValueError where the settings cannot be meant.
        finish: settings and all arrays measured to what is saved.
        smoke: what --smoke does: a number caps a field, a tuple or a text replaces one that is at its default.
        quick: what --quick does, likewise; nothing where the defaults take no more than minutes.
        program: settings to the objects whose code the results come from, by name: see `study.program`.
    """

    name: str
    settings: type[Settings]
    plan: Callable[[Any], Mapping[str, Job]]
    finish: Callable[[Any, Mapping[str, np.ndarray]], Findings]
    smoke: Mapping[str, Any] = field(default_factory=dict)
    program: Callable[[Any], Mapping[str, Any]] = lambda settings: {}
    quick: Mapping[str, Any] = field(default_factory=dict)

    def main(self, arguments: Sequence[str] | None = None) -> int:
        """Runs the command line; `sys.argv` if None.

        Returns:
            The exit status: 0, or 1 with one sentence on standard error; 2 where the flags cannot be meant. Flags that
            cannot be read exit with 2.
        """
        return self.run(lambda: self._read_flags(arguments))

    def run(self, read: Callable[[], Any]) -> int:
        """Does what settings ask for; `read` gives them. The exit status is that of `main`."""
        try:
            runs.join_processes()
            try:
                settings = self._sized(read())
                _use_devices(settings.row_devices)
                jobs = {} if settings.replot else self.plan(settings)
            except ValueError as error:
                print(f"{self.name}: {error}", file=sys.stderr)
                return 2
            if (settings.replot or settings.dry_run) and not runs.is_first_process():
                return 0
            if settings.replot is not None:
                _replot(settings.replot)
            elif settings.dry_run:
                _announce(settings, jobs)
            else:
                self._run(settings, jobs)
        except runs.ElsewhereError:
            return 1  # process 0 has said why
        except runs.OtherProgramError as error:
            print(f"{self.name}: {error}".replace("fresh=True", "--fresh"), file=sys.stderr)
            return 1
        except (RefusedError, ModuleNotFoundError, FloatingPointError, OSError) as error:
            print(f"{self.name}: {error}", file=sys.stderr)
            return 1
        return 0

    def _read_flags(self, arguments: Sequence[str] | None) -> Any:
        tyro = require("tyro", "experiments")
        return tyro.cli(self.settings, prog=self.name, args=arguments, config=(tyro.conf.FlagCreatePairsOff,))

    def _sized(self, settings: Any) -> Any:
        """The settings, or under --smoke the smallest of their kind, under --quick smaller ones."""
        sizes = self.smoke if settings.smoke else self.quick if settings.quick else {}
        defaults = {entry.name: entry.default for entry in dataclasses.fields(settings)}
        changes = {}
        for name, size in sizes.items():
            value = getattr(settings, name)
            if not isinstance(size, tuple | str):
                changes[name] = min(value, size)
            elif value == defaults[name]:
                changes[name] = size
        return dataclasses.replace(settings, **changes)

    def _run(self, settings: Settings, jobs: Mapping[str, Job]) -> None:
        for package in ("matplotlib", "jinja2"):
            require(package, "experiments")
        if settings.track:
            require("tensorboardX", "track")
        config, computed = settings.results_depend_on(), program.fingerprint(self.program(settings))
        with contextlib.ExitStack() as stack:
            try:
                slug = "smoke" if settings.smoke else "quick" if settings.quick else "run"
                track = runs.tensorboard if settings.track else None
                opened = runs.open_run(
                    settings.out, self.name, slug, config, track=track, program=computed, fresh=settings.fresh
                )
                run = stack.enter_context(opened)
            except runs.OtherProgramError:
                raise
            except ValueError as error:
                raise RefusedError(str(error)) from error
            if not run.finished:
                if settings.smoke:
                    stack.enter_context(_quick_compilations())
                # Programs of several devices would wait for each other's.
                side_by_side = settings.jobs if settings.row_devices == 1 else 1
                found = self.finish(settings, do_all(run, jobs, side_by_side))
                found = _without_conclusions(found) if settings.smoke else found
                run.save_arrays(found.arrays)
                summary = {"numbers": found.numbers, "claims": found.claims, "report": found.report.to_json()}
                run.save_summary(summary)
        if runs.is_first_process():
            report.render(run.path)
            report.show(report.load(run.path))


def _use_devices(count: int) -> None:
    """Asks for as many CPU devices, where there is no accelerator; does nothing for one.

    Raises:
        ValueError: there are fewer devices, or those of several processes are no multiple.
    """
    if count == 1:
        return
    several = runs.several_processes()
    if not several:
        with contextlib.suppress(RuntimeError):  # JAX has started: it has the devices that it has
            train.use_cpu_devices(count)
    devices = jax.device_count()
    if count > devices or (several and devices % count):
        expected = "a divisor of" if several else "at most"
        raise ValueError(f"row_devices: expected {expected} {devices}, the number of devices, got {count}")


class RefusedError(Exception):
    """Something asked for cannot be done; the message is the sentence to print."""


def _without_conclusions(found: Findings) -> Findings:
    """What a --smoke run may say: tables and figures of sizes that mean nothing, no findings and no verdicts."""
    said = dataclasses.replace(found.report, answer=report.SMOKE, findings=(), key_figures=(), smoke=True)
    return found._replace(report=said, claims=())


@contextlib.contextmanager
def _quick_compilations() -> Iterator[None]:
    """XLA without most of its optimisations: nearly all that the smallest sizes cost is compiling."""
    before = jax.config.read("jax_disable_most_optimizations")
    jax.config.update("jax_disable_most_optimizations", True)
    try:
        yield
    finally:
        jax.config.update("jax_disable_most_optimizations", before)


def _replot(folder: Path) -> None:
    try:
        report.render(folder)
        report.show(report.load(folder))
    except ValueError as error:
        raise RefusedError(str(error)) from error


def _announce(settings: Settings, jobs: Mapping[str, Job]) -> None:
    console = Console()
    for entry in dataclasses.fields(settings):
        console.print(Text(f"{entry.name} = {getattr(settings, entry.name)}"))
    console.print(Text(f"{len(jobs)} measurements, {settings.jobs} at a time, into {settings.out}:"))
    for title in jobs:
        console.print(Text(f"  {title}"))
