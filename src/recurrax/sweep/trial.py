"""Whether a script's flags can be meant: a dry run of every setting, all in one process that loads the imports once.

The script is run by `python trial.py` as if it had been started itself; only the standard library is used.
"""

import contextlib
import importlib.machinery
import importlib.util
import io
import json
import subprocess
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path


def refused(script: Path, settings: Sequence[Sequence[str]]) -> dict[int, tuple[int, str]]:
    """What a script says of flags that it refuses under --dry-run: by the setting's place, exit status and output.

    A script whose --help tells of no --dry-run is not run, and refuses nothing.

    Raises:
        OSError: the trial itself came to no end.
    """
    asked = json.dumps([str(script), [list(flags) for flags in settings]])
    done = subprocess.run([sys.executable, __file__], input=asked, capture_output=True, text=True)
    if done.returncode:
        raise OSError(f"{script}: a dry run ended Python itself, with exit status {done.returncode}")
    outcomes = json.loads(done.stdout.splitlines()[-1])  # above it stands what was printed below Python
    return {place: (status, said) for place, (status, said) in enumerate(outcomes) if status}


def _main(script: str, settings: list[list[str]]) -> list[tuple[int, str]]:
    sys.path[0] = str(Path(script).resolve().parent)  # as of a script that was started; before, it is this file's
    _, help_text = _run(script, ["--help"])
    return [_run(script, [*flags, "--dry-run"]) for flags in settings] if "--dry-run" in help_text else []


def _run(script: str, arguments: list[str]) -> tuple[int, str]:
    """Exit status and output of the script."""
    sys.argv = [script, *arguments]
    # With an encoding, as a terminal has: by it a program chooses what it draws.
    output = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", errors="replace", write_through=True)
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
        try:
            _run_as_main(script)
            status = 0
        except SystemExit as ended:
            status = ended.code if isinstance(ended.code, int) else 0 if ended.code is None else 1
            if isinstance(ended.code, str):
                output.write(ended.code)
        except BaseException:
            traceback.print_exc()
            status = 1
    return status, output.buffer.getvalue().decode(errors="replace")  # pyright: ignore[reportAttributeAccessIssue]


def _run_as_main(script: str) -> None:
    """Runs the script that the user asked to sweep, as `python script` does and in this process."""
    loader = importlib.machinery.SourceFileLoader("__main__", script)
    spec = importlib.util.spec_from_file_location("__main__", script, loader=loader)
    assert spec is not None  # it is None only where no loader can be guessed
    sys.modules["__main__"] = importlib.util.module_from_spec(spec)
    loader.exec_module(sys.modules["__main__"])


if __name__ == "__main__":
    sys.dont_write_bytecode = True  # of scripts; what they import has been compiled before
    print("\n" + json.dumps(_main(*json.load(sys.stdin))))
