"""What no file of the library or of the experiments may hold."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = sorted([*(ROOT / "src").rglob("*.py"), *(ROOT / "experiments").rglob("*.py")])
FORBIDDEN_MODULES = {"pickle", "cPickle", "dill", "cloudpickle", "marshal", "shelve"}
FORBIDDEN_CALLS = {"eval", "exec", "yaml.load", "yaml.unsafe_load", "os.system", "os.popen", "__import__"}


def offences(source):
    """What a source does that no file may do, with the line of each."""
    for node in ast.walk(ast.parse(source)):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name.split(".")[0] for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [(node.module or "").split(".")[0]]
        yield from ((name, node.lineno) for name in names if name in FORBIDDEN_MODULES)
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            if called in FORBIDDEN_CALLS:
                yield called, node.lineno
            for keyword in node.keywords:
                if keyword.arg in ("shell", "allow_pickle") and ast.unparse(keyword.value) != "False":
                    yield f"{called}({keyword.arg}=...)", node.lineno


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_unsafe(path):
    assert not list(offences(path.read_text()))


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from pickle import loads",
        "eval('1')",
        "import yaml\nyaml.load(f)",
        "import subprocess\nsubprocess.run('ls', shell=True)",
        "import os\nos.system('ls')",
        "import numpy as np\nnp.load('f', allow_pickle=True)",
    ],
)
def test_the_test_can_tell(source):
    assert list(offences(source))


def test_files_stay_short():
    lengths = {path.name: len(path.read_text().splitlines()) for path in SOURCES if ROOT / "src" in path.parents}
    assert lengths
    assert not {name: length for name, length in lengths.items() if length > 400}
