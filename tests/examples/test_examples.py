"""Every script of examples/ runs at small sizes and does what it says."""

import json
import runpy
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from matplotlib import pyplot

from recurrax import study

matplotlib.use("agg")
ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"

pytestmark = pytest.mark.usefixtures("quick_compile", "plain_style")


def script(name):
    """What a script defines; nothing of it has run."""
    return runpy.run_path(str(EXAMPLES / f"{name}.py"))


def test_every_script_but_the_one_that_the_pages_run_ends_with_what_it_printed():
    shown = runpy.run_path(str(ROOT / "docs" / "printed.py"))["SHOWN"]
    silent = [path.stem for path in EXAMPLES.glob("*.py") if not shown.search(path.read_text())]
    assert silent == ["first_curve"]
    assert '"filename_pattern": "first_curve"' in (ROOT / "docs" / "conf.py").read_text()


def test_the_first_curves_fall_and_are_drawn():
    made = script("first_curve")
    for profile in made["profiles"].values():
        assert (profile.log_norm_joint[200] < profile.log_norm_joint[0] - 20).all()
    assert sorted(made["ax"].get_legend_handles_labels()[1]) == sorted(made["cells"])
    pyplot.close("all")


def test_spiking_units_spike_and_learn():
    spiking = script("spiking_cell")
    spikes = spiking["spike"](np.array([-0.1, 0.0, 0.1], np.float32))
    np.testing.assert_array_equal(spikes, [0, 0, 1])
    _, losses = spiking["main"](hidden_size=32, steps=150)
    assert losses[-20:].mean() < np.log(4) / 2  # half of what guessing costs


def test_the_classifier_learns_from_padded_sequences():
    losses, _ = script("flax_classifier")["main"](size=8, steps=25, rows=32)
    assert np.mean(losses[-5:]) < 0.9 * np.log(10)


def test_the_agent_learns_to_remember_the_sign():
    right = script("recurrent_ppo")["main"](wait=3, rows=32, length=12, updates=60)
    assert np.mean(right[-5:]) > 0.9


def test_weights_of_pytorch_s_layout_come_back_the_same():
    outputs, same = script("torch_weights")["main"]()
    assert same
    assert outputs.shape == (20, 4, 16)


def test_windows_give_what_the_whole_gives_and_the_carry_is_donated(capsys):
    assert script("streaming")["main"](windows=3, steps=5)
    assert "donated: True" in capsys.readouterr().out


def test_the_claim_ends_in_a_verdict(tmp_path):
    cells = ["--cells", "lstm:forget_bias=1", "lstm:forget_bias=chrono"]
    sizes = ["--seeds", "6", "--hidden-size", "8", "--lags", "60", "--rows", "2"]
    study.main(script("claim")["EXPERIMENT"], ["--out", str(tmp_path), *cells, *sizes])
    (summary,) = tmp_path.rglob("summary.json")
    (claim,) = json.loads(summary.read_text())["claims"]
    assert claim["verdict"] == "undecided"  # both reach beyond 60 lags


def test_seeds_on_two_devices_learn(capsys):
    stopped = script("many_seeds")["main"](seeds=2, length=6, steps=150)
    assert (np.asarray(stopped) > 0).all()
    assert "2 of 2 seeds solved it on 2 devices" in capsys.readouterr().out
