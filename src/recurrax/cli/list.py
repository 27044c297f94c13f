"""`recurrax list`: what there is to choose from."""

import dataclasses


def list_all() -> int:
    """Cells with their fields, initialisations, tasks and experiments."""
    from recurrax import cells

    for cell in cells.ALL:
        print(cell.__name__, *(field.name for field in dataclasses.fields(cell)))
    return 0
