"""A figure of a finished run put into docs/, with a record of where it came from."""

import hashlib
import shutil
from pathlib import Path

from recurrax.files import save_json
from recurrax.report.saved import load

KEPT = ("means",)
"""Numbers of a run that a record keeps, where it has them."""


def record(run: Path, figure: str, docs: Path, name: str | None = None) -> Path:
    """Copies a figure's PNG and SVG, and writes beside them what made it.

    `<name>.json` holds the command, the date, versions, devices, the configuration, the figures' SHA-256, and those of
    the run's numbers that `KEPT` names.

    Args:
        run: the run's folder.
        figure: one of the run's figures.
        docs: where the three files go; made where it does not exist.
        name: of the files; the experiment's if None.

    Returns:
        The record's path.

    Raises:
        FileNotFoundError: the run has not finished or has no such figure.
    """
    saved = load(run)
    name = name or str(saved.run["experiment"])
    docs.mkdir(exist_ok=True)
    copies = [Path(shutil.copyfile(run / f"{figure}.{kind}", docs / f"{name}.{kind}")) for kind in ("png", "svg")]
    environment = saved.run["environment"]
    written = {
        "command": saved.run["command"].split(" --out")[0],
        "finished": saved.run["finished"],
        **{key: environment[key] for key in ("python", "packages", "system", "devices")},
        "config": saved.config,
        **{key: saved.summary["numbers"][key] for key in KEPT if key in saved.summary["numbers"]},
        "sha256": {copy.name: hashlib.sha256(copy.read_bytes()).hexdigest() for copy in copies},
    }
    save_json(docs / f"{name}.json", written)
    return docs / f"{name}.json"
