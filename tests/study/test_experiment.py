"""The path from settings to a report, with measurements that cost nothing and cells and tasks of the tests' own."""

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from recurrax import report, study
from recurrax.study import named, networks

OWN = str(Path(__file__).parents[1] / "own.py")


@dataclass(frozen=True)
class Settings(study.Settings):
    """Is a larger α larger?"""

    cells: tuple[str, ...] = (f"{OWN}:Leaky:alpha=0.25", f"{OWN}:Leaky")
    tasks: tuple[str, ...] = (f"{OWN}:Echo",)
    seeds: int = 8
    hidden_size: int = 4
    other_size: int = 6
    limit: int = 40
    more: bool = True


def alphas(settings, cell, task, run):
    """10 α + seed of every network; beyond 10 it was not measured."""
    seeds = np.arange(settings.seeds)
    values = 100 * cell.alpha + seeds
    return {"alpha": np.where(values > settings.limit, np.inf, values), "size": [cell.hidden_size] * 8, "seed": seeds}


def delays(settings, cell, task, run):
    return {"delay": np.tile(np.arange(3.0) * task.delay, (settings.seeds, 1)), "seed": np.arange(settings.seeds)}


ALPHA = study.Number(
    "alpha", "alpha", lambda a, s, t: a, "percent", "what was given", show="{:.0f}".format, beyond="limit"
)
SIZE = study.Number("size", "size", lambda a, s, t: a, show="{:.0f}".format)
LAST = study.Number("last of {s.seeds}", "delay", lambda a, s, t: a[:, -1], middle="interquartile mean")
DELAYS = study.Curve("{name}", "delay", lambda s, size: np.arange(size), "x", "delay ({task.unit})")
CLAIM = study.Claim(
    "A half is more than a quarter.", ALPHA, (study.Pair(f"{OWN}:Leaky:alpha=0.5", f"{OWN}:Leaky:alpha=0.25"),), 10.0
)
OTHERS = study.Claim("An LSTM is more.", ALPHA, (study.Pair("lstm", f"{OWN}:Leaky"),), 1.0)


def words(results):
    rows = tuple((cell.label, " ".join(map(str, sizes[:2]))) for (_, cell), sizes in results.measured("size").items())
    return report.Table("In words", "Sizes.", ("cell", "words"), rows)


EXPERIMENT = study.Experiment(
    "alphas",
    Settings,
    (study.Part(alphas, "first"), study.Part(delays, "second", "other_size", when=lambda s: s.more)),
    numbers=(study.Numbers("All of {s.seeds}", (ALPHA, SIZE)), study.Numbers("Delays", (LAST,))),
    curves=(study.Curves("delays", "Delays", (DELAYS,)),),
    claims=(CLAIM, OTHERS),
    texts=words,
    protocol=("Nothing was trained, {s.seeds} times.",),
    smoke={"seeds": 6},
)


@pytest.fixture
def saved(tmp_path):
    assert study.main(EXPERIMENT, ["--out", str(tmp_path)]) == 0
    (folder,) = (tmp_path / "alphas").iterdir()
    return report.load(folder)


def test_tables_have_a_row_per_task_and_cell(saved):
    first, second, third = saved.report.tables
    assert (first.title, first.columns) == ("All of 8", ("task", "cell", "alpha, percent", "size"))
    assert first.rows == (("Echo", "Leaky:alpha=0.25", "28 [26, 31]", "4"), ("Echo", "Leaky", ">40", "4"))
    assert first.caption.startswith("alpha: what was given. Medians over networks, none left out")
    assert second.columns[-1] == "last of 8"
    assert second.rows[0][-1] == "20"
    assert third.rows == (("Leaky:alpha=0.25", "4 4"), ("Leaky", "4 4"))


def test_the_answer_ranks_cells_and_ends_with_the_verdicts(saved):
    assert saved.report.question == "Is a larger α larger?"
    assert saved.report.answer.splitlines() == [
        "alpha, percent on Echo: Leaky:alpha=0.25 28 [26, 31]; Leaky >40.",
        "A half is more than a quarter. Undecided.",
    ]
    assert [figure.value for figure in saved.report.key_figures] == ["Leaky:alpha=0.25 28 [26, 31]; Leaky >40"]


def test_a_claim_is_judged_where_its_cells_were_measured_however_they_were_written(saved):
    (claim,) = saved.summary["claims"]
    (one,) = claim["comparisons"]
    assert (one["of"], one["against"], one["task"], one["seeds"]) == ("Leaky", "Leaky:alpha=0.25", "Echo", 8)
    # 50 + s lies beyond 40: at least 40 - (25 + s). The least of 8 differences is 8, less than δ.
    assert one["theta"] == {"estimate": 11.5, "low": 8.0, "high": None}
    assert claim["verdict"] == "undecided"
    assert "LSTM" not in json.dumps(saved.summary["report"])


def test_a_claim_may_compare_a_cell_with_itself_on_another_task(tmp_path):
    last = study.Number("last", "delay", lambda delay, s, t: delay[:, -1])
    leaky, long = f"{OWN}:Leaky", "Echo:delay=16"
    pairs = (study.Pair(leaky, leaky, task=long, against_task="Echo"), study.Pair(leaky, leaky, against_task="Recall"))
    claim = study.Claim("A longer delay is longer.", last, pairs, 5.0)
    settings = Settings(tasks=(f"{OWN}:Echo", f"{OWN}:{long}"), out=tmp_path)
    asked = dataclasses.replace(EXPERIMENT, claims=(claim,))
    assert asked.command.run(lambda: settings) == 0
    (folder,) = (tmp_path / "alphas").iterdir()
    (found,) = report.load(folder).summary["claims"]
    (one,) = found["comparisons"]
    # The last delay is twice the task's own: 32 against 20. No task is called Recall, so that pair takes no part.
    assert (one["of"], one["task"], one["against"]) == ("Leaky", long, "Leaky on Echo")
    assert one["theta"] == {"estimate": 12.0, "low": 12.0, "high": 12.0}
    assert found["verdict"] == "supported"


def test_a_smoke_run_judges_nothing(tmp_path):
    assert study.main(EXPERIMENT, ["--smoke", "--out", str(tmp_path)]) == 0
    (folder,) = (tmp_path / "alphas").iterdir()
    saved = report.load(folder)
    assert (saved.summary["claims"], saved.report.findings, saved.report.key_figures) == ([], (), ())
    assert saved.report.answer.startswith("SMOKE")


def test_figures_draw_a_line_per_cell_in_the_tasks_own_unit(saved):
    (figure,) = saved.report.figures
    (panel,) = figure.panels
    assert (panel.title, panel.y_label) == ("Echo", "delay (squared volts)")
    assert [line.label for line in panel.lines] == ["Leaky:alpha=0.25", "Leaky"]
    assert saved.arrays[panel.lines[0].y][0].tolist() == [0, 10, 20]


def test_the_protocol_has_every_task_and_cell_in_its_own_words(saved):
    assert saved.report.protocol == (
        "Nothing was trained, 8 times.",
        "Echo: the number that was read 10 steps ago; its loss in squared volts.",
        "Leaky:alpha=0.25: Leaky(hidden_size=4, alpha=0.25).",
        "Leaky: Leaky(hidden_size=4, alpha=0.5).",
    )


def test_every_number_is_saved_by_task_cell_table_and_name(saved):
    of_cell = saved.summary["numbers"]["Echo"]["Leaky:alpha=0.25"]
    assert list(of_cell["Delays"]) == ["last of seeds"]  # the same name in every setting of a sweep
    number = of_cell["All of seeds"]["alpha"]
    assert number["per_network"] == [25.0 + seed for seed in range(8)]
    assert (number["estimate"], number["text"]) == (28.5, "28 [26, 31]")


def test_a_part_may_measure_further_cells_for_tables_and_claims_that_are_not_drawn(tmp_path):
    half, last = f"{OWN}:Leaky:alpha=0.125", study.Number("last", "delay", lambda delay, s, t: delay[:, -1])
    claim = study.Claim(
        "The delay is above 15.", last, (study.Pair(half), study.Pair(f"{OWN}:Leaky", number=ALPHA)), 15.0, "value"
    )
    parts = (study.Part(alphas, "first"), study.Part(delays, "second", also=lambda settings: (half,)))
    further = dataclasses.replace(EXPERIMENT, measure=parts, claims=(claim,), texts=None)
    assert study.main(further, ["--out", str(tmp_path)]) == 0
    (folder,) = (tmp_path / "alphas").iterdir()
    saved = report.load(folder)
    rows = [[row[1] for row in table.rows] for table in saved.report.tables]
    assert rows == [["Leaky:alpha=0.25", "Leaky"], ["Leaky:alpha=0.25", "Leaky", "Leaky:alpha=0.125"]]
    assert [line.label for line in saved.report.figures[0].panels[0].lines] == ["Leaky:alpha=0.25", "Leaky"]
    one, other = saved.report.findings
    assert one == "supported: last of Leaky:alpha=0.125 (Echo) +20 [+20, +20], δ 15, n 8, p 0.016"
    assert other.startswith("supported: last of Leaky (Echo) ")  # of the other number, beyond 40


def test_a_part_that_is_not_asked_for_leaves_its_table_out(tmp_path):
    settings = Settings(more=False)
    jobs = EXPERIMENT.plan(settings)
    assert list(jobs) == ["Echo, Leaky:alpha=0.25, first", "Echo, Leaky, first"]
    assert list(EXPERIMENT.plan(Settings()))[2:] == ["Echo, Leaky:alpha=0.25, second", "Echo, Leaky, second"]
    arrays = {"alpha.Echo.Leaky": np.ones(8), "seeds.alpha.Echo.Leaky": np.arange(8), "size.Echo.Leaky": np.ones(8)}
    said = EXPERIMENT.finish(settings, arrays).report
    assert ([table.title for table in said.tables], said.figures) == (["All of 8", "In words"], ())
    assert said.tables[0].rows == (("Echo", "Leaky", "1", "1"),)
    with pytest.raises(ValueError, match=r"numbers: expected arrays delay from measure, got alpha, seeds, size"):
        EXPERIMENT.finish(Settings(), arrays)


def shown(out):
    """The first number of the only run."""
    (folder,) = (out / "edited").iterdir()
    (numbers,) = report.load(folder).summary["numbers"].values()
    return numbers["Mine"]["All"]["y"]["estimate"]


MINE = """
from dataclasses import dataclass
import jax.numpy as jnp
import numpy as np
from own import Echo, Leaky
from recurrax import study

@dataclass(frozen=True)
class Mine(Leaky):
    def pointwise(self, params, carry, u, v):
        \"\"\"Of no interest.\"\"\"
        return carry._replace(h=jnp.tanh(v))

class Task(Echo):
    @property
    def unit(self):
        return "volts"

def value(cell, task):
    return float(cell.pointwise(None, cell.initial_carry(None, (), float), 0, 1.0).h) + len(task.unit)

def measure(settings, cell, task, run):
    return {"y": np.full(2, 10 * value(cell, task)), "seed": [0, 1]}
"""


@pytest.mark.parametrize(
    ("edit", "differs", "y"),
    [
        (("tanh(v)", "tanh(2 * v)"), "cell Mine", 10 * (np.tanh(2) + 5)),
        (('"volts"', '"ohm"'), "task Task", 10 * (np.tanh(1) + 3)),
        (("len(task.unit)", "7"), "measure", 10 * (np.tanh(1) + 7)),
        (("np.full(2, 10 *", "np.full(2, 20 *"), "measure", 20 * (np.tanh(1) + 5)),
        (("jnp.tanh(v)", "jnp.tanh(  # steeply\n            v)"), None, 10 * (np.tanh(1) + 5)),
        (("Of no interest.", "Of some."), None, 10 * (np.tanh(1) + 5)),
    ],
)
def test_an_edited_program_never_gets_the_numbers_of_the_one_before(edit, differs, y, tmp_path, monkeypatch, capsys):
    monkeypatch.syspath_prepend(Path(OWN).parent)
    path = tmp_path / "mine.py"

    def run(*flags):
        measure = named.cell(f"{path}:Mine").kind.pointwise.__globals__["measure"]
        numbers = (study.Numbers("All", (study.Number("y", "y", lambda y, s, t: y),)),)
        texts = ["--out", str(tmp_path), "--cells", f"{path}:Mine", "--tasks", f"{path}:Task"]
        return study.main(study.Experiment("edited", Settings, measure, numbers), [*texts, *flags])

    path.write_text(MINE)
    assert run() == 0
    assert shown(tmp_path) == pytest.approx(10 * (np.tanh(1) + 5))
    path.write_text(MINE.replace(*edit))
    capsys.readouterr()
    assert run() == (1 if differs else 0)
    written = capsys.readouterr().err
    if differs:
        assert f"it was saved by another program, which differs in {differs}; --fresh begins anew" in written
        assert written.count("\n") == 1
        assert shown(tmp_path) == pytest.approx(10 * (np.tanh(1) + 5))
        assert run("--fresh") == 0
    assert shown(tmp_path) == pytest.approx(y, rel=1e-6)


def test_ways_of_initialising_a_wrapped_cell_are_arms_of_their_own(tmp_path, quick_compile):
    wrapping = Path(OWN).with_name("wrapping.py")
    arms = [f"{wrapping}:Held:cell={inner},rate=0" for inner in ("(elman:init=uniform)", "elman")]

    def measure(settings, cell, task, run):
        return {"y": networks.drawn_curves(cell, task, 10, range(2), rows=2), "seed": range(2)}

    last = study.Number("y", "y", lambda y, s, t: y[:, -1])
    further = study.Claim("An orthogonal kernel carries further.", last, (study.Pair(arms[1], arms[0]),), delta=1.0)
    wrapped = study.Experiment("wrapped", Settings, measure, (study.Numbers("All", (last,)),), claims=(further,))
    assert study.main(wrapped, ["--out", str(tmp_path), "--hidden-size", "16", "--cells", *arms]) == 0
    (folder,) = (tmp_path / "wrapped").iterdir()
    saved = report.load(folder)
    assert [row[1] for row in saved.report.tables[0].rows] == [arm.rpartition("wrapping.py:")[2] for arm in arms]
    (comparison,) = saved.summary["claims"][0]["comparisons"]
    assert comparison["theta"]["estimate"] > 1
    elman, echo = named.cell("elman").build(hidden_size=16), named.task(f"{OWN}:Echo").build()
    plain = networks.drawn_curves(elman, echo, 10, range(2), rows=2)
    np.testing.assert_allclose(saved.arrays["y.Echo.Held:cell=elman,rate=0"], plain, atol=1e-4)


def test_cells_that_did_not_share_their_seeds_are_refused():
    labels = ("Leaky:alpha=0.25", "Leaky")
    arrays = {f"{kind}.Echo.{label}": np.ones(8) for kind in ("alpha", "size", "delay") for label in labels}
    arrays |= {f"seeds.alpha.Echo.{label}": np.arange(8) + place for place, label in enumerate(labels)}
    with pytest.raises(ValueError, match=r"claim: expected the same seeds for Leaky and Leaky:alpha=0\.25"):
        EXPERIMENT.finish(Settings(), arrays | {f"delay.Echo.{label}": np.ones((8, 3)) for label in labels})


def test_a_measurement_without_seeds_is_refused(tmp_path):
    bare = study.Experiment("bare", Settings, lambda settings, cell, task, run: {"alpha": np.ones(2)}, ())
    with pytest.raises(ValueError, match=r"measure: expected an array 'seed' \(S,\) among what it gives, got alpha"):
        study.main(bare, ["--out", str(tmp_path)])
