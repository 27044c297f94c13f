"""A figure or the tables of a finished run put into docs/, with a record of where they came from."""

import hashlib
import shutil
from pathlib import Path

from recurrax.files import save_json
from recurrax.report.saved import load

KEPT = ("means", "scaling")
"""Numbers of a run that a record keeps, where it has them."""


def record(run: Path, figure: str | None, docs: Path, name: str | None = None) -> Path:
    """Copies a figure's PNG and SVG, and writes beside them what made it.

    `<name>.json` holds the command, the date, versions, devices, the configuration, the figures' SHA-256, and those of
    the run's numbers that `KEPT` names; without a figure the report's tables in its place.

    Args:
        run: the run's folder.
        figure: one of the run's figures; None for its tables.
        docs: where the files go; made where it does not exist.
        name: of the files; the experiment's if None.

    Returns:
        The record's path.

    Raises:
        FileNotFoundError: the run has not finished or has no such figure.
    """
    saved = load(run)
    name = name or str(saved.run["experiment"])
    docs.mkdir(exist_ok=True)
    kinds = ("png", "svg") if figure else ()
    copies = [Path(shutil.copyfile(run / f"{figure}.{kind}", docs / f"{name}.{kind}")) for kind in kinds]
    environment = saved.run["environment"]
    written = {
        "command": saved.run["command"].split(" --out")[0],
        "finished": saved.run["finished"],
        **{key: environment[key] for key in ("python", "packages", "system", "devices")},
        "config": saved.config,
        **{key: saved.summary["numbers"][key] for key in KEPT if key in saved.summary["numbers"]},
        **({} if figure else {"tables": saved.report.to_json()["tables"]}),
        "sha256": {copy.name: hashlib.sha256(copy.read_bytes()).hexdigest() for copy in copies},
    }
    save_json(docs / f"{name}.json", written)
    return docs / f"{name}.json"
