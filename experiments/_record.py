"""Puts a figure of a finished run into docs/, with a record of where it came from.

Command: `python experiments/_record.py results/kernel_speed/run-34af57be ratios`. It writes docs/kernel_speed.png and
.svg, and docs/kernel_speed.json: command, date, versions, devices, configuration, the figures' SHA-256, and the
numbers of the run that `KEPT` names. A third argument is a name for these files other than the experiment's.
"""

import hashlib
import shutil
import sys
from pathlib import Path

from recurrax import report
from recurrax.files import save_json

DOCS = Path(__file__).parents[1] / "docs"
KEPT = ("means",)


def record(run: Path, figure: str, name: str | None = None, docs: Path = DOCS) -> Path:
    """Copies `figure` and writes its record under `name`, or the experiment's; where that lies.

    Raises:
        FileNotFoundError: the run has not finished or has no such figure.
    """
    saved = report.load(run)
    name = name or saved.run["experiment"]
    docs.mkdir(exist_ok=True)
    copies = [shutil.copyfile(run / f"{figure}.{kind}", docs / f"{name}.{kind}") for kind in ("png", "svg")]
    environment = saved.run["environment"]
    written = {
        "command": saved.run["command"].split(" --out")[0],
        "finished": saved.run["finished"],
        **{key: environment[key] for key in ("python", "packages", "system", "devices")},
        "config": saved.config,
        **{key: saved.summary["numbers"][key] for key in KEPT if key in saved.summary["numbers"]},
        "sha256": {Path(copy).name: hashlib.sha256(Path(copy).read_bytes()).hexdigest() for copy in copies},
    }
    save_json(docs / f"{name}.json", written)
    return docs / f"{name}.json"


if __name__ == "__main__":
    if len(sys.argv) not in (3, 4):
        given = len(sys.argv) - 1
        print(f"expected a run's folder, a figure and perhaps a name for it, got {given} arguments", file=sys.stderr)
        sys.exit(2)
    print(record(Path(sys.argv[1]), sys.argv[2], sys.argv[3] if len(sys.argv) == 4 else None))
