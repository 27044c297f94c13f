"""Sweeps over a program that costs nothing, in real processes."""

import contextlib
import csv
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from recurrax import cli
from recurrax.report import read_table
from recurrax.sweep import grid, leash, table, trial

SCRIPT = str(Path(__file__).parents[1] / "swept.py")


@contextlib.contextmanager
def started(command, **options):
    """A process and all it starts, killed at the end of the block if they are still there."""
    process = subprocess.Popen(command, start_new_session=True, text=True, **options)
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        for pipe in filter(None, (process.stdin, process.stdout, process.stderr)):
            pipe.close()


def command(out, *grid, workers=2):
    return [sys.executable, "-m", "recurrax", "sweep", SCRIPT, "--grid", *grid, f"--workers={workers}", f"--out={out}"]


def sweep(out, *grid):
    with started(command(out, *grid), stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        printed, errors = process.communicate(timeout=300)
    return process.returncode, printed, errors


@contextlib.contextmanager
def cluster():
    """The address of a scheduler with one worker, both in this process: seconds less than starting some."""
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(1, processes=False, protocol="tcp", dashboard_address=None) as running:
        yield running.scheduler_address


def rows(out):
    (path,) = (out / "sweeps").glob("*/table.csv")
    with open(path, newline="") as file:
        return {(row["--steps"], row["--mode"]): row for row in csv.DictReader(file)}, path.parent


def wait_until(happened):
    end = time.monotonic() + 180
    while not happened():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_killed_and_failing_programs_do_not_stop_a_sweep_and_the_same_again_runs_what_is_missing(tmp_path):
    status, printed, errors = sweep(tmp_path, "steps=1", "mode=plain,kills,fails,hurts")
    assert (status, errors) == (1, "")
    assert printed.splitlines()[-1].startswith("2 of 4 settings finished: ")
    found, folder = rows(tmp_path)
    assert [row["status"] for row in found.values()] == ["finished", "finished", "failed", "failed"]
    assert found["1", "fails"]["error"] == "swept: it went wrong (exit status 1)"
    assert found["1", "hurts"]["error"] == "ended by SIGKILL, 4 times"
    assert found["1", "plain"]["twice"] == "2"
    assert float(found["1", "plain"]["seconds"]) > 0
    assert (folder / found["1", "kills"]["folder"] / "killed").exists()

    before = {path: path.stat().st_mtime_ns for path in folder.glob("*plain*/swept/*/run.json")}
    assert before
    assert cli.main(["sweep", SCRIPT, "--grid", "steps=1,2", "mode=plain", f"--out={tmp_path}"]) == 0
    again, _ = rows(tmp_path)
    assert list(again) == [("1", "plain"), ("2", "plain"), ("1", "kills"), ("1", "fails"), ("1", "hurts")]
    assert {setting: again[setting] for setting in found} == found
    assert again["2", "plain"]["twice"] == "4"
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_a_sweep_on_this_machine_opens_no_port(tmp_path):
    flags = command(tmp_path, "steps=1", "mode=waits")
    code = "import socket, sys; from recurrax import cli; listen = socket.socket.listen\n"
    code += "def refuse(*_): raise SystemExit('a port was opened')\n"
    code += "socket.socket.listen = socket.socket.bind = refuse; sys.exit(cli.main(sys.argv[1:]))"
    with started([sys.executable, "-c", code, *flags[3:]], stderr=subprocess.PIPE) as process:
        wait_until(lambda: list(tmp_path.glob("sweeps/*/*waits*/swept/*/run.json")))
        inodes = {os.readlink(link) for link in Path(f"/proc/{process.pid}/fd").iterdir() if link.is_symlink()}
        assert not [name for name in inodes if name.startswith("socket:")]
        process.terminate()
        _, errors = process.communicate(timeout=300)
    assert (process.returncode, "a port was opened" in errors) == (143, False)


def test_flags_that_a_script_refuses_start_nothing(tmp_path, capsys):
    assert cli.main(["sweep", SCRIPT, "--grid", "steps=1,-1", "mode=plain,fails", f"--out={tmp_path}"]) == 2
    said = capsys.readouterr().err
    assert "grid: swept.py refuses --steps=-1 --mode=plain: " in said
    assert said.count("steps: expected at least 0, got -1") == 2
    assert cli.main(["sweep", SCRIPT, "--grid", "stepps=1", f"--out={tmp_path}"]) == 2
    assert "unrecognized arguments: --stepps=1" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_script_without_a_dry_run_is_not_tried(tmp_path):
    script = tmp_path / "plain.py"
    script.write_text("import argparse\nargparse.ArgumentParser().parse_args()\nopen('ran', 'w')\n")
    assert trial.refused(script, [["--anything=1"]]) == {}
    script.write_text(
        "import sys\nif sys.argv[1:] == ['--help']: print('--dry-run', __file__)\nelse: raise SystemExit(3)"
    )
    assert trial.refused(script, [[], ["--x"]]) == {0: (3, ""), 1: (3, "")}
    assert not (tmp_path / "ran").exists()


def test_commands_for_a_job_array_and_the_runs_gathered_after_it(tmp_path, capsys):
    flags = ["sweep", SCRIPT, "--grid", "steps=1,2", f"--out={tmp_path}"]
    assert cli.main([*flags, "--print"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert not list(tmp_path.iterdir())
    assert subprocess.run(shlex.split(lines[1]), timeout=180).returncode == 0
    assert cli.main([*flags, "--collect"]) == 1
    assert "1 of 2 settings finished" in capsys.readouterr().out
    (path,) = tmp_path.glob("sweeps/*/table.csv")
    (row,) = read_table(path).values()
    assert (row["--steps"], row["status"], row["twice"]) == ("2", "finished", "4")
    assert cli.main([*flags, "--print"]) == 0
    assert capsys.readouterr().out.splitlines() == lines[:1]


def test_a_signal_ends_the_programs_and_keeps_finished_rows(tmp_path):
    def waiting():
        return list(tmp_path.glob("sweeps/*/*waits*/swept/*/run.json"))

    with started(command(tmp_path, "steps=1", "mode=plain,waits", workers=1), stderr=subprocess.PIPE) as process:
        wait_until(waiting)
        program = json.loads(waiting()[0].read_text())["process"]
        process.terminate()
        _, errors = process.communicate(timeout=300)
    assert process.returncode == 143
    assert "the same command goes on" in errors
    assert not Path(f"/proc/{program}").exists()
    assert json.loads(waiting()[0].read_text())["status"] == "preempted"
    assert [row["status"] for row in rows(tmp_path)[0].values()] == ["finished"]


def test_a_scheduler_that_is_running_and_one_that_is_not(tmp_path, capsys):
    flags = ["sweep", SCRIPT, "--grid", "steps=3", "mode=plain,fails", f"--out={tmp_path}", "--scheduler"]
    with cluster() as address:
        assert cli.main([*flags, address]) == 1
        assert [row["status"] for row in rows(tmp_path)[0].values()] == ["finished", "failed"]
        assert f"whoever reaches {address} can run code on its workers" in capsys.readouterr().err
    assert cli.main([*flags, address]) == 1
    assert f"recurrax: scheduler: nothing answers as a Dask scheduler at {address}\n" in capsys.readouterr().err


@pytest.fixture
def certificate(tmp_path):
    """Files of a certificate that signs itself: the authority's, a certificate, its key."""
    if shutil.which("openssl") is None:
        pytest.skip("there is no openssl here to make a certificate with")
    files = [tmp_path / "cert.pem", tmp_path / "cert.pem", tmp_path / "key.pem"]
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=sweep"]
    subprocess.run([*made, "-out", files[0], "-keyout", files[2]], check=True, capture_output=True, timeout=60)
    return files


def test_a_scheduler_that_asks_for_a_key(tmp_path, certificate, capsys):
    distributed = pytest.importorskip("distributed")
    names = ("tls_ca_file", "tls_scheduler_cert", "tls_scheduler_key", "tls_worker_cert", "tls_worker_key")
    names += ("tls_client_cert", "tls_client_key")
    ca, cert, key = map(str, certificate)
    security = distributed.Security(
        require_encryption=True, **dict(zip(names, (ca, cert, key, cert, key, cert, key), strict=True))
    )
    flags = ["sweep", SCRIPT, "--grid", "steps=3", f"--out={tmp_path / 'results'}", "--scheduler"]
    tls = [f"--tls-ca={ca}", f"--tls-cert={cert}", f"--tls-key={key}"]
    where = {"processes": False, "protocol": "tls", "host": "127.0.0.1", "dashboard_address": None}
    with distributed.LocalCluster(1, security=security, **where) as running:
        assert cli.main([*flags, running.scheduler_address, *tls]) == 0
        capsys.readouterr()
        assert cli.main([*flags, running.scheduler_address, *tls[:2]]) == 2
    assert "tls-ca, tls-cert, tls-key: expected three files" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        ([], "expected at least one name=value,value"),
        (["--grid", "=1"], "expected the name of a flag"),
        (["--grid", "out=1"], "other than out"),
        (["--grid", "steps=1,,2"], "expected distinct values with commas between them, got 'steps=1,,2'"),
        (["--grid", "steps=1,1"], "expected distinct values"),
        (["--grid", "steps=1", "--grid", "steps=2"], "expected each flag once, got steps again"),
        (["--grid", *(f"{name}={','.join('123456789')}" for name in "abcde")], "expected at most 10000 settings"),
        (["--grid", "steps=1", "--workers", "0"], "workers: expected 1 to 1024, got 0"),
        (["--grid", "steps=1", "--scheduler", "elsewhere"], "scheduler: expected tls://host:port or tcp://host:port"),
        (["--grid", "steps=1", "--tls-ca", "x"], "expected with --scheduler tls://host:port, got None"),
        (["--grid", "steps=1", "--print", "--collect"], "print: expected without --collect, got both"),
    ],
)
def test_what_cannot_be_meant_is_one_sentence_and_exits_with_2(flags, told, tmp_path, capsys):
    grids = flags or ["--grid"]
    assert cli.main(["sweep", SCRIPT, *grids, "--out", str(tmp_path / "results")]) == 2
    said = capsys.readouterr().err
    assert said.startswith("recurrax sweep: ")
    assert told in said
    assert said.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_a_script_that_is_not_there_and_a_missing_package(tmp_path, capsys, monkeypatch):
    assert cli.main(["sweep", str(tmp_path / "no.py"), "--grid", "a=1"]) == 2
    assert "script: expected a file, got" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "distributed", None)
    flags = ["--grid", "steps=1", "--out", str(tmp_path), "--scheduler", "tcp://127.0.0.1:1"]
    assert cli.main(["sweep", SCRIPT, *flags]) == 1
    assert 'distributed is not installed; in a clone: pip install ".[sweep]"' in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def leashed(folder, mode):
    out = [f"--mode={mode}", f"--out={folder}"]
    return [sys.executable, leash.__file__, str(folder / ".lock"), sys.executable, SCRIPT, *out]


def test_a_program_ends_with_its_starter_and_two_on_one_work_take_turns(tmp_path):
    record = tmp_path / "swept" / "run-00000000" / "run.json"
    with started(leashed(tmp_path, "waits"), stdin=subprocess.PIPE) as first:
        wait_until(record.exists)
        waiting = json.loads(record.read_text())
        with started(leashed(tmp_path, "plain"), stdin=subprocess.PIPE) as second:
            with pytest.raises(subprocess.TimeoutExpired):
                second.wait(1)
            assert json.loads(record.read_text()) == waiting
            first.stdin.close()
            assert first.wait(180) == 143
            assert second.wait(180) == 0
    assert json.loads(record.read_text())["status"] == "finished"


def test_settings_become_flags_and_names():
    settings = grid.settings(["smoke", "--a.b=1,-2", "inputs=adding characters"])
    assert [setting["a.b"] for setting in settings] == ["1", "-2"]
    assert grid.flags(settings[1]) == ["--smoke", "--a.b=-2", "--inputs", "adding", "characters"]
    assert grid.slug({"out of": "../../x y", "z": "é"}) == "out-of-..-..-x-y-z"


def test_figures_are_the_numbers_of_the_summary(tmp_path):
    (tmp_path / "summary.json").write_text('{"deep": {"x": {"y": 1.5}}, "ok": true, "loss": 2, "seeds": [1], "s": "t"}')
    assert table.figures(tmp_path) == {"loss": "2", "deep.x.y": "1.5"}
    assert table.figures(tmp_path / "elsewhere") == {}


def test_a_table_survives_what_is_in_it_and_nothing_else_is_taken_for_one(tmp_path):
    kept = {"a": {"setting": "a", "--x": "1,2", "status": "failed", "error": 'said "no",\nand left'}}
    table.save(tmp_path / "table.csv", kept)
    assert read_table(tmp_path / "table.csv") == kept
    (tmp_path / "table.csv").write_text("other,columns\n1,2\n")
    with pytest.raises(ValueError, match="expected a sweep's table"):
        read_table(tmp_path / "table.csv")


def test_why_a_program_failed_is_told_from_what_it_printed(tmp_path):
    output = tmp_path / "output.txt"
    output.write_text("x" * 30_000 + "\nTraceback\n\nValueError: lags: expected more\n\n")
    assert table.complaint(1, table.tail(output)) == "ValueError: lags: expected more (exit status 1)"
    boxed = (
        "╭─ Parsing error ─╮\n│ Unrecognized    │\n│ options: --x    │\n│ ─────────────── │\n│ See a --help │\n╰───╯\n"
    )
    assert table.complaint(2, "Some warning\n" + boxed) == "Unrecognized options: --x (exit status 2)"
    assert table.complaint(137, "") == "ended by SIGKILL"
    assert "left no finished run" in table.complaint(0, "")
    assert table.complaint(3, "") == "exit status 3"
