"""The command line itself: what it refuses, and what it may not load."""

import importlib.metadata
import subprocess
import sys

import pytest

from recurrax.cli import COMMANDS, main


@pytest.mark.parametrize(
    "arguments", [["report", "--no-such-flag", "x"], ["list", "--foo"], ["nonsense"], [], ["report"]]
)
def test_what_cannot_be_read_exits_with_2(arguments, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2
    assert capsys.readouterr().err.strip()


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command, capsys):
    with pytest.raises(SystemExit) as stopped:
        main([command, "--help"])
    assert stopped.value.code == 0
    first_line = COMMANDS[command].__doc__.partition("\n")[0]
    assert first_line[:40] in " ".join(capsys.readouterr().out.split())


def test_the_version(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"recurrax {importlib.metadata.version('recurrax')}\n"


def test_without_tyro_it_says_what_brings_it(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "tyro", None)
    assert main(["list"]) == 1
    assert 'tyro is not installed; in a clone: pip install ".[experiments]"' in capsys.readouterr().err


def test_the_module_is_the_command():
    done = subprocess.run(
        [sys.executable, "-m", "recurrax", "--no-such-flag"], capture_output=True, text=True, timeout=180
    )
    assert done.returncode == 2


def test_importing_the_command_line_loads_neither_jax_nor_what_extras_bring():
    code = (
        "import sys, recurrax.cli; print({'jax', 'matplotlib', 'jinja2', 'distributed'} & set(sys.modules) or 'none')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=180)
    assert (done.returncode, done.stdout.strip()) == (0, "none"), done.stderr
