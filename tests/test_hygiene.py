"""What no file of the library or of the experiments may hold."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = sorted([*(ROOT / "src").rglob("*.py"), *(ROOT / "experiments").rglob("*.py")])
MODULES = {
    "pickle",
    "cPickle",
    "_pickle",
    "dill",
    "cloudpickle",
    "joblib",
    "jsonpickle",
    "marshal",
    "shelve",
    "code",
    "imp",
}
"""Whose import alone is one too many: they turn bytes or text into running code."""
BUILTINS = {"eval", "exec", "compile", "__import__", "input", "breakpoint"}
CALLS = {
    "os": {"system", "popen"},
    "subprocess": {"getoutput", "getstatusoutput"},
    "asyncio": {"create_subprocess_shell"},
    "yaml": {
        "load",
        "load_all",
        "unsafe_load",
        "unsafe_load_all",
        "full_load",
        "full_load_all",
        "Loader",
        "UnsafeLoader",
    },
    "builtins": BUILTINS,
    "numpy": {"fromfile", "memmap"},
    "pandas": {"read_pickle"},
    "torch": {"load"},
    "runpy": {"run_path", "run_module"},
    "pty": {"spawn"},
    "tempfile": {"mktemp"},
}
"""Functions that run text or read what they should not trust, by the module they come from."""
KEYWORDS = {"shell": "False", "allow_pickle": "False", "executable": None}
"""Arguments that may have this value at most."""


def offences(source):
    """What a source does that no file may do, with the line of each."""
    tree = ast.parse(source)
    modules = {}  # what a name in this file stands for: `import numpy as np` makes np stand for numpy
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                root = alias.name.partition(".")[0]
                modules[alias.asname or root] = root
                if root in MODULES:
                    yield root, node.lineno
        elif isinstance(node, ast.ImportFrom) and not node.level:
            root = (node.module or "").partition(".")[0]
            for alias in node.names:
                if root in MODULES or alias.name in CALLS.get(root, ()):
                    yield f"{root}.{alias.name}", node.lineno
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            root = modules.get(node.value.id)
            if node.attr in CALLS.get(root, ()):
                yield f"{root}.{node.attr}", node.lineno
        elif isinstance(node, ast.Name) and node.id in BUILTINS:
            yield node.id, node.lineno
        elif isinstance(node, ast.Call):
            for keyword in node.keywords:
                if keyword.arg in KEYWORDS and ast.unparse(keyword.value) != KEYWORDS[keyword.arg]:
                    yield f"{ast.unparse(node.func)}({keyword.arg}=...)", node.lineno


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_unsafe(path):
    assert not list(offences(path.read_text()))


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "import pickle as p",
        "from pickle import loads",
        "from marshal import *",
        "eval('1')",
        "list(map(exec, texts))",
        "run = eval",
        "import builtins\nbuiltins.eval('1')",
        "__import__('os')",
        "import yaml\nyaml.load(f)",
        "import yaml as y\ny.unsafe_load(f)",
        "from yaml import full_load",
        "import subprocess\nsubprocess.run('ls', shell=True)",
        "from subprocess import Popen\nPopen('ls', shell=shell)",
        "import subprocess as s\ns.getoutput('ls')",
        "import os\nos.system('ls')",
        "from os import system",
        "import os\nrun = os.popen",
        "import asyncio\nasyncio.create_subprocess_shell('ls')",
        "import numpy as np\nnp.load('f', allow_pickle=True)",
        "import torch\ntorch.load('f')",
    ],
)
def test_the_test_can_tell(source):
    assert list(offences(source))


@pytest.mark.parametrize(
    "source",
    ["import re\nre.compile('a')", "jitted.lower(x).compile()", "import yaml\nyaml.safe_load(f)", "numpy.load('f')"],
)
def test_what_is_harmless_is_let_through(source):
    assert not list(offences(source))


def test_files_stay_short():
    lengths = {path.name: len(path.read_text().splitlines()) for path in SOURCES if ROOT / "src" in path.parents}
    assert lengths
    assert not {name: length for name, length in lengths.items() if length > 400}
