"""The README's example runs, and prints what the README says it prints."""

import re
import runpy
from pathlib import Path

README = Path(__file__).parent.parent / "README.md"


def test_the_example_prints_what_stands_below_it(tmp_path, capsys):
    code, printed = re.search(r"```python\n(.*?)```\s+```text\n(.*?)```", README.read_text(), re.DOTALL).groups()
    assert len(code.strip().splitlines()) <= 15
    script = tmp_path / "example.py"
    script.write_text(code)
    runpy.run_path(str(script))
    assert capsys.readouterr().out == printed
