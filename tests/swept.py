"""A program to be swept: `python swept.py --steps N --mode MODE --out FOLDER` leaves a run folder as experiments do.

The mode "kills" kills itself the first time, "waits" runs until it is told to stop, "fails" fails, "hurts" kills itself
every time. Steps below 0 are refused, under --dry-run too.
"""

import argparse
import json
import os
import signal
import sys
import time
from pathlib import Path


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=1)
    parser.add_argument("--mode", default="plain")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--dry-run", action="store_true")
    flags = parser.parse_args()
    if flags.steps < 0:
        parser.error(f"steps: expected at least 0, got {flags.steps}")
    if flags.dry_run:
        return
    folder = flags.out / "swept" / "run-00000000"
    folder.mkdir(parents=True, exist_ok=True)

    def say(status):
        aside = folder / "run.tmp"
        aside.write_text(json.dumps({"status": status, "process": os.getpid()}))
        aside.replace(folder / "run.json")

    def stop(number, frame):
        say("preempted")
        sys.exit(143)

    signal.signal(signal.SIGTERM, stop)
    say("running")
    if flags.mode == "fails":
        sys.exit("swept: it went wrong")
    if flags.mode == "hurts" or (flags.mode == "kills" and not (folder / "killed").exists()):
        (folder / "killed").touch()
        os.kill(os.getpid(), signal.SIGKILL)
    if flags.mode == "waits":
        time.sleep(600)
    (folder / "summary.json").write_text(json.dumps({"numbers": {"twice": 2 * flags.steps}, "report": {"n": 1}}))
    say("finished")


if __name__ == "__main__":
    main()
