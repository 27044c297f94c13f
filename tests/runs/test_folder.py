import getpass
import json
import os
import platform
import subprocess
from pathlib import Path

import numpy as np
import pytest

from recurrax import runs
from recurrax.runs.environment import command_line, environment, git_state

CONFIG = {"cell": "lstm", "steps": 3}


def snapshot(folder):
    """Every file and folder with its time and content."""
    return {
        path: (path.stat().st_mtime_ns, path.read_bytes() if path.is_file() else None) for path in folder.rglob("*")
    }


def record(run):
    return json.loads((run.path / "run.json").read_text())


def test_a_run_leaves_what_it_should_where_it_should(tmp_path):
    with runs.open_run(tmp_path, "decay", "lstm-b1", CONFIG, command=["decay.py", "--steps", "3"]) as run:
        assert record(run)["status"] == "running"
        for step in range(3):
            run.append_metrics({"step": step, "loss": np.float32(0.5**step), "log_gradient_norm": -np.inf})
        run.save_arrays({"loss": np.ones(3)})
        run.save_summary({"loss": 0.25})
    assert run.path == tmp_path / "decay" / f"lstm-b1-{runs.config_hash(CONFIG)}"
    assert sorted(os.listdir(run.path)) == [
        ".lock", "arrays.npz", "config.json", "metrics.jsonl", "run.json", "summary.json",
    ]  # fmt: skip
    assert record(run)["status"] == "finished"
    assert record(run)["command"] == "python decay.py --steps 3"
    assert run.metrics()[2] == {"step": 2, "loss": 0.25, "log_gradient_norm": None}
    np.testing.assert_array_equal(run.arrays()["loss"], np.ones(3))
    assert run.summary() == {"loss": 0.25}
    assert json.loads((run.path / "config.json").read_text()) == CONFIG


def test_a_finished_run_is_opened_as_it_is_and_a_failed_one_anew(tmp_path):
    with pytest.raises(ZeroDivisionError), runs.open_run(tmp_path, "decay", "x", CONFIG) as run:
        raise ZeroDivisionError
    assert (record(run)["status"], record(run)["error"]) == ("failed", "ZeroDivisionError")
    with runs.open_run(tmp_path, "decay", "x", CONFIG) as run:
        assert not run.finished
    before = (run.path / "run.json").read_bytes()
    with runs.open_run(tmp_path, "decay", "x", CONFIG) as run:
        assert run.finished
    assert (run.path / "run.json").read_bytes() == before


def test_another_configuration_has_another_folder_and_a_changed_one_is_refused(tmp_path):
    other = runs.run_path(tmp_path, "decay", "x", CONFIG | {"steps": 4})
    assert other != runs.run_path(tmp_path, "decay", "x", CONFIG)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            json.dumps(CONFIG | {"unknown": 1}),
            "configuration in config.json, got another one, which differs in 'unknown'",
        ),
        (json.dumps(CONFIG | {"steps": 4}), "configuration in config.json, got another one, which differs in 'steps'"),
        ('{"cell": "lstm"', "config.json: expected JSON, got a file that cannot be read"),
        ('["cell", "lstm"]', "config.json: expected a JSON object, got a list"),
        ("[" * 10**5, "config.json: expected JSON, got a file that cannot be read"),
        ("\0\udcff", "config.json: expected JSON, got a file that cannot be read"),
    ],
)
def test_a_configuration_that_is_not_this_one_is_refused_and_nothing_is_written(tmp_path, text, said):
    with runs.open_run(tmp_path, "decay", "x", CONFIG) as run:
        pass
    (run.path / "config.json").write_bytes(text.encode(errors="surrogateescape"))
    (run.path / "run.json").write_text("{}")
    before = snapshot(tmp_path)
    with pytest.raises(ValueError, match=said) as caught, runs.open_run(tmp_path, "decay", "x", CONFIG):
        pytest.fail("opened")
    assert "\n" not in str(caught.value)
    assert snapshot(tmp_path) == before


def test_a_line_cut_short_is_left_out(tmp_path):
    with runs.open_run(tmp_path, "decay", "x", CONFIG) as run:
        run.append_metrics({"step": 0})
        with open(run.path / "metrics.jsonl", "ab") as file:
            file.write(b'{"step": 1, "lo')
        assert run.metrics() == [{"step": 0}]


@pytest.mark.parametrize(
    "name", ["..", "../x", "/etc", "a/b", "", ".hidden", "nul\0", "a" * 300, "-rf", "a b", "ä", "a\n"]
)
def test_names_that_are_none_are_refused_and_nothing_is_made(tmp_path, name):
    for experiment, slug in ((name, "x"), ("x", name)):
        with (
            pytest.raises(ValueError, match=r"(experiment|slug): expected at most 100 letters"),
            runs.open_run(tmp_path, experiment, slug, CONFIG),
        ):
            pytest.fail("opened")
    assert os.listdir(tmp_path) == []


def test_a_folder_that_cannot_be_written_is_one_sentence_and_nothing_half_written(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    with (
        pytest.raises(OSError, match=r"x-[0-9a-f]{8}: the run's folder cannot be written: ") as caught,
        runs.open_run(tmp_path / "file", "decay", "x", CONFIG),
    ):
        pytest.fail("opened")
    assert "\n" not in str(caught.value)

    def refuse(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", refuse)
    with (
        pytest.raises(OSError, match="cannot be written: No space left on device"),
        runs.open_run(tmp_path / "new", "decay", "x", CONFIG),
    ):
        pytest.fail("opened")
    assert os.listdir(tmp_path) == ["file"]


def test_a_symbolic_link_in_the_folder_s_place_is_refused(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    path = runs.run_path(tmp_path / "results", "decay", "x", CONFIG)
    for link in (path, path.parent):
        link.parent.mkdir(exist_ok=True, parents=True)
        link.symlink_to(tmp_path / "elsewhere")
        with (
            pytest.raises(ValueError, match="expected a folder of its own, got a symbolic link"),
            runs.open_run(tmp_path / "results", "decay", "x", CONFIG),
        ):
            pytest.fail("opened")
        link.unlink()
        if link == path:
            path.parent.rmdir()
    assert os.listdir(tmp_path / "elsewhere") == []


def test_the_environment_names_versions_and_nobody():
    found = environment()
    assert found["python"] == platform.python_version()
    assert {"recurrax", "jax", "optax"} <= set(found["packages"])
    assert found["devices"]["platform"] == "cpu"
    assert found["cores"] >= 1
    assert found["memory"].endswith(" GiB")
    assert found["processor"]
    text = json.dumps(found)
    for private in (str(Path.home()), os.getcwd(), platform.node()):
        assert private not in text
    assert f'"{getpass.getuser()}"' not in text


def test_commands_lose_the_folders_that_are_nobody_s_business(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    typed = [
        str(tmp_path / "decay.py"),
        "--out",
        "/home/someone/r",
        "--log=~someone/l",
        "--rate",
        "1e-3",
        "C:\\Users\\x",
    ]
    said = command_line(typed)
    assert said.startswith("python decay.py --out r --log=l --rate 1e-3 ")
    assert "someone" not in said
    assert "Users" not in said


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (["/somewhere/recurrax/__main__.py", "compare", "--smoke"], "python -m recurrax compare --smoke"),
        (["/somewhere/bin/recurrax", "compare"], "recurrax compare"),
        (["/somewhere/ipykernel_launcher.py", "-f", "/somewhere/kernel.json"], ""),
        (["-c"], ""),
        ([], ""),
    ],
)
def test_a_command_runs_when_it_is_pasted(typed, said):
    assert command_line(typed) == said


def test_git_state_is_read_and_its_absence_is_no_error(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert git_state() is None
    for arguments in (["init"], ["-c", "user.name=n", "-c", "user.email=e", "commit", "--allow-empty", "-m", "first"]):
        subprocess.run(["git", *arguments], check=True, capture_output=True)
    state = git_state()
    assert len(state["revision"]) == 40
    assert state["modified"] is False
