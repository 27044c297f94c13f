"""A run folder as it lies on disk, read without computing anything."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from recurrax.files import load_arrays, load_json
from recurrax.report.description import Report


class Saved(NamedTuple):
    """What a finished run left: its configuration, its environment, its arrays, what its report says."""

    folder: Path
    config: dict[str, Any]
    run: dict[str, Any]
    summary: dict[str, Any]
    arrays: dict[str, np.ndarray]
    report: Report


def load(folder: str | Path) -> Saved:
    """Reads config.json, run.json, summary.json and arrays.npz of a finished run.

    Args:
        folder: the run's folder.

    Returns:
        The saved run; `report` is the description under "report" in summary.json.

    Raises:
        FileNotFoundError: one of the four files is missing, as in a folder whose run has not finished.
        ValueError: one of them cannot be read, or has no report in it.
    """
    folder = Path(folder)
    for name in ("config.json", "run.json", "summary.json", "arrays.npz"):
        if not (folder / name).is_file():
            raise FileNotFoundError(f"{folder / name}: expected a file of a finished run, found none")
    config, run, summary = (load_json(folder / f"{name}.json") for name in ("config", "run", "summary"))
    if "report" not in summary:
        raise ValueError(f"{folder / 'summary.json'}: expected a 'report' entry, got {', '.join(summary) or 'nothing'}")
    return Saved(folder, config, run, summary, load_arrays(folder / "arrays.npz"), Report.from_json(summary["report"]))
