"""All claims that runs have judged, with their latest verdicts, from saved files alone."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from recurrax.files import load_json, save_json, write_whole
from recurrax.report.findings import theta_of
from recurrax.report.forest import draw_forest
from recurrax.report.runs import plain, run_folders
from recurrax.report.saved import is_smoke

NOT_MEASURED = "not measured"


class Belief(NamedTuple):
    """A sentence that is repeated of recurrent networks, and which claims of which experiment answer it.

    `words` are in the statements of those claims; empty for all of the experiment's.
    """

    sentence: str
    experiment: str
    words: str = ""


BELIEFS = (
    Belief("The gradients of simple recurrent networks vanish.", "gradient_decay", "vanishes"),
    Belief("Simple recurrent networks forget early steps.", "forgetting"),
    Belief("Memory cells remember and forget selectively.", "selective_memory"),
    Belief("Every gate of an LSTM matters.", "gates"),
    Belief("An LSTM lets gradients flow.", "gradient_decay", "lets gradients flow"),
    Belief("An LSTM learns long-range dependencies.", "long_range"),
    Belief("An LSTM trains more stably.", "stability"),
    Belief("An LSTM costs more.", "cost"),
    Belief("Simple recurrent networks suffice for short-range text.", "short_range_text"),
    Belief("Speech recognition needs an LSTM.", "analogues", "Speech"),
    Belief("Translation needs an LSTM.", "analogues", "Translation"),
    Belief("Sentiment analysis and language modelling need an LSTM.", "analogues", "analysis|modelling"),
)
"""The twelve, in the order of the table."""

_COLUMNS = ("", "claim", "verdict", "effect θ [95 % interval], δ", "n", "arms", "task", "depends on", "run")


class Judgement(NamedTuple):
    """A claim as the latest run of its experiment judged it; `saved` is what its summary.json holds of the verdict.

    `minutes` from the start of the run to its end, interruptions included; `versions` of what computed it; `quick`,
    whether by --quick; `found`, the run's key numbers in words.
    """

    experiment: str
    run: Path
    finished: str
    command: str
    saved: dict[str, Any]
    minutes: float | None = None
    versions: str = ""
    quick: bool = False
    found: tuple[str, ...] = ()


def judged(root: Path, before: Sequence[Judgement] = ()) -> list[Judgement]:
    """The latest verdict on every claim, by experiment and statement; one of a --quick run where there is no other.

    Runs that have not finished judge nothing, and the numbers of --smoke runs mean nothing: both are left out.

    Args:
        root: folder that holds run folders, at any depth.
        before: verdicts of runs that lie elsewhere, such as `recorded` gives them.

    Raises:
        FileNotFoundError: there is no such folder, or no claim in it.
        ValueError: a finished run's file cannot be read.
    """
    found = list(before)
    for folder in run_folders(root):
        if not (folder / "summary.json").exists():
            continue
        run, summary = load_json(folder / "run.json"), load_json(folder / "summary.json")
        if is_smoke(folder, summary) or run.get("status") != "finished":
            continue
        for saved in summary.get("claims", ()):
            found.append(_judgement(root, folder, run, saved)._replace(found=_key_figures(summary)))
    if len(found) == len(before):
        raise FileNotFoundError(f"{root}: expected finished runs with claims in it, found none")
    found.sort(key=lambda one: (not one.quick, one.finished))
    latest = {(one.experiment, one.saved["statement"]): one for one in found}
    return [latest[place] for place in sorted(latest)]


def recorded(docs: Path) -> list[Judgement]:
    """The verdicts that `save` wrote into a folder."""
    files = [file for file in (docs / "claims.json", docs / "reproductions.json") if file.exists()]
    kept = [one for file in files for one in load_json(file)["claims"]]
    return [Judgement(**{**one, "run": Path(one["run"]), "found": tuple(one["found"])}) for one in kept]


def _judgement(root: Path, folder: Path, run: dict[str, Any], saved: dict[str, Any]) -> Judgement:
    finished, started = str(run.get("finished")), run.get("started")
    seconds = (datetime.fromisoformat(finished) - datetime.fromisoformat(started)).total_seconds() if started else None
    environment = run.get("environment", {})
    packages = environment.get("packages", {})
    versions = [f"Python {environment['python']}"] if "python" in environment else []
    versions += [f"{name} {packages[name]}" for name in ("jax", "recurrax") if name in packages]
    return Judgement(
        str(run.get("experiment")),
        folder.relative_to(root),
        finished,
        str(run.get("command")).split(" --out")[0],
        saved,
        None if seconds is None else round(seconds / 60, 1),
        ", ".join(versions),
        folder.name.startswith("quick-"),
    )


def _key_figures(summary: dict[str, Any]) -> tuple[str, ...]:
    return tuple(f"{key['name']}: {key['value']}" for key in summary.get("report", {}).get("key_figures", ()))


def answers(belief: Belief, claims: Sequence[Judgement]) -> list[Judgement]:
    """The claims that answer a belief."""
    words = belief.words.split("|")
    return [
        one
        for one in claims
        if one.experiment == belief.experiment and any(word in one.saved["statement"] for word in words)
    ]


def table(claims: Sequence[Judgement]) -> list[str]:
    """The twelve beliefs as lines of Markdown, a row per claim that answers one, then the other claims."""
    rows, told = [], []
    for number, belief in enumerate(BELIEFS, 1):
        found = answers(belief, claims)
        told += found
        rows += [_row(str(number), belief.sentence, one) for one in found] or [
            (str(number), belief.sentence, NOT_MEASURED, *(len(_COLUMNS) - 3) * ("",))
        ]
    rows += [_row("", one.saved["statement"], one) for one in claims if one not in told]
    return [f"| {' | '.join(row)} |" for row in (_COLUMNS, ["-"] * len(_COLUMNS), *rows)]


def _row(number: str, sentence: str, one: Judgement) -> tuple[str, ...]:
    saved, compared = one.saved, one.saved["comparisons"]
    several = len({entry["task"] for entry in compared}) > 1
    places = [", ".join(filter(None, [entry["level"], entry["task"] if several else ""])) for entry in compared]
    effects = [
        f"{place + ': ' if place else ''}{theta_of(sentence)}"
        for place, sentence in zip(places, saved["sentences"], strict=False)
    ]
    arms = [" over ".join(filter(None, [entry["of"], entry["against"]])) for entry in compared]
    kind = "analogue" if saved.get("analogue") else ""
    sizes = f"--quick, {one.finished[:10]}" if one.quick else one.finished[:10]
    cells = (
        "<br>".join([*effects, f"{saved.get('effect', '')}, δ {saved['delta']:.3g}"]) if effects else "",
        ", ".join(dict.fromkeys(str(entry["seeds"]) for entry in compared)),
        "<br>".join(dict.fromkeys(arms)),
        ", ".join(filter(None, [*dict.fromkeys(entry["task"] for entry in compared), kind])),
        saved.get("depends_on", "") if len(compared) > 1 else "",
        ", ".join(filter(None, [f"{one.minutes:g} min" if one.minutes is not None else "", sizes])),
    )
    said = (number, sentence, f"**{saved['verdict']}**", *cells)
    return tuple("<br>".join(plain(part) for part in cell.split("<br>")) if cell[:2] != "**" else cell for cell in said)


def save(claims: list[Judgement], docs: Path) -> tuple[Path, ...]:
    """Writes claims.md and claims.json into a folder, made where it does not exist; their paths.

    What papers report goes to reproductions.md and reproductions.json, where any of it was measured.
    """
    docs.mkdir(exist_ok=True)
    ours = [one for one in claims if "published" not in one.saved]
    papers = [one for one in claims if "published" in one.saved]
    written = _write(docs / "claims", [*_HEAD, *table(ours), ""], ours)
    return (*written, *_write(docs / "reproductions", [*_PUBLISHED], papers)) if papers else written


def _write(stem: Path, lines: list[str], claims: list[Judgement]) -> tuple[Path, Path]:
    for number, one in enumerate(claims, 1):
        lines += [*_section(one, stem.parent), ""]
        if one.saved["comparisons"]:
            stem.mkdir(exist_ok=True)
            draw_forest(one.saved, stem / f"{number:02d}.svg")
            lines += [f"![Each comparison's θ and interval]({stem.name}/{number:02d}.svg)", ""]
    text = "\n".join(lines).encode()
    page, data = stem.with_suffix(".md"), stem.with_suffix(".json")
    write_whole(page, lambda file: file.write(text))
    save_json(data, {"claims": [{**one._asdict(), "run": one.run.as_posix()} for one in claims]})
    return page, data


_HEAD = (
    "# Claims and their verdicts",
    "",
    "Written by `recurrax claims` from saved runs. θ is the effect on paired seeds, or over cells, δ the smallest that",
    "counts, fixed beforehand. Supported: the whole interval lies beyond δ; refuted: below it; undecided: neither.",
    "Analogue: generated data test the range, not real-world accuracy. In the figures a dot is supported, a square",
    "refuted, a ring undecided, and an arrow an interval without end.",
    "",
)


_PUBLISHED = (
    "# Published findings, measured again",
    "",
    "Written by `recurrax claims` from saved runs: what a paper reports, what came out here at a size that two CPU",
    "cores can do in minutes, and how the settings differ.",
    "",
)


def _section(one: Judgement, docs: Path) -> Iterator[str]:
    yield from (f"## {plain(one.saved['statement'])}", "", f"**{plain(one.saved['verdict'].capitalize())}.**", "")
    if published := one.saved.get("published"):
        said = f"Published: {published['finding']} {published['paper']}.", f"Setting: {published['setting']}"
        yield from (f"- {plain(line)}" for line in (*said, *(f"Here: {found}." for found in one.found)))
    yield from (f"- {plain(sentence)}" for sentence in one.saved["sentences"])
    minutes = f", {one.minutes:g} minutes" if one.minutes is not None else ""
    yield from ("", f"`{one.command}`, {one.finished[:10]}{minutes}{one.versions and '; '}{one.versions}.")
    if (docs / f"{one.experiment}.png").exists():
        yield from ("", f"![{plain(one.saved['statement'])}]({one.experiment}.png)")
