"""Fingerprints: what a saved run computed, so that another program never gets its numbers.

A fingerprint is a mapping of texts: a hash for each part of a program by what the part does ("batch", "step"), and
under `VERSION` what compiled it. `recurrax.train.fingerprint` makes one of a training.
"""

import warnings
from collections.abc import Mapping
from typing import Any

VERSION = "jax"
"""The entry that names the version of JAX and the platform, both of which change how a program is written down."""

ROWS = "rows"
"""The entry of seeds and settings, which no version changes."""

_WAY_OUT = "fresh=True begins anew and deletes what is there"


class OtherProgramError(ValueError):
    """What is saved was computed by another program."""


def check_fingerprint(place: Any, saved: Any, now: Mapping[str, str]) -> None:
    """Lets the same program pass, and warns where the difference may be that of two versions of JAX.

    Args:
        place: where it was saved, for the sentence.
        saved: the fingerprint found there; anything but a mapping is none.
        now: that of the program at hand.

    Raises:
        OtherProgramError: parts differ, of which the sentence says which.

    >>> check_fingerprint("run", {"jax": "0.10", "batch": "a", "step": "b"}, {"jax": "0.10", "batch": "a", "step": "c"})
    Traceback (most recent call last):
    recurrax.runs.program.OtherProgramError: run: it was saved by another program, which differs in step; fresh=True \
begins anew and deletes what is there
    """
    if not isinstance(saved, Mapping):
        raise OtherProgramError(f"{place}: it does not say which program saved it; {_WAY_OUT}")
    parts = [part for part in sorted({*saved, *now} - {VERSION}) if saved.get(part) != now.get(part)]
    if not parts:
        return
    if saved.get(VERSION) != now.get(VERSION) and ROWS not in parts:
        warnings.warn(
            f"{place}: it was saved under {saved.get(VERSION)}, this is {now.get(VERSION)}, and the programs are "
            f"written down differently in {', '.join(parts)}; they are taken for the same",
            stacklevel=2,
        )
        return
    said = ", ".join(parts)
    raise OtherProgramError(f"{place}: it was saved by another program, which differs in {said}; {_WAY_OUT}")
