"""The batch files of docs/cluster.md, with stand-ins for SLURM's commands."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
BASH = shutil.which("bash")
JOB = {"SLURM_JOB_ID": "7", "SLURM_ARRAY_JOB_ID": "8", "SLURM_ARRAY_TASK_ID": "2"}

pytestmark = pytest.mark.skipif(BASH is None, reason="batch files are bash scripts")


def submit(tmp_path, name, *arguments):
    """The exit status of a batch file, and what it asked `scontrol`."""
    for command, does in {"srun": '"$@"', "scontrol": f'echo "$*" >> {tmp_path}/asked'}.items():
        (tmp_path / command).write_text(f"#!/bin/sh\n{does}\n")
        (tmp_path / command).chmod(0o755)
    environment = {**os.environ, **JOB, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    status = subprocess.run([BASH, EXAMPLES / name, *arguments], env=environment, cwd=tmp_path, timeout=30).returncode
    asked = tmp_path / "asked"
    return status, asked.read_text() if asked.exists() else ""


@pytest.mark.parametrize(("status", "asked"), [(0, ""), (1, ""), (143, "requeue 7\n")])
def test_a_job_goes_back_into_the_queue_only_if_it_was_stopped_by_sigterm(tmp_path, status, asked):
    assert submit(tmp_path, "train.sbatch", "sh", "-c", f"exit {status}") == (status, asked)


def test_a_task_of_an_array_runs_its_line_in_the_shell_s_place(tmp_path):
    lines = ["exit 1", 'sh -c \'echo "$0" > said; kill -TERM $$\' "two words"', "exit 3"]
    (tmp_path / "commands.txt").write_text("\n".join(lines) + "\n")
    assert submit(tmp_path, "sweep.sbatch", "commands.txt") == (143, "requeue 8_2\n")
    assert (tmp_path / "said").read_text() == "two words\n"
