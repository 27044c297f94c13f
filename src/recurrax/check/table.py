"""What a check found: the laws, one a line, each with "holds" or the sentence that says what to change."""

from typing import NamedTuple


class Verdict(NamedTuple):
    """A law, and what was found: "holds", "not run", or a sentence that says what to change."""

    law: str
    finding: str


class CheckTable(NamedTuple):
    """The verdicts on one cell; printed as a table."""

    cell: str
    verdicts: tuple[Verdict, ...]

    @property
    def broken(self) -> tuple[Verdict, ...]:
        """The verdicts on laws that do not hold."""
        return tuple(verdict for verdict in self.verdicts if verdict.finding not in ("holds", "not run"))

    def __repr__(self) -> str:
        width = max(len(verdict.law) for verdict in self.verdicts)
        return "\n".join([self.cell, *(f"  {law:{width}}  {finding}" for law, finding in self.verdicts)])
