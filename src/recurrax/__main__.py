"""`python -m recurrax` is the command `recurrax`."""

import sys

from recurrax.cli import main

if __name__ == "__main__":
    sys.exit(main())
