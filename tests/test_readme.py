"""The README's examples run, one after the other, and print what the README says they print."""

import re
import runpy
from pathlib import Path

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
EXAMPLES = re.findall(r"```python\n(.*?)```\s+```text\n(.*?)```", README, re.DOTALL)


def test_every_example_is_short_and_says_what_it_prints():
    assert README.count("```python") == len(EXAMPLES) == 5
    lengths = [sum(bool(line.strip()) for line in code.splitlines()) for code, _ in EXAMPLES]
    assert max(lengths) <= 16, lengths


def test_the_examples_print_what_stands_below_them(tmp_path, capsys, quick_compile):
    script = tmp_path / "example.py"
    script.write_text("".join(code for code, _ in EXAMPLES))
    runpy.run_path(str(script))
    assert capsys.readouterr().out == "".join(printed for _, printed in EXAMPLES)


def test_every_link_leads_somewhere():
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", README)
    assert links
    assert not [link for link in links if not (ROOT / link).exists()]
