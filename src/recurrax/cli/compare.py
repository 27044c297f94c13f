"""`recurrax compare`: any cells on any tasks, without a script."""

from pathlib import Path
from typing import Literal


def compare(
    cells: tuple[str, ...] = ("elman", "gru", "lstm"),
    tasks: tuple[str, ...] = ("adding",),
    instrument: Literal["adjoint", "parameter", "carousel", "jacobian", "lyapunov"] = "adjoint",
    seeds: int = 6,
    hidden_size: int = 64,
    lags: int = 100,
    rows: int = 16,
    steps: int = 300,
    train_length: int = 50,
    batch_size: int = 32,
    learning_rate: float = 2e-3,
    max_norm: float = 1.0,
    out: Path = Path("results"),
    jobs: int = 2,
    row_devices: int = 1,
    smoke: bool = False,
    fresh: bool = False,
    dry_run: bool = False,
) -> int:
    """Measures cells at initialisation and after training on tasks: a table, figures and a report.

    The same command goes on where it was cut, or prints the finished result. `recurrax list` shows the names there are.

    Args:
        cells: names, or file.py:NAME, each with :field=value,... where wanted, as in lstm:forget_bias=chrono.
        tasks: what they read and learn, named likewise, as in adding:length=100.
        instrument: what is measured of them.
        seeds: networks per cell.
        hidden_size: units of a network whose text does not say.
        lags: longest time lag measured, in steps.
        rows: sequences per network and measurement.
        steps: Adam steps; 0 measures at initialisation only.
        train_length: the length, in steps, of a task that has one and whose text does not say.
        batch_size: training sequences per step.
        learning_rate: Adam's, constant.
        max_norm: gradients are clipped to this global norm.
        out: folder of all results.
        jobs: measurements that run side by side; one at a time with row_devices.
        row_devices: devices that share the networks that train together; of a CPU as many are made.
        smoke: smallest sizes; the numbers mean nothing.
        fresh: delete what an earlier run of these settings has left, and begin anew.
        dry_run: say what would be done; compute and write nothing.
    """
    asked = dict(locals())
    from recurrax.study.comparison import ComparisonSettings, comparison

    return comparison(instrument).command.run(lambda: ComparisonSettings(**asked))
