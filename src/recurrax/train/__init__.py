"""Training: Optax loops over seeds, and folders that hold what a run found.

Losses, batches and probes come in as arguments; nothing here knows a task or an instrument.
"""

from recurrax.train.clip import ClipState, clip_by_global_norm
from recurrax.train.interrupt import Stopped
from recurrax.train.keys import batch_key, init_key, probe_key
from recurrax.train.lock import LockedError
from recurrax.train.loop import Chunk, Fitted, Training, chunks, fit, log_spaced
from recurrax.train.mesh import batch_mesh, cpu_cores, replicate, split_batch, split_loss, use_cpu_devices
from recurrax.train.nonfinite import NonFiniteError
from recurrax.train.processes import ElsewhereError, is_first_process, join_processes, several_processes
from recurrax.train.program import Metrics, State
from recurrax.train.readout import Readout, ReadoutParams
from recurrax.train.run_folder import RunFolder, config_hash, open_run, run_path
from recurrax.train.saved import fit_saved
from recurrax.train.tracking import tensorboard

__all__ = [
    "Chunk",
    "ClipState",
    "ElsewhereError",
    "Fitted",
    "LockedError",
    "Metrics",
    "NonFiniteError",
    "Readout",
    "ReadoutParams",
    "RunFolder",
    "State",
    "Stopped",
    "Training",
    "batch_key",
    "batch_mesh",
    "chunks",
    "clip_by_global_norm",
    "config_hash",
    "cpu_cores",
    "fit",
    "fit_saved",
    "init_key",
    "is_first_process",
    "join_processes",
    "log_spaced",
    "open_run",
    "probe_key",
    "replicate",
    "run_path",
    "several_processes",
    "split_batch",
    "split_loss",
    "tensorboard",
    "use_cpu_devices",
]
