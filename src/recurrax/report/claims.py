"""All claims that runs have judged, with their latest verdicts, from saved files alone."""

from pathlib import Path
from typing import Any, NamedTuple

from recurrax.files import load_json, save_json, write_whole
from recurrax.report.runs import plain, run_folders
from recurrax.report.saved import is_smoke


class Judgement(NamedTuple):
    """A claim as the latest run of its experiment judged it; `saved` is what its summary.json holds of the verdict."""

    experiment: str
    run: Path
    finished: str
    command: str
    saved: dict[str, Any]


def judged(root: Path) -> list[Judgement]:
    """The latest verdict on every claim, by experiment and statement.

    Runs that have not finished judge nothing, and the numbers of --smoke runs mean nothing: both are left out.

    Args:
        root: folder that holds run folders, at any depth.

    Raises:
        FileNotFoundError: there is no such folder, or no claim in it.
        ValueError: a finished run's file cannot be read.
    """
    latest: dict[tuple[str, str], Judgement] = {}
    for folder in run_folders(root):
        if not (folder / "summary.json").exists():
            continue
        run, summary = load_json(folder / "run.json"), load_json(folder / "summary.json")
        if is_smoke(folder, summary):
            continue
        for saved in summary.get("claims", ()) if run.get("status") == "finished" else ():
            experiment, finished = str(run.get("experiment")), str(run.get("finished"))
            one = Judgement(experiment, folder.relative_to(root), finished, str(run.get("command")), saved)
            before = latest.get(place := (experiment, saved["statement"]))
            if before is None or before.finished <= finished:
                latest[place] = one
    if not latest:
        raise FileNotFoundError(f"{root}: expected finished runs with claims in it, found none")
    return [latest[place] for place in sorted(latest)]


def save(claims: list[Judgement], docs: Path) -> tuple[Path, Path]:
    """Writes claims.md and claims.json into a folder, made where it does not exist; their paths."""
    docs.mkdir(exist_ok=True)
    lines = ["# Claims and their verdicts", "", "Written by `recurrax claims` from saved runs.", ""]
    for one in claims:
        lines += [f"## {plain(one.saved['statement'])}", "", f"**{plain(one.saved['verdict'].capitalize())}.**", ""]
        lines += [f"- {plain(sentence)}" for sentence in one.saved["sentences"]]
        lines += ["", f"`{one.command.split(' --out')[0]}`, {one.finished[:10]}.", ""]
    text = "\n".join(lines).encode()
    write_whole(docs / "claims.md", lambda file: file.write(text))
    kept = [{**one._asdict(), "run": one.run.as_posix()} for one in claims]
    save_json(docs / "claims.json", {"claims": kept})
    return docs / "claims.md", docs / "claims.json"
