"""The speed comparison: it names who took no part, and its ratios follow from its times."""

import json
from types import SimpleNamespace

import kernel_ratios
import kernel_scaling
import kernel_speed
import numpy as np
import peers_loop
import pytest

from recurrax import report
from recurrax.report import style
from recurrax.study import named


def test_a_smoke_run_times_every_contender_or_says_why_not(tmp_path):
    assert kernel_speed.COMMAND.main(["--smoke", "--out", str(tmp_path)]) == 0
    (folder,) = (tmp_path / "kernel_speed").iterdir()
    rows = report.load(folder).summary["numbers"]["rows"]
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    took_part = {row["contender"] for row in rows}
    absent = {line["absent"] for line in lines if "absent" in line}
    assert {"recurrax", "recurrax reference", "Flax linen", "Flax nnx", "recurrax, batch split"} <= took_part
    assert "Equinox" in absent
    assert all(row["min_ms"] <= row["median_ms"] for row in rows)
    assert (folder / "ratios.png").exists()


def test_scaling_draws_its_figure(tmp_path):
    assert kernel_speed.COMMAND.main(["--smoke", "--scaling", "--out", str(tmp_path)]) == 0
    (folder,) = (tmp_path / "kernel_speed").iterdir()
    assert (folder / "scaling.png").exists()
    found = report.load(folder).summary["numbers"]["scaling"]
    assert [(row["split"], row["devices"]) for row in found["devices"]] == [
        (split, count) for split in kernel_scaling.SPLITS for count in (1, 2)
    ]
    assert all(row["temporaries_mb"] > 0 for row in found["long"])


def test_a_chunk_bounds_memory():
    settings = kernel_speed.Settings(scaling=True, rounds=1, seconds=0)
    run = SimpleNamespace(stop=SimpleNamespace(check=lambda: None))
    arrays = kernel_scaling.measure_length(settings, named.cell("elman"), 65536, run).arrays
    whole, chunked, last = (float(arrays[f"long.65536.{way}.temporaries"]) for way in kernel_scaling.WAYS)
    outputs_and_adjoints = 2 * 65536 * 32 * 4
    assert whole > chunked > outputs_and_adjoints > 10 * last


def test_jobs_never_run_side_by_side(tmp_path, capsys):
    with pytest.raises(SystemExit) as stopped:
        kernel_speed.COMMAND.main(["--smoke", "--jobs", "2", "--out", str(tmp_path)])
    assert stopped.value.code == 2
    assert "side by side" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_ratios_are_of_medians_and_the_best_peer():
    common = {"cell": "lstm", "shape": (1, 2, 3, 4), "pass": "training"}
    times = {"recurrax": 2.0, "recurrax reference": 1.0, "Haiku": 5.0, "Keras": 4.0, "PyTorch": 3.0}
    rows = [common | {"contender": name, "median_ms": ms} for name, ms in times.items()]
    assert kernel_ratios.ratio(rows, rows[0], None) == 2.0
    assert kernel_ratios.ratio(rows, rows[0], "PyTorch") == 1.5
    assert np.isnan(kernel_ratios.ratio(rows, rows[0], "Equinox"))
    assert kernel_ratios.geometric_mean([1.0, 4.0, float("nan")]) == pytest.approx(2.0)
    (mean, *_) = kernel_ratios.means(rows, named.cells(["lstm"]))
    assert (mean["peer"], mean["worst"], mean["pytorch"]) == pytest.approx((2.0, 2.0, 1.5))


def test_operations_are_those_of_the_products():
    lstm = named.cell("lstm")
    assert kernel_speed.operations(lstm, (2, 3, 5, 7), "forward") == 2 * 2 * 3 * 4 * 7 * (5 + 7)
    assert kernel_speed.operations(named.cell("gru"), (2, 3, 3, 7), "training") == 3 * 2 * 2 * 3 * 3 * 7 * (3 + 7)


def test_ratios_are_dots_with_their_shapes_written_out():
    """Of one shape: the LSTM twice as fast as its peer, the Elman network half as fast, the GRU without one."""
    settings = kernel_speed.Settings(smoke=True, cells=("lstm", "elman", "gru"))
    (shape,), rows, drawn = settings.shapes, [], {}
    for cell, peer in (("lstm", 4.0), ("elman", 1.0), ("gru", None)):
        for kind in kernel_speed.PASSES:
            common = {"cell": cell, "shape": shape, "pass": kind}
            rows.append(common | {"contender": "recurrax", "median_ms": 2.0})
            rows += [] if peer is None else [common | {"contender": "Flax linen", "median_ms": peer}]
    panel, _ = kernel_speed.figure(settings, rows, {}, drawn).panels
    assert [(row.label, row.name) for row in panel.rows] == [("B 2, T 6, D 3, H 4", name) for name in ("lstm", "elman")]
    assert [float(drawn[row.x][0]) for row in panel.rows] == [2.0, 0.5]
    assert [style.FAMILIES[row.slot] for row in panel.rows] == ["LSTM", "Elman"]
    assert [level.value for level in panel.levels] == [1.0]


def test_loops_are_timed_beside_each_other_and_a_cell_that_others_lack_is_refused(tmp_path, capsys):
    assert peers_loop.EXPERIMENT.command.main(["--smoke", "--out", str(tmp_path)]) == 0
    (folder,) = (tmp_path / "peers_loop").iterdir()
    (table,) = report.load(folder).report.tables
    assert {"Flax linen / recurrax", "first chunk, recurrax, s"} <= set(table.columns)
    with pytest.raises(SystemExit) as stopped:
        peers_loop.EXPERIMENT.command.main(["--cells", "gru:reset_after=false", "--out", str(tmp_path)])
    assert stopped.value.code == 2
    assert "cells: expected lstm, gru and elman" in capsys.readouterr().err
