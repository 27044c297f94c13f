"""What a hash of code changes with, and what it does not; a user's edited files are in test_experiment.py."""

import importlib.util
import os
import subprocess
import sys
from functools import partial
from importlib.machinery import SourceFileLoader
from pathlib import Path

import pytest

from recurrax.study import program

SOURCE = '''
from dataclasses import dataclass
from functools import cache, cached_property, partial
import jax
import numpy as np

GAIN = 1.5
TABLE = {"a": (1, [2, 3])}
NAMES = {"x", "y", "zz"}
MATRIX = np.eye(2)
KEY = jax.random.key(3)

@jax.custom_vjp
def kept(x):
    return x + 10

def forward(x):
    return kept(x), None

def backward(residuals, ct):
    return (ct * 11,)

kept.defvjp(forward, backward)

@jax.jit
def jitted(x):
    return x * 12

@cache
def cached(x):
    return x * 13

def scaled(x, by=14, *, more=15):
    return x * by * more

def maker(constant):
    def inside(x):
        return [y + constant for y in x]
    return inside

@jax.custom_jvp
def bent(x):
    return x

@bent.defjvp
def bend(primals, tangents):
    return primals[0], 23 * tangents[0]

class Plain:
    def __init__(self):
        self.rate = 24

    def method(self, x):
        return 25 * x

@dataclass(frozen=True)
class Holder:
    func: object
    rate: float = 26

closed, bound, plain, holder = maker(16), partial(scaled, by=17), Plain().method, Holder(lambda x: 27 * x)

@dataclass(frozen=True)
class Base:
    size: int = 18

    @property
    def double(self):
        return 19 * self.size

@dataclass(frozen=True)
class Thing(Base):
    @cached_property
    def triple(self):
        return 20 * self.size

    @staticmethod
    def four():
        return 21

def unreached():
    return 22

def measure(x):
    """A docstring."""
    thing = Thing()
    x = thing.double + thing.triple + thing.four()  # a comment
    read = GAIN, TABLE, NAMES, MATRIX, KEY, holder
    return [f(x) for f in (kept, jitted, cached, scaled, closed, bound, bent, plain, holder.func)], read
'''


def fingerprint(path, source):
    """The hash of `measure` in a file of that source."""
    path.write_text(source)
    spec = importlib.util.spec_from_file_location("mine", path)
    made = importlib.util.module_from_spec(spec)
    SourceFileLoader("mine", str(path)).exec_module(made)
    return program.fingerprint({"measure": made.measure})["measure"]


@pytest.fixture
def hashed(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "dont_write_bytecode", True)  # two versions within a second are one to Python's cache
    return partial(fingerprint, tmp_path / "mine.py")


@pytest.mark.parametrize(
    "edit",
    [("1.5", "2.5"), ("[2, 3]", "[2, 4]"), ('"zz"', '"zy"'), ("eye(2)", "ones((2, 2))"), ("key(3)", "key(4)")]
    + [(str(constant), str(constant + 50)) for constant in range(10, 28) if constant != 22],
    ids=lambda edit: f"{edit[0]} to {edit[1]}",
)
def test_it_changes_with_all_that_is_reached(edit, hashed):
    assert SOURCE.count(edit[0]) == 1
    assert hashed(SOURCE.replace(*edit)) != hashed(SOURCE)


@pytest.mark.parametrize(
    "edit", [("22", "23"), ("A docstring", "Another"), ("# a comment", "# another"), ("\n\n", "\n\n\n")]
)
def test_it_does_not_change_with_what_computes_nothing(edit, hashed):
    assert hashed(SOURCE.replace(*edit)) == hashed(SOURCE)


def test_it_is_the_same_in_every_process(tmp_path, hashed):
    """Whatever the order of sets and the addresses of objects."""
    code = (
        "import sys; from pathlib import Path; sys.dont_write_bytecode = True; sys.path.insert(0, sys.argv[1])\n"
        "import test_program; print(test_program.fingerprint(Path(sys.argv[2]), test_program.SOURCE))"
    )
    command = [sys.executable, "-c", code, str(Path(__file__).parent), str(tmp_path / "other.py")]
    environment = os.environ | {"PYTHONHASHSEED": "17"}
    printed = subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout.strip()
    assert printed == hashed(SOURCE)
