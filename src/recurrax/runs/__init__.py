"""Runs: folders that hold what a run found, checkpoints, signals, and processes that work as one.

Nothing here knows a loss, a cell or a training: `recurrax.train.fit_saved` is the bridge.
"""

from recurrax.runs.folder import RunFolder, config_hash, open_run, run_path
from recurrax.runs.lock import LockedError
from recurrax.runs.processes import ElsewhereError, is_first_process, join_processes, several_processes
from recurrax.runs.program import OtherProgramError
from recurrax.runs.saved import SavedRun, SavedTraining, load
from recurrax.runs.signals import Stopped
from recurrax.runs.tensorboard import tensorboard

__all__ = [
    "ElsewhereError",
    "LockedError",
    "OtherProgramError",
    "RunFolder",
    "SavedRun",
    "SavedTraining",
    "Stopped",
    "config_hash",
    "is_first_process",
    "join_processes",
    "load",
    "open_run",
    "run_path",
    "several_processes",
    "tensorboard",
]
