"""Planted lags and predictors: the verdicts and the sentence of the figure follow from them."""

import json

import numpy as np
import pytest
import what_predicts_failure

from recurrax.report import Report
from recurrax.study import networks

FIXED, LADDER = what_predicts_failure.FIXED, what_predicts_failure.LADDER


def planted(settings, predicts):
    """Networks whose K grows along the cells; their failing lag grows alike on tasks in `predicts`, else falls."""
    rng, arrays = np.random.default_rng(0), {}
    cells = what_predicts_failure.EXPERIMENT.cells(settings)
    for task in (FIXED, LADDER):
        orders = range(len(cells)), reversed(range(len(cells))), rng.permutation(len(cells))
        for cell, place, against, remembered in zip(cells, *orders, strict=True):
            lag = 2.0 ** ((place if task in predicts else against) / 6)
            curve = -np.arange(settings.longest + 1) * np.log(100) / (4 + place)
            r2 = (np.arange(len(networks.memory_lags(settings.longest))) <= remembered).astype(float)
            found = {"failing": [lag, 1.2 * lag], "rate": 2e-3, "gradient": curve, "memory": r2}
            for name, value in found.items():
                arrays[f"{name}.{task}.{cell.label}"] = np.array([value, value])
                arrays[f"seeds.{name}.{task}.{cell.label}"] = np.array([100, 101])
    return arrays


@pytest.mark.parametrize(
    ("predicts", "verdict", "lead"),
    [
        ((FIXED,), "depends on whether lags are mixed", "supported"),
        ((FIXED, LADDER), "supported", "undecided"),
        ((), "refuted", "undecided"),
    ],
)
def test_what_predicts_is_judged_from_the_arrays(predicts, verdict, lead):
    settings = what_predicts_failure.Settings(configurations=12, seeds=2)
    found = what_predicts_failure.EXPERIMENT.finish(settings, planted(settings, predicts))
    by_statement = {claim["statement"].split()[1]: claim["verdict"] for claim in found.claims}
    assert by_statement["gradient"] == verdict
    assert by_statement["gradient's"] == lead
    scatter, arrows = found.report.figures
    assert f"{FIXED} {'+1.00' if FIXED in predicts else '-1.00'}" in scatter.finding
    assert [panel.title for panel in scatter.panels] == [FIXED, LADDER]
    assert len(arrows.panels[0].rows) == 12
    assert Report.from_json(json.loads(json.dumps(found.report.to_json()))) == found.report


def test_fewer_configurations_are_spread_over_the_list():
    few = what_predicts_failure.Settings(configurations=3).cells
    whole = what_predicts_failure.CONFIGURATIONS
    assert (len(whole), few[0], few[-1], len(few)) == (48, whole[0], whole[-1], 3)
    assert what_predicts_failure.Settings(cells=("gru",)).cells == ("gru",)
