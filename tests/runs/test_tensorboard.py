"""Event files are read back by their format: length, checksum, content, checksum."""

import struct
import sys

import numpy as np
import pytest
import survivor
from tensorboardX.proto.event_pb2 import Event

from recurrax import runs, train

STEPS = 20


def crc32c(data):
    """CRC-32C (Castagnoli), bit by bit."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def checked(data, masked):
    crc = crc32c(data)
    assert masked == ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF
    return data


def events(path):
    content = path.read_bytes()
    while content:
        head, body = content[:8], content[12:]
        (length,) = struct.unpack("<Q", checked(head, *struct.unpack("<I", content[8:12])))
        yield Event.FromString(checked(body[:length], *struct.unpack("<I", body[length : length + 4])))
        content = body[length + 4 :]


def scalars(folder):
    """What TensorBoard would show of a folder: tag to {step: value}, each session replacing what follows its start."""
    shown = {}
    for path in sorted(folder.iterdir()):
        first, *rest = events(path)
        assert first.file_version == "brain.Event:2"
        for event in rest:
            if event.HasField("session_log"):
                shown = {tag: {s: v for s, v in by.items() if s < event.step} for tag, by in shown.items()}
            for value in event.summary.value:
                shown.setdefault(value.tag, {})[event.step] = value.simple_value
    return shown


def test_every_number_of_every_step_is_in_the_event_files(tmp_path):
    with runs.open_run(tmp_path, "tracked", "small", {"steps": STEPS}, track=runs.tensorboard) as run:
        fitted = train.fit_saved(survivor.training(STEPS), run, "part", progress=False)
        run.append_metrics({"measured": "something without a step"})
    assert [path.name for path in (run.path / "tensorboard").iterdir()] == ["part"]
    shown = scalars(run.path / "tensorboard" / "part")
    assert sorted(shown) == [f"{name}/{row}" for name in ("clipped", "log_gradient_norm", "loss") for row in (0, 1)]
    for row in (0, 1):
        assert list(shown[f"loss/{row}"]) == list(range(STEPS))
        np.testing.assert_array_equal(list(shown[f"loss/{row}"].values()), fitted.metrics.loss[:, row])


def test_steps_done_again_replace_the_earlier_ones(tmp_path):
    for first, loss in ((0, 1.0), (2, 5.0)):
        with runs.tensorboard(tmp_path) as write:
            write([{"step": step, "loss": loss + step, "seed": None} for step in range(first, first + 4)])
    assert scalars(tmp_path / "tensorboard" / "metrics") == {"loss": {0: 1, 1: 2, 2: 7, 3: 8, 4: 9, 5: 10}}


def test_names_cannot_lead_out_of_the_folder(tmp_path):
    with runs.tensorboard(tmp_path / "run") as write:
        write([{"training": "../../x\0", "cell": "a" * 300, "step": 0, "loss": np.nan}])
    (folder,) = (tmp_path / "run" / "tensorboard").iterdir()
    assert folder.name.startswith("______x_-aaa")
    assert len(folder.name) == 100
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_nothing_is_tracked_unless_asked_and_a_missing_package_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    monkeypatch.delitem(sys.modules, "tensorboardX.record_writer", raising=False)
    with runs.open_run(tmp_path, "tracked", "not", {}) as run:
        run.append_metrics({"step": 0, "loss": 1.0})
    assert not (run.path / "tensorboard").exists()
    with (
        pytest.raises(ModuleNotFoundError, match=r'tensorboardX is not .*: pip install "\.\[track\]"'),
        runs.tensorboard(tmp_path),
    ):
        pytest.fail("opened")
