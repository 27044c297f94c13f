"""All runs under one folder on one page, from their saved files alone."""

import os
import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

from recurrax.files import load_json, write_whole
from recurrax.report import findings, templates
from recurrax.report.description import KeyFigure, Report
from recurrax.report.page import flat, minute, write_page
from recurrax.report.saved import load
from recurrax.report.sweeps import render_sweep, sweep_folders

STATUSES = ("finished", "running", "preempted", "failed", "damaged")
"""What a run can be; damaged: its files cannot be read."""

PAGE, TEXT = "index.html", "RESULTS.md"

_MARKUP = re.compile(r"([\\`*|\[\]<>#&])")


class Run(NamedTuple):
    """What the overview says of one run.

    folder: relative to the folder of all runs. settings: those in which runs of one experiment differ. report, answer,
    key_figures and thumbnail, the address of its first figure: of a run that finished; of one with --smoke, no key
    figures. problem: one sentence, None where there is none.
    """

    folder: Path
    experiment: str
    status: str
    when: str
    command: str
    settings: dict[str, str]
    report: Report | None = None
    answer: str = ""
    key_figures: tuple[KeyFigure, ...] = ()
    smoke: bool = False
    thumbnail: str = ""
    problem: str | None = None

    @property
    def name(self) -> str:
        """The name of its folder; the experiment's where that is the folder of all runs."""
        return self.folder.name or self.experiment

    @property
    def link(self) -> str:
        """The address of its report, relative to the overview."""
        return quote((self.folder / "report.html").as_posix())


def overview(root: str | Path) -> list[Run]:
    """Draws every finished run's figures and report anew, and writes `index.html` and `RESULTS.md` beside them.

    A run whose files cannot be read is said to be damaged, and the others go on. Symbolic links are not followed.

    Args:
        root: folder that holds run folders, at any depth.

    Returns:
        The runs, by folder.

    Raises:
        FileNotFoundError: there is no such folder, or no run in it; nothing has been written.
        ModuleNotFoundError: matplotlib or jinja2 is not installed.
    """
    root = Path(root)
    if not root.is_dir():
        raise FileNotFoundError(f"{root}: expected a folder of runs, found none")
    folders = list(run_folders(root))
    if not folders:
        raise FileNotFoundError(f"{root}: expected run folders in it, each with a config.json, found none")
    configs = {folder: _config(folder) for folder in folders}
    runs = [_read(root, folder, _differing(folder, configs)) for folder in folders]
    sweeps = [render_sweep(folder).relative_to(root) for folder in sweep_folders(root)]
    content = {
        "heading": f"recurrax · {_now()}",
        "runs": runs,
        "statuses": counted(runs),
        "sweeps": [(quote(page.as_posix()), page.parent.name) for page in sweeps],
    }
    page = templates.fill("overview.html.jinja", content)
    write_whole(root / PAGE, lambda file: file.write(page))
    text = "\n".join(_markdown(runs)).encode()
    write_whole(root / TEXT, lambda file: file.write(text))
    return runs


def run_folders(root: Path) -> Iterator[Path]:
    """The folders under `root`, itself included, that hold a run: they have a config.json or a run.json."""
    for folder, inner, files in os.walk(root):
        inner.sort()
        if {"config.json", "run.json"} & set(files):
            inner.clear()
            yield Path(folder)


def counted(runs: Sequence[Run]) -> str:
    """How many runs are what: "3 finished, 1 failed"."""
    numbers = {status: sum(run.status == status for run in runs) for status in STATUSES}
    return ", ".join(f"{number} {status}" for status, number in numbers.items() if number)


def _read(root: Path, folder: Path, settings: dict[str, str]) -> Run:
    record, found, problem = {}, {}, None
    try:
        record = load_json(folder / "run.json")
        status = record.get("status")
        if status not in STATUSES:
            raise ValueError(f"{folder / 'run.json'}: expected a status of {', '.join(STATUSES[:-1])}, got {status!r}")
        if status == "finished":
            found = _found(root, folder)
        elif status == "failed":
            problem = f"it ended with {record.get('error', 'an error')}"
    except ModuleNotFoundError:
        raise
    except Exception as error:  # files that somebody damaged or made up can fail in any part of what reads or draws
        status, problem = "damaged", _sentence(folder, error)
    return Run(
        folder=folder.relative_to(root),
        experiment=str(record.get("experiment", folder.parent.name)),
        status=status,
        when=minute(record.get("finished", record.get("started", ""))),
        command=str(record.get("command", "")),
        settings=settings,
        problem=problem,
        **found,
    )


def _found(root: Path, folder: Path) -> dict[str, Any]:
    """What a finished run found, its report drawn anew."""
    saved = load(folder)
    write_page(saved)
    first = saved.report.figures[:1]
    return {
        "report": saved.report,
        "answer": findings.answer(saved),
        "key_figures": () if saved.smoke else saved.report.key_figures,
        "smoke": saved.smoke,
        "thumbnail": "".join(quote((folder / f"{one.name}.png").relative_to(root).as_posix()) for one in first),
    }


def _sentence(folder: Path, error: Exception) -> str:
    """What is wrong with a run's files, in one line; errors of this library already are sentences."""
    said = " ".join(str(error).split()).replace(f"{folder}{os.sep}", "")
    return said if isinstance(error, ValueError | OSError) else f"{type(error).__name__}: {said}"


def _config(folder: Path) -> dict[str, str]:
    try:
        return dict(flat(load_json(folder / "config.json")))
    except (OSError, ValueError):
        return {}  # said when the run itself is read


def _differing(folder: Path, configs: dict[Path, dict[str, str]]) -> dict[str, str]:
    """The settings of a run that another run beside it has otherwise."""
    of_experiment = [config for other, config in configs.items() if other.parent.name == folder.parent.name]
    return {
        name: value
        for name, value in configs[folder].items()
        if any(config.get(name) != value for config in of_experiment)
    }


def _markdown(runs: Sequence[Run]) -> Iterator[str]:
    """The overview as Markdown: one row per run, then what each finished run asked and found."""
    yield f"# Results\n\n{len(runs)} runs: {counted(runs)}. Written by `recurrax report` on {_now()}.\n"
    yield "| experiment | run | status | settings that differ | key figures |\n|---|---|---|---|---|"
    for run in runs:
        name = plain(run.name)
        settings = ", ".join(f"{key} = {value}" for key, value in run.settings.items())
        keys = run.problem or "; ".join(f"{key.name}: {key.value}" for key in run.key_figures)
        linked = f"[{name}]({run.link})" if run.report else name
        yield f"| {plain(run.experiment)} | {linked} | {run.status} | {plain(settings)} | {plain(keys)} |"
    for run in runs:
        if run.report:
            yield f"\n## {plain(run.experiment)}: {plain(run.name)}\n"
            yield f"**{plain(run.report.question)}** {plain(run.answer)}\n"
            yield "".join(f"- {plain(finding)}\n" for finding in run.report.findings if not run.smoke)
    yield ""


def plain(text: str) -> str:
    """A text that Markdown shows as it is, on one line."""
    return _MARKUP.sub(r"\\\1", " ".join(text.split()))


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
