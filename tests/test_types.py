"""What a type checker sees of the library: the carry of a scan, and names that do not exist."""

import json
import subprocess
import sys
from pathlib import Path

SRC = Path(__file__).parents[1] / "src"
PROGRAM = """
import jax
import recurrax

cell = recurrax.LSTM(3)
result = recurrax.scan(cell, cell.init(jax.random.key(0), 2), jax.numpy.ones((5, 2)))
h: jax.Array = result.carry.h
result.carry.hh  # wrong
recurrax.LSTMM  # wrong
recurrax.lag.adjoint_profil  # wrong
recurrax.scan(cell, cell.init(jax.random.key(0), 2), jax.numpy.ones((5, 2)), implementation="fusd")  # wrong
recurrax.scan(cell, recurrax.GRU(3).init(jax.random.key(0), 2), jax.numpy.ones((5, 2)))  # wrong
"""


def test_a_misspelt_name_is_found_and_a_carry_has_its_fields(tmp_path):
    (tmp_path / "program.py").write_text(PROGRAM)
    (tmp_path / "pyrightconfig.json").write_text(json.dumps({"extraPaths": [str(SRC)], "include": ["program.py"]}))
    command = [sys.executable, "-m", "pyright", "--outputjson", "--pythonpath", sys.executable, "-p", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    found = json.loads(done.stdout)["generalDiagnostics"]
    lines = {problem["range"]["start"]["line"] for problem in found if problem["severity"] == "error"}
    assert lines == {number for number, line in enumerate(PROGRAM.split("\n")) if line.endswith("# wrong")}, found
