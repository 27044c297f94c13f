"""Processes started together end together, whatever ends them; tried on programs that know nothing of JAX."""

import os
import signal
import subprocess
import sys
import time

import pytest

from recurrax.cli import main
from recurrax.cli.launch import launch

LIMIT = 180


def python(code):
    return (sys.executable, "-c", f"import os, signal, sys, time; rank = os.environ['RECURRAX_RANK']; {code}")


def gone(pid):
    """Whether a process has ended, within the limit; a zombie of somebody else's has."""
    until = time.monotonic() + LIMIT
    while time.monotonic() < until:
        try:
            with open(f"/proc/{pid}/stat") as file:
                if file.read().rpartition(")")[2].split()[0] == "Z":
                    return True
        except FileNotFoundError:
            return True
        time.sleep(0.05)
    return False


def test_every_process_knows_its_place_and_lines_say_whose_they_are(capsys):
    code = "print(rank, os.environ['RECURRAX_PROCESSES'], os.environ['RECURRAX_COORDINATOR'])"
    assert main(["launch", "-n", "3", "--", *python(code + "; print('-n', file=sys.stderr)")]) == 0
    said = capsys.readouterr()
    lines = sorted(said.out.splitlines())
    assert [line.split()[:3] for line in lines] == [[f"[{rank}]", str(rank), "3"] for rank in range(3)]
    assert len({line.split()[3] for line in lines}) == 1
    assert "127.0.0.1:" in lines[0]
    assert sorted(said.err.splitlines()) == ["[0] -n", "[1] -n", "[2] -n"]


def test_quiet_shows_the_first_process_alone(capfd):
    assert main(["launch", "--quiet", "--", *python("print('this is', rank)")]) == 0
    assert capfd.readouterr().out == "this is 0\n"


@pytest.mark.parametrize(
    ("code", "how"), [("sys.exit(3)", "ended with exit status 3"), ("os.kill(os.getpid(), 9)", "was ended by SIGKILL")]
)
def test_what_failed_is_said(code, how, capsys):
    assert main(["launch", "-n", "1", "--", *python(code)]) in (3, 137)
    said = capsys.readouterr().err
    assert said.startswith(f"recurrax launch: process 0 of 1 {how}: {sys.executable} -c ")
    assert said.count("\n") == 1


def test_when_one_fails_the_others_are_ended_and_its_status_is_passed_on(tmp_path):
    started = time.monotonic()
    code = f"""
open(os.path.join({str(tmp_path)!r}, rank), 'w').write(str(os.getpid()))
while len(os.listdir({str(tmp_path)!r})) < 2: time.sleep(0.01)
sys.exit(7) if rank == '1' else time.sleep({10 * LIMIT})"""
    assert launch(python(code)) == 7
    assert time.monotonic() - started < LIMIT
    assert gone((tmp_path / "0").read_text())


def test_who_does_not_heed_sigterm_is_killed_and_so_is_what_it_started(tmp_path):
    code = f"""
signal.signal(signal.SIGTERM, signal.SIG_IGN)
if rank == '0':
    import subprocess
    child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep({10 * LIMIT})'])
    open({str(tmp_path / "child")!r}, 'w').write(str(child.pid))
    os.rename({str(tmp_path / "child")!r}, {str(tmp_path / "there")!r})
    time.sleep({10 * LIMIT})
while not os.path.exists({str(tmp_path / "there")!r}): time.sleep(0.01)
os.kill(os.getpid(), signal.SIGKILL)"""
    assert launch(python(code), grace=0.1) == 128 + signal.SIGKILL
    assert gone((tmp_path / "there").read_text())


@pytest.mark.parametrize(("number", "seconds"), [(signal.SIGTERM, 3.5), (signal.SIGINT, 0.5)])
def test_a_signal_is_passed_on_once_and_waited_for(number, seconds):
    code = f"""
heard = []
signal.signal({int(number)}, lambda number, frame: heard.append(number))
print('ready', flush=True)
while not heard: time.sleep(0.01)
time.sleep(0 if rank == '1' else {seconds})
print('saved', heard, flush=True)
sys.exit({128 + number})"""
    launcher = subprocess.Popen(
        [sys.executable, "-m", "recurrax", "launch", "--", *python(code)], stdout=subprocess.PIPE, text=True
    )
    try:
        ready = [launcher.stdout.readline() for _ in range(2)]
        assert sorted(ready) == ["[0] ready\n", "[1] ready\n"]
        launcher.send_signal(number)
        said, _ = launcher.communicate(timeout=LIMIT)
    finally:
        launcher.kill()
        launcher.wait()
    assert launcher.returncode == 128 + number
    assert sorted(said.splitlines()) == [f"[{rank}] saved [{int(number)}]" for rank in range(2)]


def test_processes_that_joined_end_when_their_launcher_is_killed(tmp_path):
    code = f"""
from recurrax.runs.processes import _end_with_launcher
_end_with_launcher(os.environ['RECURRAX_LIFELINE'])
print(os.getpid(), flush=True)
time.sleep({10 * LIMIT})"""
    launcher = subprocess.Popen(
        [sys.executable, "-m", "recurrax", "launch", "--", *python(code)], stdout=subprocess.PIPE, text=True
    )
    pids = [int(launcher.stdout.readline().split()[1]) for _ in range(2)]
    os.kill(launcher.pid, signal.SIGKILL)
    launcher.communicate(timeout=LIMIT)
    assert all(gone(pid) for pid in pids)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--"], "command: expected a program after `--`, got ''"),
        (["--", "no-such-program", "x"], "command: expected a program after `--`, got 'no-such-program x'"),
        (["-n", "0", "--", "true"], "processes: expected at least 1, got 0"),
    ],
)
def test_what_cannot_be_started_is_one_sentence_and_status_2(arguments, said, capsys):
    assert main(["launch", *arguments]) == 2
    assert capsys.readouterr().err == f"recurrax launch: {said}\n"
