"""Runs whose findings are known, written as files, and a parser of pages; for tests of what pages say."""

from html.parser import HTMLParser

import numpy as np

from recurrax.files import save_arrays, save_json
from recurrax.report import Figure, KeyFigure, Line, Panel, Report, Table

VOID = ("meta", "br", "img")
PANEL = Panel("title", "lag (steps)", "norm", (Line("lstm", "lag", "norms", 0),))
FIGURES = (
    Figure("norms", "Norms", "By lag.", (PANEL, PANEL)),
    Figure("rates", "Rates", "By step.", (PANEL,)),
)
WIDE = Table(
    "Lags", "In steps.", ("cell", *(f"a long heading {i}" for i in range(9))), (("lstm", *("12 [10, >20]",) * 9),)
)
KEYS = (KeyFigure("K, steps on adding", "elman 20 [10, 30]; lstm >200"), KeyFigure("K, steps on text", "elman 5"))
REPORT = Report(
    question="How far does the gradient of each recurrent cell reach, at initialisation and after some training?",
    answer="\n".join([*(f"{key.name}: {key.value}." for key in KEYS), "An LSTM reaches further. Supported."]),
    findings=("supported: log2 ratio in K of lstm over elman",),
    tables=(WIDE,),
    figures=FIGURES,
    protocol=("One probe.",),
    key_figures=KEYS,
)


def number(estimate, low, high, text):
    """A cell's numbers as a summary has them."""
    key = {"estimate": estimate, "low": low, "high": high, "text": text, "per_network": [estimate]}
    return {"Reach, hidden_size units": {"K": key, "rate": key | {"estimate": 0.5}}}


NUMBERS = {
    "adding": {
        "elman": number(20.0, 10.0, 30.0, "20 [10, 30]"),
        "gru": number(50.0, 40.0, None, "50 [40, >200]"),
        "lstm": number(None, None, None, ">200"),
    },
    "text": {"elman": number(5.0, 5.0, 5.0, "5")},
}
CLAIM = {
    "statement": "An LSTM reaches further.",
    "verdict": "supported",
    "effect": "log2 ratio in K, steps",
    "delta": 1.0,
    "analogue": False,
    "comparisons": [
        {"of": "lstm", "against": "elman", "task": "adding", "level": "", "seeds": 8, "verdict": "supported"},
        {"of": "gru", "against": "", "task": "text", "level": "", "seeds": 8, "verdict": "refuted"},
    ],
    "sentences": [
        "supported: log2 ratio in K, steps of lstm over elman (adding) +2.5 [+1.5, +inf], δ 1, n 8, p 0.01",
        "refuted, equal: log2 ratio in K, steps of gru (text) +0.1 [-0.2, +0.3], δ 1, n 8, p 0.5",
    ],
}  # fmt: skip
ENVIRONMENT = {"python": "3.11", "processor": "A Processor 9000", "cores": 2, "memory": "23.5 GiB", "job": "SLURM 12"}


def save_run(folder, claims=(CLAIM,), numbers=NUMBERS, **changes):
    """A finished run in a folder that is made; `changes` replace fields of its report."""
    folder.mkdir(parents=True)
    save_json(folder / "config.json", {"seeds": 2, "cells": ["elman", "lstm"]})
    times = {"started": "2026-01-02T03:04:05+00:00", "finished": "2026-01-02T04:06:12+00:00"}
    record = {"experiment": "reach", "status": "finished", "command": "python experiments/reach.py --seeds 2"}
    save_json(folder / "run.json", record | times | {"environment": ENVIRONMENT})
    save_json(
        folder / "summary.json",
        {"numbers": numbers, "claims": list(claims), "report": REPORT.to_json() | changes},
    )
    save_arrays(folder / "arrays.npz", {"lag": np.arange(5), "norms": np.ones((2, 5))})
    return folder


class Page(HTMLParser):
    """A page as a list of parts: [tag, attributes, tags around it, the text right inside it]."""

    def __init__(self, text):
        super().__init__()
        self.open, self.parts, self.texts = [], [], []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        assert tag not in ("script", "link", "iframe")
        self.parts.append([tag, dict(attributes), [part[0] for part in self.open], ""])
        if tag not in VOID:
            self.open.append(self.parts[-1])

    def handle_endtag(self, tag):
        assert self.open.pop()[0] == tag

    def handle_data(self, data):
        if self.open:
            self.open[-1][3] += data
            self.texts.append((len(self.parts), "style" in [part[0] for part in self.open], data))

    def all(self, tag, **attributes):
        """The parts of a tag, with these attributes."""
        return [part for part in self.parts if part[0] == tag and attributes.items() <= part[1].items()]

    def words(self, before=None):
        """The text that can be read, up to the start of a part."""
        count = len(self.parts) if before is None else self.parts.index(before)
        return " ".join(" ".join(text for number, style, text in self.texts if number <= count and not style).split())
