"""The suite catches deliberate bugs: each is planted in a copy of the library, and the tests named for it must fail."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from mutants.table import MUTANTS, REPRESENTATIVE

ROOT = Path(__file__).parents[2]
SRC = ROOT / "src"
TESTS_FAILED = 1  # pytest's exit code; 2 and more mean that no test was run to its end


def copy_of_src(folder):
    return shutil.copytree(SRC, folder / "src", ignore=shutil.ignore_patterns("__pycache__"))


def run_against(copy, *tests):
    """Exit code and output of tests against a copy of `src`."""
    command = [sys.executable, "-m", "pytest", "-x", "-p", "no:cacheprovider", "-p", "no:xdist", *tests]
    environment = os.environ | {"PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1"}
    environment.pop("PYTEST_ADDOPTS", None)
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=600)
    return done.returncode, done.stdout + done.stderr


def check_is_caught(mutant, folder):
    copy = copy_of_src(folder)
    file = copy / "recurrax" / mutant.file
    file.write_text(file.read_text().replace(mutant.old, mutant.new))
    code, output = run_against(copy, mutant.caught_by)
    assert code == TESTS_FAILED, f"{mutant.name}: exit code {code}\n{output[-3000:]}"
    assert "ImportError" not in output


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_the_place_of_the_bug_exists_once(mutant):
    assert (SRC / "recurrax" / mutant.file).read_text().count(mutant.old) == 1
    assert mutant.new != mutant.old
    assert (ROOT / mutant.caught_by.split("::")[0]).exists()


def test_the_table():
    names = [mutant.name for mutant in MUTANTS]
    assert len(set(names)) == len(names) >= 20
    assert set(REPRESENTATIVE) <= set(names)


@pytest.mark.parametrize("mutant", [m for m in MUTANTS if m.name in REPRESENTATIVE], ids=lambda mutant: mutant.name)
def test_a_bug_is_caught(mutant, tmp_path):
    check_is_caught(mutant, tmp_path)


@pytest.mark.mutants
@pytest.mark.parametrize("mutant", [m for m in MUTANTS if m.name not in REPRESENTATIVE], ids=lambda mutant: mutant.name)
def test_every_other_bug_is_caught(mutant, tmp_path):
    check_is_caught(mutant, tmp_path)


@pytest.mark.mutants
def test_without_a_bug_the_same_tests_pass(tmp_path):
    code, output = run_against(copy_of_src(tmp_path), *sorted({mutant.caught_by for mutant in MUTANTS}))
    assert code == 0, output[-3000:]
