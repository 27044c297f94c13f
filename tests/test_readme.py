"""The README's examples run, one after the other, and print what the README says they print."""

import re
import runpy
from pathlib import Path

README = Path(__file__).parent.parent / "README.md"


def test_the_examples_print_what_stands_below_them(tmp_path, capsys):
    examples = re.findall(r"```python\n(.*?)```\s+```text\n(.*?)```", README.read_text(), re.DOTALL)
    assert len(examples) == 2
    assert len(examples[0][0].strip().splitlines()) <= 15
    script = tmp_path / "example.py"
    script.write_text("".join(code for code, _ in examples))
    runpy.run_path(str(script))
    assert capsys.readouterr().out == "".join(printed for _, printed in examples)
