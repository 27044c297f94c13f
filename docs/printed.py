"""Runs the scripts of examples/ and writes what they print at their end: `python docs/printed.py`, minutes."""

import re
import subprocess
import sys
import tempfile
from pathlib import Path

EXAMPLES = Path(__file__).parent.parent / "examples"
SHOWN = re.compile(r"(?<= it prints::\n#\n)(#.*\n)+\Z")


def printed(script):
    """What a script writes to standard output, as a comment; paths of the temporary folder left out."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, script]
        output = subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout
    lines = output.replace(f"{folder}/", "").strip().splitlines()
    return "".join(f"#     {line}".rstrip() + "\n" for line in lines)


def main():
    """Replaces what stands at the end of every script by what a fresh run prints."""
    for script in sorted(EXAMPLES.glob("*.py")):
        text = script.read_text()
        if SHOWN.search(text):
            script.write_text(SHOWN.sub("", text) + printed(script))


if __name__ == "__main__":
    sys.exit(main())
