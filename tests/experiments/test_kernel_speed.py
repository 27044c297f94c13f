"""The speed comparison: it runs, names who took no part, and its ratios follow from its times."""

import json

import _command
import _kernel_speed_summary as summary
import kernel_speed
import numpy as np
import pytest

from recurrax import report


def run(tmp_path, *flags):
    arguments = ["--smoke", "--out", str(tmp_path), "--cells", "Elman", *flags]
    parts = (kernel_speed.Config, kernel_speed.SMOKE, kernel_speed.plan, kernel_speed.finish)
    return _command.main("kernel_speed", *parts, arguments)


def test_a_smoke_run_times_every_contender_or_says_why_not(tmp_path):
    assert run(tmp_path) == 0
    (folder,) = (tmp_path / "kernel_speed").iterdir()
    saved = report.load(folder)
    rows = saved.summary["numbers"]["rows"]
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    took_part = {row["contender"] for row in rows}
    absent = {line["absent"] for line in lines if "absent" in line}
    assert {"recurrax", "recurrax reference", "Flax linen", "Flax nnx", "recurrax, batch split"} <= took_part
    assert "Equinox" in absent
    assert all(row["min_ms"] <= row["median_ms"] for row in rows)
    assert (folder / "ratios.png").exists()


def test_scaling_draws_its_figure(tmp_path):
    assert run(tmp_path, "--scaling") == 0


def test_jobs_never_run_side_by_side(tmp_path, capsys):
    with pytest.raises(SystemExit) as stopped:
        run(tmp_path, "--jobs", "2")
    assert stopped.value.code == 2
    assert "side by side" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_ratios_are_of_medians_and_the_best_peer():
    common = {"cell": "LSTM", "shape": (1, 2, 3, 4), "pass": "training"}
    times = {"recurrax": 2.0, "recurrax reference": 1.0, "Haiku": 5.0, "Keras": 4.0, "PyTorch": 3.0}
    rows = [common | {"contender": name, "median_ms": ms} for name, ms in times.items()]
    assert summary.ratio(rows, rows[0], None) == 2.0
    assert summary.ratio(rows, rows[0], "PyTorch") == 1.5
    assert np.isnan(summary.ratio(rows, rows[0], "Equinox"))
    assert summary.geometric_mean([1.0, 4.0, float("nan")]) == pytest.approx(2.0)


def test_operations_are_those_of_the_products():
    assert summary.flops("LSTM", (2, 3, 5, 7), training=False) == 2 * 2 * 3 * 4 * 7 * (5 + 7)
