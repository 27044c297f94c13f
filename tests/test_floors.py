"""Imports go down only, never across; and what a plain import may not load."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

SRC = Path(__file__).parents[1] / "src" / "recurrax"
CONTRIBUTING = SRC.parents[1] / "CONTRIBUTING.md"
FLOORS = {
    1: ("typing", "norms", "fixed", "keys", "code", "files", "extras", "checkpoints"),
    2: ("cells", "wrappers", "kernels", "tasks", "runs", "report"),
    3: ("study", "lag", "train", "sweep", "layers", "convert", "check"),
    4: ("cli", "plot", "nnx", "linen"),
    5: ("__main__",),
}
"""The house as CONTRIBUTING draws it; rooms that are not built yet have their floor already."""
FLOOR_OF = {room: floor for floor, rooms in FLOORS.items() for room in rooms}
ACROSS = {("study", "lag"), ("study", "train"), ("checkpoints", "files")}
"""The steps on one floor that are allowed: a question runs trainings and instruments, a checkpoint is a file."""
FORBIDDEN = {("train", "tasks")}
"""The steps down that are not: to a training, what it trains on comes as an argument."""
FLAX = {"layers", "nnx", "linen", "convert", "train"}
HEAVY = ("matplotlib", "tyro", "jinja2", "rich.progress", "scipy.stats")


def module_name(path):
    """recurrax.kernels.scan for src/recurrax/kernels/scan.py, recurrax.cells for its __init__.py."""
    parts = ("recurrax", *path.relative_to(SRC).with_suffix("").parts)
    return parts[:-1] if parts[-1] == "__init__" else parts


def imported(path):
    """Full dotted names of everything a file imports, anywhere in it, as tuples of their parts."""
    here = module_name(path)
    package = here if path.name == "__init__.py" else here[:-1]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (tuple(alias.name.split(".")) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            module = (*base, *(node.module.split(".") if node.module else ()))
            # `from recurrax import cells` may name a module: a longer name than needed still starts right.
            yield from ((*module, alias.name) for alias in node.names)


def floor_of(name):
    """The floor's name of a module inside recurrax: its first part, or None for the package itself."""
    return name[1] if name[0] == "recurrax" and len(name) > 1 and name[1] in FLOOR_OF else None


FILES = sorted(SRC.rglob("*.py"))


def test_contributing_draws_the_same_house():
    table = {int(row[3]): row for row in CONTRIBUTING.read_text().splitlines() if row.startswith("| F")}
    for floor, rooms in FLOORS.items():
        assert floor == 5 or all(f"`{room}/`" in table[floor] or f"`{room}.py`" in table[floor] for room in rooms)


def test_every_file_has_a_floor():
    unknown = [path for path in FILES if len(module_name(path)) > 1 and floor_of(module_name(path)) is None]
    assert not unknown, "add the floor of a new part of the library to FLOORS"


@pytest.mark.parametrize("path", FILES, ids=lambda path: ".".join(module_name(path)))
def test_imports_go_down(path):
    here = floor_of(module_name(path))
    if here is None:
        return  # the package's own __init__ shows every floor's names
    for name in imported(path):
        if name[0] != "recurrax":
            assert name[0] != "flax" or here in FLAX, f"{path.name}: only the layers, convert and train know Flax"
            continue
        there = floor_of(name)
        assert there is not None, f"{path.name} imports {'.'.join(name)}: from the package itself, which lies above"
        if there not in (here, "typing") and (here, there) not in ACROSS:  # the glossary is below everything
            assert FLOOR_OF[there] < FLOOR_OF[here], f"{path.name} on floor {here} imports {there}"
            assert (here, there) not in FORBIDDEN, f"{path.name} in {here} imports {there}"


def test_the_test_can_tell(monkeypatch):
    wrong = SRC / "cells" / "wrong.py"
    source = "from recurrax.kernels.scan import scan\nfrom .. import train\nimport flax.nnx\n"
    monkeypatch.setattr(Path, "read_text", lambda self: source)
    assert [floor_of(name) for name in imported(wrong)] == ["kernels", "train", None]
    with pytest.raises(AssertionError, match="floor cells imports kernels"):
        test_imports_go_down(wrong)


def test_a_plain_import_loads_nothing_heavy():
    code = f"import sys, recurrax; print([name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"
