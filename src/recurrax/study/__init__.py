"""How a question is asked: cells and tasks named by a text, measured over seeds, and what their numbers say.

```python
EXPERIMENT = study.Experiment("mine", Settings, measure, numbers=(study.Numbers("Table", (K,)),))
if __name__ == "__main__":
    sys.exit(study.main(EXPERIMENT))
```

gives the script flags, a dry run, jobs side by side, resume, saved files and a report, for the cells and tasks of
`study.named`, those of a user's own file among them.
"""

from recurrax.study import failing, named, networks, program, solving, standard, statistics, timing
from recurrax.study.association import Association, Contrast, Term
from recurrax.study.claims import Claim, Pair, Published
from recurrax.study.command import Command, Findings, RefusedError
from recurrax.study.dots import Dots
from recurrax.study.experiment import Arrays, Experiment, Part, Run, main
from recurrax.study.jobs import Job, JobResult, shared_compilations
from recurrax.study.quantities import Curve, Curves, Number, Numbers, half_life, power, said, signed, steps
from recurrax.study.reach import Reaches
from recurrax.study.results import looks
from recurrax.study.scatter import Arrows, Scatter, correlation
from recurrax.study.settings import (
    USUAL,
    CellSettings,
    ConfirmingSettings,
    LagSettings,
    Settings,
    TimingSettings,
    TrainingSettings,
    check_least,
)

__all__ = [
    "USUAL",
    "Arrays",
    "Arrows",
    "Association",
    "CellSettings",
    "Claim",
    "Command",
    "ConfirmingSettings",
    "Contrast",
    "Curve",
    "Curves",
    "Dots",
    "Experiment",
    "Findings",
    "Job",
    "JobResult",
    "LagSettings",
    "Number",
    "Numbers",
    "Pair",
    "Part",
    "Published",
    "Reaches",
    "RefusedError",
    "Run",
    "Scatter",
    "Settings",
    "Term",
    "TimingSettings",
    "TrainingSettings",
    "check_least",
    "correlation",
    "failing",
    "half_life",
    "looks",
    "main",
    "named",
    "networks",
    "power",
    "program",
    "said",
    "shared_compilations",
    "signed",
    "solving",
    "standard",
    "statistics",
    "steps",
    "timing",
]
