"""What is said of reaches before and after training."""

import numpy as np
import pytest

from recurrax.study.reach import change

FAR = np.array([np.inf, np.inf, 90.0])


def arms(**medians):
    return {
        name: tuple(np.array([middle - 1, middle, middle + 1]) for middle in pair) for name, pair in medians.items()
    }


@pytest.mark.parametrize(
    ("of_cells", "said"),
    [
        (arms(a=(25, 75), b=(124, 75), c=(43, 45)), "draws the cells together: 0 → 0 of 3 beyond 200 steps, "
         "the others 25–124 → 45–75"),
        (arms(a=(25, 27)) | {"b": (np.array([44.0, 40, 45]), FAR)}, "parts the cells: 0 → 1 of 2 beyond 200 steps, "
         "the others 25–44 → 27"),
        ({"a": (FAR, FAR), "b": (FAR, FAR)}, "leaves the cells as far apart as they were: 2 → 2 of 2 beyond 200 steps"),
        (arms(a=(10, 20), b=(40, 80)), "leaves the cells as far apart as they were: 0 → 0 of 2 beyond 200 steps, "
         "the others 10–40 → 20–80"),
    ],
)  # fmt: skip
def test_the_sentence_follows_from_the_medians(of_cells, said):
    assert change(of_cells, limit=200) == said
