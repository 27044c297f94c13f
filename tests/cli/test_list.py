"""`recurrax list`: every cell, initialisation, task and experiment, each with what is said where it is defined."""

from pathlib import Path
from typing import get_args

import pytest

from recurrax import cells, tasks, wrappers
from recurrax.cells import initializers
from recurrax.cli import main
from recurrax.cli.list import Experiment, read_experiments, read_initialisations

ROOT = Path(__file__).parents[2]


def test_everything_is_listed(capsys):
    assert main(["list", "--experiments", str(ROOT / "experiments")]) == 0
    shown = capsys.readouterr().out
    for known in (*cells.ALL, *wrappers.ALL, *tasks.ALL, *tasks.OF_FILES):
        assert known.__name__ in shown
    for word in (
        "forget_bias",
        "1.0",
        "chrono",
        "orthogonal",
        "gradient_decay",
        "about three minutes",
        "How fast does",
    ):
        assert word in shown
    assert " peers " not in shown


def test_every_initialisation_is_described():
    described = dict(read_initialisations(initializers))
    assert set(described) == set(get_args(initializers.RecurrentInit))
    assert all(described.values())


def test_every_experiment_says_its_question_and_its_cost_in_minutes():
    found = read_experiments(ROOT / "experiments")
    assert "gradient_decay" in [experiment.name for experiment in found]
    for experiment in found:
        assert experiment.question.endswith("?"), experiment
        assert "minute" in experiment.cost, experiment


def test_an_experiment_is_read_and_not_run(tmp_path):
    (tmp_path / "one.py").write_text(
        '"""Does it\'s thing?\n\nCommand: `python one.py`, about two\nminutes. More.\n"""\nraise SystemExit(3)\n'
    )
    (tmp_path / "two.py").write_text('"""And this?\n\nCommand: `python two.py`\n"""\nraise SystemExit(3)\n')
    (tmp_path / "shared.py").write_text('"""What both share."""\nraise SystemExit(3)\n')
    assert read_experiments(tmp_path) == [
        Experiment("one", "Does it's thing?", "about two minutes"),
        Experiment("two", "And this?", "not said"),
    ]


@pytest.mark.parametrize("content", [b"def broken(:\n", b"\x00\xff", b"(" * 100_000])
def test_a_script_that_is_no_python_is_named(tmp_path, content, capsys):
    (tmp_path / "broken.py").write_bytes(content)
    assert main(["list", "--experiments", str(tmp_path)]) == 1
    assert f"recurrax: {tmp_path / 'broken.py'}: expected a script" in capsys.readouterr().err


def test_without_a_checkout_one_line_says_so(tmp_path, capsys):
    assert main(["list", "--experiments", str(tmp_path / "none")]) == 0
    assert "Experiments: no scripts in" in capsys.readouterr().out
