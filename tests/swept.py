"""A program to be swept: `python swept.py --steps N --mode MODE --out FOLDER` leaves a run folder as experiments do.

The mode "kills" kills its worker the first time, "waits" runs until it is told to stop, "fails" fails.
"""

import argparse
import json
import os
import signal
import sys
import time
from pathlib import Path


def parent(process):
    return int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=1)
    parser.add_argument("--mode", default="plain")
    parser.add_argument("--out", type=Path)
    flags = parser.parse_args()
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
    if flags.mode == "kills" and not (folder / "killed").exists():
        (folder / "killed").touch()
        os.kill(parent(os.getppid()), signal.SIGKILL)  # above this program is its leash, above that the worker
        time.sleep(600)
    if flags.mode == "waits":
        time.sleep(600)
    (folder / "summary.json").write_text(json.dumps({"numbers": {"twice": 2 * flags.steps}, "report": {"n": 1}}))
    say("finished")


if __name__ == "__main__":
    main()
