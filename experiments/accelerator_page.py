"""The page of an accelerator's record: tables of its rows, and a figure."""

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from recurrax import report
from recurrax.report import figures

Row = Mapping[str, Any]
FAILED = {"refused": "-", "raised": "raised", "left_out": "not reached"}
SAID = {"refused": "", "raised": "raised ", "left_out": "not reached, "}
NAMES = ("contender", "implementation", "projection", "precision", "cell", "limit")
"""What a row is called by in a list: the first of these that it has."""
BASE = "recurrax fused"
"""The contender that the others' times are divided by."""


def page(record: Mapping[str, Any]) -> str:
    """docs/accelerator.md of a record."""
    about = record["environment"] or {}
    device, packages = about.get("devices") or {}, about.get("packages") or {}
    versions = ", ".join(f"{name} {version}" for name, version in packages.items() if version)
    machine = f"{device.get('count')} x {device.get('kind')}, {about.get('backend')}, Python {about.get('python')}"
    head = f"Made by `{record['command']}` on {record['date']}: {machine}, {versions}."
    lines = ["# On an accelerator", "", head if about else "The machine has not been read.", *tables(record["parts"])]
    return "\n".join(lines) + "\n"


def tables(parts: Mapping[str, Sequence[Row]]) -> Iterator[str]:
    """Lines of Markdown: what every part says, and why rows are without numbers."""
    for name, rows in parts.items():
        yield from DRAWN[name](rows)
        yield from reasons(rows)


def reasons(rows: Sequence[Row]) -> Iterator[str]:
    """Each sentence once, with those that it is about."""
    said: dict[str, dict[str, None]] = {}
    for row in rows:
        for kind in FAILED.keys() & row.keys():
            who = next(str(row[name]) for name in NAMES if name in row)
            said.setdefault(f"{SAID[kind]}{row[kind]}", {})[who] = None
    yield from ["", *(f"- {', '.join(who)}: {sentence}" for sentence, who in said.items())] if said else ()


def pivot(title: str, rows: Sequence[Row], left: Sequence[str], across: str, text: Callable[[Row], str]) -> list[str]:
    """A table with a line for each value of the fields `left` and a column for each value of `across`."""
    columns = list(dict.fromkeys(row[across] for row in rows))
    at: dict[tuple[str, ...], dict[str, str]] = {}
    for row in rows:
        failed = [FAILED[kind] for kind in FAILED if kind in row]
        at.setdefault(tuple(worded(row[name]) for name in left), {})[row[across]] = failed[0] if failed else text(row)
    lines = [[*left, *columns], ["---"] * (len(left) + len(columns))]
    lines += [[*place, *(cells.get(column, "") for column in columns)] for place, cells in at.items()]
    return ["", f"## {title}", "", *(f"| {' | '.join(map(str, line))} |" for line in lines)]


def worded(value: Any) -> str:
    return " ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def number(value: float | None, form: str = ".3g") -> str:
    """A number, or nan where JSON could not hold it."""
    return "nan" if value is None else format(value, form)


def environment(rows: Sequence[Row]) -> list[str]:
    title = "Limits: 10^12 operations per second of a product, 10^12 bytes per second of a copy"
    return pivot(title, [{**row, "of": "the device"} for row in rows], ["of"], "limit",
                 lambda row: number(row["per_second"] / 1e12))  # fmt: skip


def laws(rows: Sequence[Row]) -> list[str]:
    def text(row: Row) -> str:
        found = f"{number(row['value_error'], '.0e')} / {number(row['gradient_error'], '.0e')}"
        return found if row["holds"] else f"**{found}**"

    title = "Largest relative difference to the reference: results / gradients"
    return pivot(title, rows, ("cell", "rows"), "implementation", text)


def ratio(row: Row, rows: Sequence[Row]) -> float | None:
    """Its median time over that of `BASE` in the same rounds, None where that has none."""
    alike = ("shape", "cell", "dtype", "pass")
    base = [of for of in rows if of["contender"] == BASE and all(of[name] == row[name] for name in alike)]
    return row["median_ms"] / base[0]["median_ms"] if base and "median_ms" in base[0] else None


def speed(rows: Sequence[Row]) -> Iterator[str]:
    for dtype, kind in dict.fromkeys((row["dtype"], row["pass"]) for row in rows):
        of = [row for row in rows if (row["dtype"], row["pass"]) == (dtype, kind)]

        def time(row: Row, of: Sequence[Row] = of) -> str:
            return f"{number(row['median_ms'])} ({number(ratio(row, of), '.2f')})"

        def costs(row: Row) -> str:
            temporaries = row["temporaries_bytes"]
            return f"{number(row['compile_s'])} s, {number(temporaries and temporaries / 2**20)} MiB"

        title = f"{kind.capitalize()}, {dtype}: median, ms (over that of {BASE})"
        yield from pivot(title, of, ("cell", "shape"), "contender", time)
        if kind == "training":
            title = f"{kind.capitalize()}, {dtype}: compile time, side by side, and temporaries"
            yield from pivot(title, of, ("cell", "shape"), "contender", costs)


def projection(rows: Sequence[Row]) -> list[str]:
    title = "A forward pass with the projection ahead of the loop and inside it: median, ms"
    return pivot(title, rows, ("cell", "shape"), "projection", lambda row: number(row["median_ms"]))


def decay(rows: Sequence[Row]) -> list[str]:
    units = {"rate": "rate, nats per step", "vanish_lag": "K", "nats_from_cpu": "from the CPU, nats", "seconds": "s"}
    told = [
        {"cell": row["cell"], "of": title} | ({"number": row.get(name)} if "rate" in row else dict(row))
        for row in rows for name, title in units.items()
    ]  # fmt: skip
    return pivot("Gradient by lag of fresh networks", told, ["cell"], "of", lambda row: number(row["number"]))


def tf32(rows: Sequence[Row]) -> list[str]:
    def text(row: Row) -> str:
        return f"{number(row['rate'], '.5f')} ± {number(row['rate_error'], '.5f')}"

    return pivot("Rate of decay by the precision of products, nats per step", rows, ["cell"], "precision", text)


DRAWN: dict[str, Callable[[Sequence[Row]], Any]] = {
    of.__name__: of for of in (environment, laws, speed, projection, decay, tf32)
}


def draw(record: Mapping[str, Any], folder: Path) -> None:
    """accelerator.png and .svg: times over `BASE` for each cell and the first two shapes, those made for accelerators;
    none without matplotlib or times.
    """
    rows = [row for row in record["parts"].get("speed", ()) if "median_ms" in row]
    shapes = list(dict.fromkeys(worded(row["shape"]) for row in rows))[:2]
    rows = [row for row in rows if worded(row["shape"]) in shapes]
    names, drawn, panels = list(dict.fromkeys(row["contender"] for row in rows)), {}, []
    for dtype, kind in dict.fromkeys((row["dtype"], row["pass"]) for row in rows):
        dots = []
        for row, name in itertools.product(rows, names):
            over = ratio(row, rows)
            if (row["dtype"], row["pass"], row["contender"]) == (dtype, kind, name) and name != BASE and over:
                label = f"{row['cell']}, B T D H {worded(row['shape'])}"
                dots.append(report.Row(label, f"{dtype}.{kind}.{label}.{name}", names.index(name), name=name))
                drawn[dots[-1].x] = np.array([over])
        if dots:
            level = report.Level(1.0, "as fast")
            title, axis = f"{kind.capitalize()}, {dtype}", f"time / that of {BASE}"
            panels.append(report.Dots(title, axis, tuple(dots), (level,)))
    if panels:
        said = "Above 1, the fused scan is faster."
        try:
            figures.draw(report.Figure("accelerator", "Speed on an accelerator", said, tuple(panels)), drawn, folder)
        except ModuleNotFoundError as error:
            print(f"accelerator: no figure, since {error}")
