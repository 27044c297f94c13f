"""A real process killed while it saves; `tests/long/survival.py` does it many times over."""

import random
from signal import SIGKILL

import survivor
from long import survival

from recurrax import train


def test_kill_9_then_the_same_command_gives_what_the_uncut_run_gives(tmp_path):
    expected = survivor.hashes(train.fit(survivor.training(survival.STEPS), progress=False))
    assert survival.killed(tmp_path, str(sorted(expected.items())), random.Random(3), SIGKILL)
