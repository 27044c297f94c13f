"""`require`, which stands below all floors, under its name in this room."""

from recurrax.extras import require

__all__ = ["require"]
