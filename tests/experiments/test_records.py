"""The figures that the README and the pages show are those that were recorded, and the speeds too."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import zoo
from long import costs

from recurrax.report import claims

DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.parametrize(
    ("name", "experiment"),
    [
        ("gradient_decay", "gradient_decay"),
        ("gradient_reach", "gradient_decay"),
        ("what_predicts_failure", "what_predicts_failure"),
        ("failing_lags", "what_predicts_failure"),
        ("taught_reach", "taught_reach"),
        ("learning_rules", "learning_rules"),
        ("kernel_speed", "kernel_speed"),
        ("kernel_scaling", "kernel_speed"),
    ],
)
def test_what_the_pages_show_is_what_was_recorded(name, experiment):
    record = json.loads((DOCS / f"{name}.json").read_text())
    assert record["command"].split(" --")[0] == f"python experiments/{experiment}.py"
    for file, digest in record["sha256"].items():
        assert hashlib.sha256((DOCS / file).read_bytes()).hexdigest() == digest


def test_the_correlations_in_the_readme_are_the_recorded_ones():
    kept = json.loads((DOCS / "claims.json").read_text())["claims"]
    (found,) = (one for one in kept if one["saved"]["statement"].startswith("The gradient of a fresh network"))
    one_lag, mixed = (found["saved"]["comparisons"][place]["theta"] for place in (0, 2))
    readme = " ".join((DOCS.parent / "README.md").read_text().split())
    assert "Spearman {estimate:.2f}, 95 % interval {low:.2f} to {high:.2f}".format(**one_lag) in readme
    assert "({estimate:.2f}, {low:.2f} to {high:.2f})".format(**mixed) in readme


def test_the_verdicts_in_the_readme_are_the_recorded_ones():
    kept = json.loads((DOCS / "claims.json").read_text())["claims"]
    judged = [claims.Judgement(**one) for one in kept]
    readme = (DOCS.parent / "README.md").read_text()
    for belief in claims.BELIEFS:
        verdicts = [one.saved["verdict"] for one in claims.answers(belief, judged)] or [claims.NOT_MEASURED]
        assert f"| {belief.sentence} | {'; '.join(dict.fromkeys(verdicts))} |" in readme


def test_the_speeds_on_the_pages_are_the_recorded_ones():
    """A row per cell: best JAX peer over recurrax for a training step and its worst shape, forward, batch split."""
    means = json.loads((DOCS / "kernel_speed.json").read_text())["means"]
    by_place = {(mean["cell"], mean["pass"], mean["contender"]): mean for mean in means}
    page, readme = (DOCS / "speed.md").read_text(), (DOCS.parent / "README.md").read_text()
    for cell in ("LSTM", "GRU", "Elman"):
        step, forward = (by_place[cell.lower(), kind, "recurrax"] for kind in ("training", "forward"))
        split = by_place[cell.lower(), "training", "recurrax, batch split"]
        shown = (step["peer"], step["worst"], forward["peer"], forward["worst"], split["peer"], split["pytorch"])
        assert f"| {cell} | " + " | ".join(f"{number:.2f}" for number in shown) + " |" in page
        assert f"{step['peer']:.2f}" in readme


def test_the_costs_of_any_cell_on_the_pages_are_the_recorded_ones():
    record = json.loads((DOCS / "costs.json").read_text())
    assert (DOCS / "costs.md").read_text() == costs.page(record)
    ratios = {name: of["times"]["training step"] for name, of in record["cells"].items()}
    held = np.median(
        [of["temporaries"]["recurrax"] / of["temporaries"]["plain scan"] for of in record["cells"].values()]
    )
    low, middle, high = np.quantile(list(ratios.values()), [0.25, 0.5, 0.75])
    readme, page = ((DOCS / name).read_text().replace("\n", " ") for name in ("../README.md", "speed.md"))
    assert f"Of {len(ratios)} cells that are not" in readme
    assert f"takes {middle:.2f} times as long as" in readme
    assert f"{min(ratios.values()):.2f} times for the worst" in readme
    assert f"takes {middle:.2f} times as long for a training step in the middle, {low:.2f} times or less" in page
    assert f"{high:.2f} times or more" in page
    assert f"{held:.2f} times as much in the middle" in page
    assert all(f"{name} {ratio:.2f}" in page for name, ratio in ratios.items() if ratio < 0.95)


@pytest.mark.usefixtures("plain_style")
def test_a_cells_costs_are_measured_and_shown():
    measured = costs.row(zoo.units.Leaky(4), {"T": 5, "B": 3, "H": 4}, rounds=1, seconds=0)
    assert min(measured["times"].values()) > 0
    assert costs.wide(zoo.weights.Masked()) is None


def test_the_training_loops_on_the_page_are_the_recorded_ones():
    (table,) = json.loads((DOCS / "peers_loop.json").read_text())["tables"]
    loops = ("recurrax, batch split", "Flax linen", "PyTorch")
    columns = [f"{name} / recurrax" for name in loops]
    columns += [f"first chunk, {name}, s" for name in ("recurrax", "Flax linen", "PyTorch")]
    page = (DOCS / "speed.md").read_text()
    for row in (dict(zip(table["columns"], values, strict=True)) for values in table["rows"]):
        assert f"| {row['cell']} | " + " | ".join(row[column] for column in columns) + " |" in page


def test_long_sequences_and_devices_on_the_page_are_the_recorded_ones():
    record = json.loads((DOCS / "kernel_scaling.json").read_text())
    temporaries, speeds = {}, {}
    for row in record["scaling"]["long"]:
        megabytes = row["temporaries_mb"]
        temporaries.setdefault(row["steps"], []).append(f"{megabytes:.{3 if megabytes < 10 else 0}f}")
    for row in record["scaling"]["devices"]:
        speeds.setdefault(row["devices"], []).append(f"{row['against_one']:.2f}")
    page = (DOCS / "speed.md").read_text()
    for first, cells in (*temporaries.items(), *((count, of) for count, of in speeds.items() if count > 1)):
        assert f"| {first} | {' | '.join(cells)} |" in page
