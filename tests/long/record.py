"""What the long trials of the kernels record: what was tried, what failed, where and when; written after every step."""

import json
from datetime import UTC, datetime

import jax

from recurrax.files import save_json
from recurrax.runs.environment import environment


def as_users_run():
    """Float64, JAX's own rules of broadcasting, and XLA without most optimisations: each program runs once."""
    jax.config.update("jax_enable_x64", True)
    jax.config.update("jax_numpy_rank_promotion", "allow")
    jax.config.update("jax_disable_most_optimizations", True)


def sentence_of(law, *arguments):
    """What a law says of its arguments, or the exception it raises, in one sentence; nothing where it holds."""
    try:
        said = law(*arguments)
    except Exception as error:  # a failure of any kind is what is looked for
        return f"{type(error).__name__}: {(str(error).strip() or 'no message').splitlines()[0]}"
    return said if isinstance(said, str) else None


class Record:
    """A file that says how many comparisons were made, by the name of what they were made on.

    Args:
        command: what made the record.
        out: its file, read first where there is one; None keeps no file.
    """

    def __init__(self, command, out):
        surroundings = environment()
        self.before = before = json.loads(out.read_text()) if out is not None and out.exists() else {}
        self.out = out
        self.content = {
            "command": command,
            "date": datetime.now(UTC).date().isoformat(),
            "environment": {name: surroundings[name] for name in ("python", "packages", "system", "devices")},
            "tried": before.get("tried", {}),
            "failures": before.get("failures", {}),
        }

    @property
    def done(self):
        """How many comparisons were made, by name."""
        return self.content["tried"]

    @property
    def failures(self):
        """What was said about those that failed, by name."""
        return self.content["failures"]

    def add(self, name, count, failures):
        """Adds the comparisons made on something, and writes the record."""
        self.done[name] = count
        if failures:
            self.failures[name] = failures
        if self.out is not None:
            save_json(self.out, self.content)

    def line(self):
        """The state in a few words."""
        return f"{sum(self.done.values())} compared, {sum(map(len, self.failures.values()))} differ"
