"""Training: Optax loops over seeds, resumed bit for bit from a run's folder (`recurrax.runs`).

Losses, batches and probes come in as arguments; nothing here knows a task or an instrument.
"""

from recurrax.train.bisection import FailingLag, failing_lag, lag_grid
from recurrax.train.clip import ClipState, clip_by_global_norm
from recurrax.train.devices import batch_mesh, cpu_cores, mesh, replicate, split_batch, split_loss, use_cpu_devices
from recurrax.train.fingerprint import fingerprint
from recurrax.train.flax_models import Keyed, keyed, of_linen, of_nnx
from recurrax.train.keys import batch_key, init_key, probe_key
from recurrax.train.loop import Chunk, Fitted, chunks, fit, log_spaced
from recurrax.train.nonfinite import NonFiniteError
from recurrax.train.readout import Readout, ReadoutParams
from recurrax.train.resume import fit_saved
from recurrax.train.step import Metrics, Settings, State
from recurrax.train.training import Row, Target, Training

__all__ = [
    "Chunk",
    "ClipState",
    "FailingLag",
    "Fitted",
    "Keyed",
    "Metrics",
    "NonFiniteError",
    "Readout",
    "ReadoutParams",
    "Row",
    "Settings",
    "State",
    "Target",
    "Training",
    "batch_key",
    "batch_mesh",
    "chunks",
    "clip_by_global_norm",
    "cpu_cores",
    "failing_lag",
    "fingerprint",
    "fit",
    "fit_saved",
    "init_key",
    "keyed",
    "lag_grid",
    "log_spaced",
    "mesh",
    "of_linen",
    "of_nnx",
    "probe_key",
    "replicate",
    "split_batch",
    "split_loss",
    "use_cpu_devices",
]
