"""Laws of all experiments: each takes anyone's cell and task, and says nothing of others."""

import dataclasses
import importlib
import itertools
import json
import re
from collections import OrderedDict
from pathlib import Path

import jax
import numpy as np
import pytest

from recurrax import cells, report, study, tasks
from recurrax.study import Command, statistics, timing
from recurrax.train import compiled

ROOT = Path(__file__).parents[2]
ORDINARY = re.compile(r"\b(agreement|characters|dates|digits|tones)\b")
"""Names of tasks that are words of any sentence too, unless they begin with a capital letter."""
OWN = str(ROOT / "tests" / "own.py")
OTHERS = ("peers", "accelerator", "kernel_scaling", "kernel_ratios")
"""How the names of files begin that are no such experiments: parts of some, and what measures a machine."""
NAMES = sorted(path.stem for path in (ROOT / "experiments").glob("*.py") if not path.stem.startswith(OTHERS))
OURS = {kind.__name__ for kind in (*cells.ALL, *tasks.ALL)} - {"Leaky"}  # as the user's own is called too
OURS = re.compile(rf"\b({'|'.join(OURS)})\b", re.IGNORECASE)
NEEDED = {
    "analogues": ["run"],  # seeds share it
    "cost": 2 * ["training_step"],  # the cell and the first of --cells
    "decay_at_init": ["_profile"],  # scales share it
    "gates": ["run"],  # seeds share it
    "forgetting": ["_curve", "decoded", "run", "states"],  # seeds share them
    "gradient_decay": ["_profile", "run", "probe_row"],
    "instrument_cost": ["<lambda>", "_share", "_spectrum", *4 * ["_profile"]],  # adjoint, parameter, two of Jacobians
    "kernel_speed": 2 * ["<lambda>", "loss", "loss", "whole"],  # per pass: a product, fused, reference, split batch
    "learning_rules": 4 * ["_profile"],  # a rule each, which seeds share
    "long_range": ["run"],  # seeds share it
    "lyapunov_of_cells": ["_spectrum", "run", "probe_row"],
    "mean_field_check": ["_profile"],  # gains share it
    "newton_convergence": ["_spectrum", "_run", "_run", "_run"],  # a kind of Jacobian each
    "open_gradients": 2 * ["run"],  # plain and opened
    "memory_versus_gradient": ["_curve", "_profile"],
    "reproduce_le2015": ["run"],
    "reproduce_pascanu2013": 2 * ["run"],  # clipped and not
    "reproduce_tallec2018": ["run"],
    "selective_memory": ["<lambda>", "_share", "run"],
    "short_range_text": ["<lambda>", "<lambda>", "run"],
    "stability": ["run"],  # rates share it
    "taught_reach": ["run", "probe_row"],
    "what_predicts_failure": ["_curve", "_profile", "run"],  # seeds share them
    "table_of_cells": ["_curve", "_profile", "_spectrum", "<lambda>", "<lambda>"],  # the last two: cell and yardstick
}
"""What a smoke run has to compile, a program per walk, chunk of training and shape: nearly all of its time."""
OPERATIONS = 80
"""At most so many single operations outside of such programs, small each: keys, a network and a batch take about 20 of
them for each dtype and size of the networks, of which there are four at most, and the state of a training 10."""


def command(name) -> Command:
    module = importlib.import_module(name)
    return module.COMMAND if hasattr(module, "COMMAND") else module.EXPERIMENT.command


def texts(value):
    """All that a report says, apart from the question, which may be about our cells."""
    if isinstance(value, dict):
        for key, entry in value.items():
            yield from () if key == "question" else texts(entry)
    elif isinstance(value, list | tuple):
        for entry in value:
            yield from texts(entry)
    elif isinstance(value, str):
        yield value


def test_no_file_is_private_and_none_is_long():
    lengths = {path.name: len(path.read_text().splitlines()) for path in (ROOT / "experiments").glob("*.py")}
    assert not [name for name in lengths if name.startswith("_")]
    assert max(lengths.values()) <= 240


@pytest.mark.parametrize("name", NAMES)
def test_a_smoke_run_with_ones_own_cell_and_task(name, tmp_path, capsys, monkeypatch):
    asked = command(name)
    assert asked.name == name
    fields = {field.name for field in dataclasses.fields(asked.settings)}
    own = ["--cells", f"{OWN}:Leaky:alpha=0.25", *(["--tasks", f"{OWN}:Echo"] if "tasks" in fields else [])]
    jax.clear_caches()
    monkeypatch.setattr(compiled, "_KEPT", OrderedDict())  # another experiment trains this very network
    programs = timing.compilations(lambda: asked.main(["--smoke", "--out", str(tmp_path), *own]))
    whole = sorted(program for program in programs if program in itertools.chain(*NEEDED.values()))
    assert whole == sorted(NEEDED[name])
    assert len(programs) - len(whole) <= OPERATIONS
    shown = capsys.readouterr().out
    (folder,) = (tmp_path / name).iterdir()
    saved = report.load(folder)
    assert saved.report.tables[0].title in shown
    assert "SMOKE" in saved.report.answer
    assert "SMOKE" in shown
    assert (saved.report.findings, saved.report.key_figures, saved.summary["claims"]) == ((), (), [])
    said = list(texts(saved.report.to_json()))
    assert not [text for text in said if OURS.search(ORDINARY.sub("", text))]
    assert any("Leaky:alpha=0.25" in text for text in said)
    if "tasks" in fields:
        assert any("squared volts" in text for text in said)
    drawn = {path: path.read_bytes() for kind in ("png", "svg", "html") for path in folder.glob(f"*.{kind}")}
    assert {path.stem for path in drawn} == {"report", *(figure.name for figure in saved.report.figures)}
    for path in drawn:
        path.unlink()
    assert asked.main(["--replot", str(folder)]) == 0
    assert {path: path.read_bytes() for path in drawn} == drawn
    config = json.loads((folder / "config.json").read_text())
    assert config["cells"] == [f"{OWN}:Leaky:alpha=0.25"]


def test_who_judges_a_claim_has_quick_sizes_of_settings_it_has():
    asked = [command(name) for name in NAMES if getattr(importlib.import_module(name), "EXPERIMENT", None)]
    judging = [one for one in asked if importlib.import_module(one.name).EXPERIMENT.claims]
    assert {"gradient_decay", "long_range", "analogues", "what_predicts_failure"} <= {one.name for one in judging}
    for one in judging:
        fields = {field.name for field in dataclasses.fields(one.settings)}
        assert one.quick, one.name
        assert one.quick.keys() <= fields, one.name


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("size", ["defaults", "quick"])
def test_there_are_seeds_enough_to_decide_every_comparison(name, size):
    """The largest effect on all seeds passes the sign test, adjusted for as many comparisons as a claim makes."""
    asked, experiment = command(name), getattr(importlib.import_module(name), "EXPERIMENT", None)
    settings = asked._sized(asked.settings(quick=size == "quick"))
    n = getattr(settings, "seeds", getattr(settings, "rounds", None))
    for claim in experiment.claims if experiment else ():
        if isinstance(claim, study.Claim):
            asked_of = [1 if pair.task else len(getattr(settings, "tasks", ("all",))) for pair in claim.pairs]
            effect = statistics.Bounds(np.full(n, np.inf), np.full(n, np.inf))
            p_values = np.full(sum(asked_of), statistics.sign_test(effect, claim.delta))
            assert statistics.holm(p_values).max() <= 0.05, claim.statement


@pytest.mark.parametrize("name", NAMES)
def test_what_cannot_be_meant_is_refused_before_anything_is_made(name, tmp_path, capsys):
    assert command(name).main(["--smoke", "--out", str(tmp_path / "results"), "--cells", "lstn"]) == 2
    assert f"{name}: cells: expected one of" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
