"""`recurrax claims`: what became of every claim."""

from pathlib import Path

from rich.text import Text

from recurrax.report.claims import BELIEFS, NOT_MEASURED, answers, judged, recorded, save
from recurrax.report.console import terminal


def claims(results: Path, /, docs: Path = Path("docs"), keep: bool = False) -> int:
    """Shows every claim that finished runs have judged, with its latest verdict, and writes claims.md and claims.json.

    Args:
        results: Folder that holds run folders, at any depth.
        docs: Folder that the two files go to.
        keep: Leave the verdicts there that no run in the folder replaces, with the date of their own runs.
    """
    console, found = terminal(), judged(results, recorded(docs) if keep else ())
    for one in found:
        console.print(Text(f"\n{one.saved['statement']}", style="bold"))
        console.print(Text(f"{one.saved['verdict'].capitalize()} ({one.experiment}, {one.finished[:10]})."))
        for sentence in one.saved["sentences"]:
            console.print(Text(f"  {sentence}"))
    open_ = [belief.sentence for belief in BELIEFS if not answers(belief, found)]
    if open_:
        console.print(Text(f"\n{NOT_MEASURED.capitalize()}: {' '.join(open_)}"))
    written = save(found, docs)
    console.print(Text(f"\n{len(found)} claims. Written: {', '.join(map(str, written))}"), soft_wrap=True)
    return 0
