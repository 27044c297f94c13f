"""Runs every script of examples/ and puts what it prints into docs/examples.md: `python docs/printed.py`, minutes.

A script's output stands in the block of text that follows its `literalinclude`.
"""

import re
import subprocess
import sys
import tempfile
from pathlib import Path

DOCS = Path(__file__).parent
PAGE = DOCS / "examples.md"
SHOWN = re.compile(
    r"(^```\{literalinclude\} (\S+\.py)\n(?::[^\n]*\n)*```\n\n```text\n)(.*?)(^```$)", re.DOTALL | re.MULTILINE
)


def printed(script):
    """What a script writes to standard output, paths of the temporary folder left out."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, script.resolve()]
        output = subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout
        return re.sub(r" *$", "", output.replace(f"{folder}/", ""), flags=re.MULTILINE).strip() + "\n"


def main():
    """Replaces every block of output by that of a fresh run."""
    PAGE.write_text(SHOWN.sub(lambda found: found[1] + printed(DOCS / found[2]) + found[4], PAGE.read_text()))


if __name__ == "__main__":
    sys.exit(main())
