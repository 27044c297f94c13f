"""Cells and tasks by a text: what is built, and what is said about a text that names nothing."""

import sys
from pathlib import Path

import pytest

from recurrax import GRU, LSTM, Elman, tasks
from recurrax.study import named

OWN = str(Path(__file__).parents[1] / "own.py")
UNIFORM = {"recurrent_init": "uniform", "bias_init": "uniform"}
WRAPPING = str(Path(__file__).parents[1] / "wrapping.py")


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ("lstm", LSTM(8)),
        ("LSTM:forget_bias=chrono,t_max=100", LSTM(8, forget_bias="chrono", t_max=100)),
        ("lstm:forget_bias=-1.5", LSTM(8, forget_bias=-1.5)),
        ("gru:reset_after=False,hidden_size=3", GRU(3, reset_after=False)),
        ("elman:activation=relu, recurrent_init=identity", Elman(8, activation="relu", recurrent_init="identity")),
        ("elman:init=uniform", Elman(8, kernel_init="uniform", **UNIFORM)),
    ],
)
def test_ours_by_their_names(text, cell):
    assert named.cell(text).build(hidden_size=8) == cell


def test_sizes_are_those_of_the_settings_unless_the_text_has_them():
    assert named.task("adding").build(length=20, hidden_size=8) == tasks.Adding(20)
    assert named.task("adding:length=7").build(length=20) == tasks.Adding(7)


def test_a_users_file_is_imported_when_it_is_named_and_never_else():
    before = set(sys.modules)
    named.cell("lstm")
    assert not [name for name in set(sys.modules) - before if name.startswith("own_")]
    leaky = named.cell(f"{OWN}:Leaky:alpha=0.25")
    assert (leaky.label, leaky.slug) == ("Leaky:alpha=0.25", "Leaky-alpha-0.25")
    built = leaky.build(hidden_size=6)
    assert (built.hidden_size, built.alpha, built) == (
        6,
        0.25,
        named.cell(f"{OWN}:Leaky").build(hidden_size=6, alpha=0.25),
    )
    assert named.task(f"{OWN}:Echo:delay=3").build(length=20).lag == 3


def built(kind, **fields):
    """A wrapper of the tests' own file around cells."""
    return named.cell(f"{WRAPPING}:{kind}").kind(**fields)


@pytest.mark.parametrize(
    ("text", "label", "kind", "fields"),
    [
        ("Held:cell=lstm", "Held:cell=lstm", "Held", {"cell": LSTM(8)}),
        ("Held:cell=(gru),rate=0.1", "Held:cell=gru,rate=0.1", "Held", {"cell": GRU(8), "rate": 0.1}),
        (
            "Held:rate=0.1, cell=(lstm:forget_bias=0,t_max=9)",
            "Held:rate=0.1,cell=(lstm:forget_bias=0,t_max=9)",
            "Held",
            {"cell": LSTM(8, forget_bias=0, t_max=9), "rate": 0.1},
        ),
        ("Held:cell=lstm:forget_bias=2", "Held:cell=(lstm:forget_bias=2)", "Held", {"cell": LSTM(8, forget_bias=2.0)}),
        (
            "Deep:cells=[elman,(gru:reset_after=False), (elman:hidden_size=3)]",
            "Deep:cells=[elman,(gru:reset_after=False),(elman:hidden_size=3)]",
            "Deep",
            {"cells": (Elman(8), GRU(8, reset_after=False), Elman(3))},
        ),
        (
            "Deep:cells=[gru],name=(a, b),sizes=[1,2],above=(elman:init=uniform)",
            "Deep:cells=[gru],name=(a, b),sizes=[1,2],above=(elman:init=uniform)",
            "Deep",
            {"cells": (GRU(8),), "name": "a, b", "sizes": (1, 2), "above": Elman(8, kernel_init="uniform", **UNIFORM)},
        ),
        ("Deep:cells=[]", "Deep:cells=[]", "Deep", {"cells": ()}),
    ],
)  # fmt: skip
def test_fields_that_are_cells_have_texts_of_their_own(text, label, kind, fields):
    name = named.cell(f"{WRAPPING}:{text}")
    assert name.label == label
    assert name.build(hidden_size=8) == built(kind, **fields)
    again = named.cell(f"{WRAPPING}:{label}")
    assert (again.label, again.build(hidden_size=8)) == (label, name.build(hidden_size=8))


def test_cells_of_files_inside_each_other():
    text = f"{WRAPPING}:Held:cell=({WRAPPING}:Deep:cells=[({OWN}:Leaky:alpha=0.25),lstm]),rate=0.2"
    name = named.cell(text)
    assert name.label == "Held:cell=(Deep:cells=[(Leaky:alpha=0.25),lstm]),rate=0.2"
    leaky = named.cell(f"{OWN}:Leaky:alpha=0.25").build(hidden_size=5)
    assert name.build(hidden_size=5) == built("Held", cell=built("Deep", cells=(leaky, LSTM(5))), rate=0.2)


def test_a_long_label_makes_a_short_name_of_a_file():
    deep = "Deep:cells=[(lstm:forget_bias=chrono,t_max=100),(lstm:forget_bias={}),(gru:reset_after=False)]"
    one, other = (named.cell(f"{WRAPPING}:{deep.format(bias)}").slug for bias in (1, 2))
    assert one != other
    assert max(len(one), len(other)) <= 40


def test_a_file_that_has_changed_is_read_again(tmp_path):
    path = tmp_path / "mine.py"
    (tmp_path / "beside.py").write_text("SIZE = 3\n")
    source = "from beside import SIZE\nfrom recurrax import Elman as Mine\nfrom dataclasses import dataclass\n"
    path.write_text(source)
    first = named.cell(f"{path}:Mine")
    assert first.build(hidden_size=2) == Elman(2)
    path.write_text(source + "\n@dataclass(frozen=True)\nclass Mine(Mine):\n    gain: float = 2.0\n")
    again = named.cell(f"{path}:Mine")
    assert again.build(hidden_size=2).gain == 2.0
    assert first.kind is not again.kind


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("lstn", "or file.py:NAME, got 'lstn'; the nearest is 'LSTM'"),
        ("", "or file.py:NAME, got ''"),
        ("lstm:forgetbias=1", " before '=', got 'forgetbias'; the nearest is 'forget_bias'"),
        ("lstm:forget_bias", "lstm:forget_bias: expected one of hidden_size"),
        ("lstm:forget_bias=1,forget_bias=2", "expected each field once, got forget_bias again"),
        (
            "lstm:forget_bias=chrnoo",
            "forget_bias: expected one of a number, chrono, got 'chrnoo'; the nearest is 'chrono'",
        ),
        ("gru:reset_after=yes", "reset_after: expected True or False, got 'yes'"),
        ("elman:hidden_size=2.5", "hidden_size: expected a whole number, got '2.5'"),
        ("elman:hidden_size=__import__('os')", "expected a whole number, got"),
        (WRAPPING + ":Held:cell=elmn", "Held:cell=elmn: cell: expected one of Elman"),
        (WRAPPING + ":Held:cell=(elmn:x=1)", "got 'elmn'; the nearest is 'Elman'"),
        (WRAPPING + ":Held:cell=(gru:rest_after=False)", "before '=', got 'rest_after'; the nearest is 'reset_after'"),
        (WRAPPING + ":Held:cell=(lstm:forget_bias=0", "expected every bracket to be closed, got 'cell=(lstm"),
        (WRAPPING + ":Deep:cells=[elman,gru)],name=x", "expected every bracket to be closed"),
        (WRAPPING + ":Deep:cells=elman", "cells: expected values in [ ], got 'elman'"),
        (WRAPPING + ":Deep:cells=[elman,lsm]", "or file.py:NAME, got 'lsm'; the nearest is 'LSTM'"),
        (WRAPPING + ":Deep:sizes=[1,x]", "sizes: expected a whole number, got 'x'"),
        (OWN + ":Laeky", f"cells: expected Leaky in {OWN}, got 'Laeky'; the nearest is 'Leaky'"),
        (OWN.replace("own", "ovn") + ":Leaky", f"ovn.py'; the nearest is '{OWN}'"),
    ],
)
def test_what_names_nothing_is_answered_by_the_nearest_that_does(text, said):
    with pytest.raises(ValueError) as refused:  # noqa: PT011 (the sentence is looked at below)
        named.cell(text)
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("elman:hidden_size=0", "elman:hidden_size=0: hidden_size: expected"),
        ("lstm:forget_bias=inf,hidden_size=3", "hidden_size=3: forget_bias: expected a finite float"),
        ("lstm", "lstm: expected a value for its field 'hidden_size', got none"),
        (OWN + ":Echo", "Echo: expected a cell, lacks init, initial_carry, project"),
    ],
)
def test_what_cannot_be_built_is_refused_by_its_label(text, said):
    with pytest.raises(ValueError) as refused:  # noqa: PT011
        named.cell(text).build()
    assert said in str(refused.value)


def test_a_file_that_cannot_be_imported_is_named(tmp_path):
    path = tmp_path / "broken.py"
    path.write_text("1 / 0\n")
    for _ in range(2):
        with pytest.raises(ValueError, match=r"cells: .*broken.py cannot be imported: ZeroDivisionError"):
            named.cell(f"{path}:Mine")


def test_labels_are_told_apart():
    assert [name.label for name in named.cells(["lstm", "lstm:forget_bias=0"])] == ["lstm", "lstm:forget_bias=0"]
    for texts in (["lstm", "LSTM"], []):
        with pytest.raises(ValueError, match="cells: expected at least one and no two alike"):
            named.cells(texts)
