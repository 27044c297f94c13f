"""A run folder as it lies on disk, read without computing anything."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from recurrax.files import load_arrays, load_json
from recurrax.report.description import Report
from recurrax.report.training import describe


class Saved(NamedTuple):
    """What a finished run left: its configuration, its record, its summary, all arrays, what its report says."""

    folder: Path
    config: dict[str, Any]
    run: dict[str, Any]
    summary: dict[str, Any]
    arrays: dict[str, np.ndarray]
    report: Report

    @property
    def smoke(self) -> bool:
        """Whether its sizes were the smallest, so that its numbers mean nothing."""
        return is_smoke(self.folder, self.summary)


def is_smoke(folder: Path, summary: Mapping[str, Any]) -> bool:
    """Whether a run was made by --smoke: its report says so, or its folder's name."""
    report = summary.get("report")
    return folder.name.startswith("smoke-") or (isinstance(report, Mapping) and bool(report.get("smoke")))


def load(folder: str | Path) -> Saved:
    """Reads a finished run's config.json and run.json, and summary.json and arrays.npz where it has them.

    Args:
        folder: the run's folder.

    Returns:
        The saved run; `report` is the description under "report" in summary.json. Where there is none it is made of
        what the trainings logged and probed, and `arrays` holds what that draws too.

    Raises:
        FileNotFoundError: config.json or run.json is missing, or arrays.npz though the report draws from it.
        ValueError: a file cannot be read, or the run has not finished.
    """
    folder = Path(folder)
    for name in ("config.json", "run.json"):
        if not (folder / name).is_file():
            raise FileNotFoundError(f"{folder / name}: expected a file of a finished run, found none")
    config, run = load_json(folder / "config.json"), load_json(folder / "run.json")
    summary = load_json(folder / "summary.json") if (folder / "summary.json").exists() else {}
    arrays = load_arrays(folder / "arrays.npz") if (folder / "arrays.npz").exists() else {}
    if "report" not in summary:
        if run.get("status") != "finished":
            raise ValueError(f"{folder}: expected a finished run, got one whose status is {run.get('status')!r}")
        report, drawn = describe(folder, run, summary, arrays)
        return Saved(folder, config, run, summary, arrays | drawn, report)
    report = Report.from_json(summary["report"])
    if report.figures and not arrays:
        raise FileNotFoundError(f"{folder / 'arrays.npz'}: expected a file of a finished run, found none")
    return Saved(folder, config, run, summary, arrays, report)
