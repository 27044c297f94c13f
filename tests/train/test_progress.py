"""The bar: seen on a terminal and in a notebook, and nowhere else."""

import sys
import types

import numpy as np
import pytest
from rich import console

from recurrax.train.progress import bar


def advance_to(total):
    with bar(total) as advance:
        for done in range(1, total + 1):
            advance(done, np.full((1, 3), 0.25))


@pytest.fixture
def notebook(monkeypatch):
    """What a notebook would show, in the place of IPython and its widgets."""
    shown = []

    class Output:
        def __enter__(self):
            return self

        def __exit__(self, *_):
            return None

        def clear_output(self, wait):
            shown.clear()

    def display(thing):
        shown.append(thing)

    for name, holds in (("IPython", {}), ("IPython.display", {"display": display}), ("ipywidgets", {"Output": Output})):
        module = types.ModuleType(name)
        vars(module).update(holds)
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setattr(console, "_is_jupyter", lambda: True)
    return shown


def test_a_notebook_shows_the_bar_to_its_end(notebook):
    advance_to(7)
    (last,) = [text for thing in notebook if "training" in (text := getattr(thing, "text", ""))]
    assert "7/7" in last
    assert "loss 0.25" in last


def test_neither_a_file_nor_a_pipe_gets_one(capfd):
    advance_to(3)
    assert capfd.readouterr() == ("", "")
