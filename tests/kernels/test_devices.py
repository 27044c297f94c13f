"""Every implementation compiles for a TPU that is not here, where its compiler is at hand."""

import json
import subprocess
import sys
from pathlib import Path

import jax
import pytest
from long import compile_for_devices

SCRIPT = Path(compile_for_devices.__file__)
COMPILER = compile_for_devices.compiler()


@pytest.mark.skipif(COMPILER is None, reason="there is no compiler for TPU: libtpu is not installed")
@pytest.mark.parametrize(("cell", "implementations"), [("LSTM", {"fused", "pallas"}), ("MinGRU", {"associative"})])
def test_forward_and_training_step_compile_for_a_tpu(cell, implementations, tmp_path):
    """In a process of its own, which sets the machine up as if it were a TPU's."""
    out = tmp_path / "record.json"
    how = ["--cells", cell, "--devices", "TPU v5e", "--shape", "16", "8", "16", "16", "--out", str(out)]
    subprocess.run([sys.executable, str(SCRIPT), *how], check=True, timeout=300)
    record = compile_for_devices.with_sentences(json.loads(out.read_text()))
    found = record["devices"][f"TPU v5e, JAX {jax.__version__}"][cell]
    for name in implementations:
        assert all(made["temporaries"] >= 0 and "refused" not in made for made in found[name].values())


def test_without_a_compiler_a_sentence_is_said(monkeypatch, capsys):
    monkeypatch.setattr(compile_for_devices, "device", lambda name, library: None)
    monkeypatch.setattr(sys, "argv", ["compile_for_devices.py"])
    compile_for_devices.main()
    said = capsys.readouterr().out.splitlines()
    assert [line.split(" here;")[0] for line in said] == [
        f"skipped: there is no compiler for {name}" for name in compile_for_devices.DEVICES
    ]


def test_the_page_says_what_was_refused():
    shape = list(compile_for_devices.SHAPE)
    made = {"temporaries": 3 << 20, "bytes accessed": 1.0, "operations": 1.0, "seconds to compile": 1.0}
    none = {"forward": {"refused": "a kernel"}, "training step": {"refused": "a kernel"}}
    one = {"fused": {"forward": made, "training step": made}, "newton": none}
    other = one | {"pallas": {"forward": made, "training step": {"refused": "cumsum"}}}
    record = {"command": "c", "T, B, D, H": shape, "devices": {"TPU v5e": {"GRU": one, "LSTM": other}}}
    page = compile_for_devices.page(record)
    assert "| LSTM | 3 / 3 |  | 3 / no | no |" in page
    assert page.endswith("Refused:\n\n- every cell, newton: a kernel\n- LSTM, pallas, training step: cumsum\n")


def test_a_refusal_is_written_once():
    """By its number where all of an implementation is refused, or one program of it."""
    both = {"forward": {"refused": "a kernel"}, "training step": {"refused": "a kernel"}}
    one = {"forward": {"temporaries": 0}, "training step": {"refused": "cumsum"}}
    record = {"devices": {"H100": {"GRU": {"fused": one, "newton": both}, "LSTM": {"newton": both}}}}
    short = compile_for_devices.with_numbers(record)
    assert short["refusals"] == ["cumsum", "a kernel"]
    assert short["devices"]["H100"]["LSTM"] == {"newton": 1}
    assert compile_for_devices.with_sentences(short)["devices"] == record["devices"]
