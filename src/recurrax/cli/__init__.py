"""The command `recurrax`: one file per subcommand, each exporting one function whose arguments are the flags.

A new subcommand is one file here and one line in `COMMANDS`. The function's docstring is its help; it returns the exit
status. A ValueError, an OSError or a missing package that it raises becomes one sentence and status 1.
"""

import sys
from collections.abc import Sequence

from recurrax.cli.claims import claims
from recurrax.cli.compare import compare
from recurrax.cli.convert import convert
from recurrax.cli.doctor import examine
from recurrax.cli.launch import launch
from recurrax.cli.list import list_all
from recurrax.cli.record import record_figure
from recurrax.cli.report import report_all
from recurrax.extras import require, version
from recurrax.sweep.sweep import sweep

COMMANDS = {
    "claims": claims,
    "compare": compare,
    "convert": convert,
    "doctor": examine,
    "launch": launch,
    "list": list_all,
    "record": record_figure,
    "report": report_all,
    "sweep": sweep,
}
"""Subcommands by name, in the order in which the help shows them. Their files load what they need when they run."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line.

    Args:
        arguments: what follows `recurrax`; `sys.argv` if None.

    Returns:
        The exit status: 0, or 1 with one sentence on standard error. Flags that cannot be read exit with 2.
    """
    if [*(sys.argv[1:] if arguments is None else arguments)] == ["--version"]:
        print(f"recurrax {version('recurrax')}")
        return 0
    try:
        tyro = require("tyro", "experiments")
        return tyro.extras.subcommand_cli_from_dict(
            COMMANDS, prog="recurrax", args=arguments, config=(tyro.conf.FlagCreatePairsOff,)
        )
    except (ValueError, OSError, ModuleNotFoundError) as error:
        print(f"recurrax: {error}", file=sys.stderr)
        return 1
