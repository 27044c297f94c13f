"""A real process killed while it saves; `tests/long/survival.py` does it many times over."""

import json
import random
from pathlib import Path
from signal import SIGKILL

import survivor
from long import survival

from recurrax import train


def test_kill_9_then_the_same_command_gives_what_the_uncut_run_gives(tmp_path):
    expected = survivor.hashes(train.fit(survivor.training(survival.STEPS), progress=False))
    assert survival.killed(tmp_path, str(sorted(expected.items())), random.Random(3), SIGKILL)


def test_the_recorded_trials_are_those_of_the_script_and_went_as_expected():
    """Made again by the command in it, in half an hour."""
    record = json.loads((Path(__file__).parents[2] / "docs" / "survival.json").read_text())
    assert record["trials"].keys() == survival.COUNTS.keys()
    for kind, count in survival.COUNTS.items():
        tried = 3 * count if kind.startswith("damages") else count
        assert record["trials"][kind] == {"tried": tried, "as expected": tried}
