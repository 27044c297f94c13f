"""What cells as users write them cost beside a plain scan: `python tests/long/costs.py --out docs/costs.json`.

For every cell of the suite's zoo with 64 units: a training step (value and gradient of Σ y² with respect to the
parameters) and the forward pass, by the default implementation and by plain `lax.scan` of the same step, compiled as a
user has them, in interleaved rounds of one process; and what the training steps hold. Goes on where an earlier record
stopped; five minutes on two quiet cores. Writes --out and, beside it, a page with the same name.
"""

import argparse
import dataclasses
import json
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

TESTS = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(TESTS))

import zoo  # noqa: E402  (beside the tests' other helpers)
from long.record import Record  # noqa: E402

import recurrax  # noqa: E402
from recurrax.study.timing import interleaved  # noqa: E402

COMMAND = "python tests/long/costs.py --out docs/costs.json"
SHAPE = {"T": 128, "B": 32, "H": 64}
WAYS = {"recurrax": None, "plain scan": "reference"}


def costs(cell, sizes, rounds, seconds):
    """Seconds of all rounds and bytes, by pass and by way."""
    params = cell.init(jax.random.key(0), cell.features)
    # Small weights, so that no cell is chaotic and none overflows.
    params = jax.tree.map(lambda leaf: 0.2 * leaf if jnp.issubdtype(leaf.dtype, jnp.inexact) else leaf, params)
    xs = cell.inputs(np.random.default_rng(0), sizes["T"], (sizes["B"],), np.float32)

    def loss(params, xs, way):
        outputs = recurrax.scan(cell, params, xs, implementation=WAYS[way]).outputs
        return jnp.sum(jnp.square(jnp.abs(outputs)))

    passes = {"training step": jax.value_and_grad(loss, allow_int=True), "forward": loss}
    seconds_of, bytes_of = {}, {}
    for name, function in passes.items():
        made = {way: jax.jit(function, static_argnums=2).lower(params, xs, way).compile() for way in WAYS}
        calls = {way: lambda program=program: program(params, xs) for way, program in made.items()}
        seconds_of[name] = interleaved(calls, rounds, seconds)
        bytes_of[name] = {way: program.memory_analysis().temp_size_in_bytes for way, program in made.items()}
    return seconds_of, bytes_of


def row(cell, sizes, rounds=5, seconds=1.0):
    """One cell's line of the record: ratios of medians, and arrays of T B H numbers."""
    seconds_of, bytes_of = costs(cell, sizes, rounds, seconds)
    ratios = {name: float(np.median(of["plain scan"]) / np.median(of["recurrax"])) for name, of in seconds_of.items()}
    array = 4 * sizes["T"] * sizes["B"] * sizes["H"]
    held = {way: bytes_of["training step"][way] / array for way in WAYS}
    said = vars(type(cell)).get("__doc__") or ""
    what = "" if said.startswith(f"{type(cell).__name__}(") else said.partition("\n")[0].rstrip(".")
    return {"what": what, "times": ratios, "temporaries": held}


PAGE = """# What any cell costs

Cells that are not the library's, as users write them: time of plain `lax.scan` of the same step over that of
`recurrax.scan`, medians of interleaved rounds on two CPU cores, float32; above 1, recurrax is the faster. Temporaries
of the training step are in arrays of T B H numbers, recurrax / plain scan. {sizes}. Of {count} cells' training steps,
plain scan takes {middle:.2f} times as long in the middle, {low:.2f} times or less for a quarter and {high:.2f} times or
more for another.

Inputs of these cells have two features or are tokens, so that little is won by making the product with them for all
steps at once. {absent} are made for three units and left out. Made by `{command}` with
{made}, {date}.

| cell | what it is | training step | forward | temporaries |
|---|---|---|---|---|
"""


def page(content):
    """The record as a page, the cell that gains most first."""
    rows = sorted(content["cells"].items(), key=lambda item: -item[1]["times"]["training step"])
    quarters = np.quantile([of["times"]["training step"] for _, of in rows], [0.25, 0.5, 0.75])
    packages = content["environment"]["packages"]
    text = PAGE.format(
        sizes=", ".join(f"{axis} {size}" for axis, size in SHAPE.items()),
        count=len(rows),
        absent=" and ".join(content["left out"]),
        middle=quarters[1],
        low=quarters[0],
        high=quarters[2],
        command=COMMAND,
        made=f"Python {content['environment']['python']} and JAX {packages['jax']}",
        date=content["date"],
    )
    for name, of in rows:
        times, held = of["times"], of["temporaries"]
        text += f"| {name} | {of['what']} | {times['training step']:.2f} | {times['forward']:.2f} | "
        text += f"{held['recurrax']:.1f} / {held['plain scan']:.1f} |\n"
    return text


def wide(cell):
    """The cell with 64 units; None for one that is made for three."""
    wider = dataclasses.replace(cell, hidden_size=SHAPE["H"])
    try:
        jax.eval_shape(lambda: wider.step(*started(wider)))
    except (TypeError, ValueError):
        return None
    return wider


def started(cell):
    """Arguments of a cell's step: parameters, first carry, one input."""
    params = cell.init(jax.random.key(0), cell.features)
    xs = cell.inputs(np.random.default_rng(0), 1, (2,), np.float32)
    return params, cell.initial_carry(params, (2,), jnp.float32), jax.tree.map(lambda leaf: leaf[0], xs)


def run(out=None, cells=zoo.ALL, **how):
    """Measures what the record lacks, and returns it."""
    record = Record(COMMAND, out)
    content = {name: record.content[name] for name in ("command", "date", "environment")}
    content["left out"] = [type(cell).__name__ for cell in cells if wide(cell) is None]
    content["cells"] = record.before.get("cells", {})
    for cell in filter(None, map(wide, cells)):
        name = type(cell).__name__
        if name not in content["cells"]:
            content["cells"][name] = row(cell, SHAPE, **how)
            jax.clear_caches()
            print(name, content["cells"][name], flush=True)
        if out is not None:
            out.write_text(json.dumps(content, indent=1) + "\n")
            out.with_suffix(".md").write_text(page(content))
    return content


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, help="file of the record")
    flags = parser.parse_args()
    jax.config.update("jax_numpy_rank_promotion", "allow")
    run(flags.out)
