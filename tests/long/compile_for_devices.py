"""What compilers for accelerators make of each scan, without a device: `python tests/long/compile_for_devices.py`.

For every cell and device, the forward pass and a training step (the gradient of Σ y² with respect to parameters and
inputs) of each implementation are compiled as for the device itself, which has to be nowhere near. Recorded is what the
compiler says of each program: temporaries, and for TPU bytes accessed and operations; or why there is none. Nothing is
run, so no speed follows.

Needs the compilers of the devices asked for. For TPU: the package `libtpu` of the version that fits JAX, installed, or
its library named by --library or TPU_LIBRARY_PATH; it serves one process at a time. For H100: `jax-cuda13-plugin` and
`jax-cuda13-pjrt` of JAX's version where Python finds them, and the libraries of CUDA 13 and cuDNN where the loader does
(LD_LIBRARY_PATH), `ptxas` on the PATH. What is not there is skipped. Goes on where an earlier record stopped; a quarter
of an hour for each device on two cores. Writes --out and, beside it, a page with the same name.
"""

import argparse
import importlib.util
import json
import os
import re
import time
from contextlib import contextmanager, nullcontext
from datetime import UTC, datetime
from pathlib import Path
from traceback import extract_tb
from unittest import mock

import jax
import jax.numpy as jnp
from jax.experimental import topologies
from jax.sharding import AbstractDevice, AbstractMesh, AxisType

import recurrax
from recurrax import cells
from recurrax.kernels import pallas
from recurrax.kernels.scan import IMPLEMENTATIONS
from recurrax.runs.environment import environment

COMMAND = "python tests/long/compile_for_devices.py --out docs/compiled_for_devices.json"
TPUS = {"TPU v5e": "v5e:2x2", "TPU v6e": "v6e:2x2"}
"""Topologies, of which the first device is taken."""
H100 = """
device_description_str: "NVIDIA H100 80GB HBM3"
platform_name: "CUDA"
dnn_version_info { major: 9 minor: 10 }
gpu_device_info {
  cuda_compute_capability { major: 9 minor: 0 }
  core_count: 132
  fpus_per_core: 128
  clock_rate_ghz: 1.98
  threads_per_warp: 32
  threads_per_block_limit: 1024
  threads_per_core_limit: 2048
  registers_per_block_limit: 65536
  registers_per_core_limit: 65536
  shared_memory_per_block: 49152
  shared_memory_per_block_optin: 232448
  shared_memory_per_core: 233472
  block_dim_limit_x: 2147483647
  block_dim_limit_y: 65535
  block_dim_limit_z: 65535
  l2_cache_size: 52428800
  device_memory_size: 84942979072
  memory_bandwidth: 3352000000000
}
"""
"""The card's data sheet, in the names of XLA's `GpuTargetConfigProto`."""
DEVICES = (*TPUS, "H100")
UNTUNED = {"xla_gpu_autotune_level": 0}
"""Choosing among kernels by their times wants the device."""
AS_IF = {"TPU_SKIP_MDS_QUERY": "1", "TPU_ACCELERATOR_TYPE": "v5litepod-4", "TPU_WORKER_HOSTNAMES": "localhost"}
"""What the compiler would else ask of the machine it runs on."""
NAMES = tuple(name for name in ("fused", "associative", "pallas", "newton") if name in IMPLEMENTATIONS)
CELLS = {cell.__name__: cell for cell in cells.ALL}
COUNTED = {"bytes accessed": "bytes accessed", "operations": "flops"}
"""Of the compiler's counts, by their names in the record."""
SHAPE = (4096, 32, 128, 128)
"""T, B, D, H."""


def compiler(library=None):
    """The path of the compiler's library for TPU, or None where there is none."""
    found = library or os.environ.get("TPU_LIBRARY_PATH")
    if found is None and (spec := importlib.util.find_spec("libtpu")) and spec.origin:
        found = Path(spec.origin).parent / "libtpu.so"
    return str(found) if found is not None and Path(found).exists() else None


def device(name, library=None):
    """A device of that name, to compile for; None where its compiler is not here."""
    if name == "H100":
        if importlib.util.find_spec("jax_plugins") is None:
            return None
        how = {"target_config": H100, "topology": "1x1x1"}
        return topologies.get_topology_desc("h100", platform="cuda", **how).devices[0]
    library = compiler(library)
    if library is None:
        return None
    os.environ.update(AS_IF, TPU_LIBRARY_PATH=library)
    return topologies.get_topology_desc(topology_name=TPUS[name], platform="tpu").devices[0]


def programs(cell, implementation, shape):
    """The programs to compile, by name, and shapes of their arguments."""
    steps, batch, features, _ = shape
    params = jax.eval_shape(lambda: cell.init(jax.random.key(0), features))
    xs = jax.ShapeDtypeStruct((steps, batch, features), jnp.float32)

    def forward(params, xs):
        return recurrax.scan(cell, params, xs, implementation=implementation)

    def training_step(params, xs):
        def loss(params, xs):
            return jnp.sum(jnp.square(jnp.abs(forward(params, xs).outputs)))

        return jax.grad(loss, argnums=(0, 1))(params, xs)

    return {"forward": forward, "training step": training_step}, (params, xs)


@contextmanager
def as_if_on(kind):
    """JAX and the Pallas kernels as they are where a GPU of that kind is at hand."""
    gpu = AbstractDevice(device_kind=kind, num_cores=None, platform="cuda")
    mesh = AbstractMesh((1,), ("x",), axis_types=(AxisType.Auto,), abstract_device=gpu)
    with mock.patch.object(pallas, "on_gpu", return_value=True), jax.sharding.use_abstract_mesh(mesh):
        yield


def compiled(program, arguments, device):
    """What the compiler says of a program, or why it made none."""
    sharding = jax.sharding.SingleDeviceSharding(device)
    shapes = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding), arguments)
    begun, is_gpu = time.monotonic(), device.platform == "gpu"
    try:
        with as_if_on(device.device_kind) if is_gpu else nullcontext():
            lowered = jax.jit(program).lower(*shapes)
        made = lowered.compile(UNTUNED if is_gpu else None)
    except Exception as error:  # of any kind: what a compiler does not know is said in many ways
        said = str(error).split("Error details: ")[-1].split("cannot run this, since ")[-1].split(". Please file")[0]
        said = said.strip() or f"{type(error).__name__} in {extract_tb(error.__traceback__)[-1].name}"
        return {"refused": said.splitlines()[0]}
    cost = made.cost_analysis() or {}  # XLA counts nothing for a GPU
    counted = {name: int(cost[key]) for name, key in COUNTED.items() if key in cost}
    seconds = round(time.monotonic() - begun, 1)
    return {"temporaries": made.memory_analysis().temp_size_in_bytes, **counted, "seconds to compile": seconds}


def run(library, out, devices=DEVICES, names=tuple(CELLS), shape=SHAPE, implementations=NAMES):
    """Compiles what the record lacks, by device and JAX's version; writes it after each cell and returns it."""
    before = with_sentences(json.loads(out.read_text())) if out is not None and out.exists() else {}
    surroundings = environment()
    record = {
        "command": COMMAND,
        "date": datetime.now(UTC).date().isoformat(),
        "environment": {name: surroundings[name] for name in ("python", "packages", "system")},
        "T, B, D, H": list(shape),
        "devices": before.get("devices", {}) if before.get("T, B, D, H") == list(shape) else {},
    }
    for where in devices:
        target = device(where, library)
        if target is None:
            print(f"skipped: there is no compiler for {where} here; see the head of this script")
            continue
        where = f"{where}, JAX {jax.__version__}"
        for name in names:
            done = record["devices"].setdefault(where, {}).setdefault(name, {})
            for implementation in (of for of in implementations if of not in done):
                made, arguments = programs(CELLS[name](shape[-1]), implementation, shape)
                done[implementation] = {kind: compiled(program, arguments, target) for kind, program in made.items()}
                print(f"{where}, {name}, {implementation}: {done[implementation]}", flush=True)
            jax.clear_caches()
            if out is not None:
                out.write_text(text(with_numbers(record)))
                out.with_suffix(".md").write_text(page(record))
    return record


def with_numbers(record):
    """The record with each refusal's sentence written once, in "refusals", and its number in the place of results: of
    one program, or of both where they are refused alike.
    """
    sentences = []

    def numbered(made):
        said = {kind: what.get("refused") for kind, what in made.items()}
        sentences.extend(text for text in dict.fromkeys(said.values()) if text and text not in sentences)
        if None not in said.values() and len(set(said.values())) == 1:
            return sentences.index(said.popitem()[1])
        return {kind: what if said[kind] is None else sentences.index(said[kind]) for kind, what in made.items()}

    return record | {"devices": _of_each(numbered, record["devices"]), "refusals": sentences}


def with_sentences(record):
    """The record as it was before `with_numbers`."""

    def told(made):
        made = {kind: made for kind in ("forward", "training step")} if isinstance(made, int) else made
        refusals = record.get("refusals", [])
        return {kind: {"refused": refusals[what]} if isinstance(what, int) else what for kind, what in made.items()}

    return record | {"devices": _of_each(told, record["devices"])}


def text(record):
    """The record as JSON, in which what is said of one program is one line."""
    return re.sub(r"\{[^{}]*\}", lambda inner: re.sub(r"\s+", " ", inner[0]), json.dumps(record, indent=1)) + "\n"


def _of_each(change, devices):
    return {
        where: {name: {of: change(made) for of, made in found.items()} for name, found in of_cells.items()}
        for where, of_cells in devices.items()
    }


PAGE = """# What compilers for accelerators make of each scan

Compiled, not run: there was no accelerator, and **no speed follows from this page**. Each device's compiler was given
the cells below in float32, forward and as a training step, and said what the program holds in the device's main memory
beside its arguments and results: XLA for TPU as the package `libtpu` has it, and XLA for NVIDIA's GPUs with CUDA 13,
which was told of an H100 what its data sheet says and chose among kernels by rules, not by their times. The record
beside this page has the seconds that compiling took on busy cores too and, for TPU, the bytes accessed and the
operations. Those two counts take the body of a loop over time once, and nothing of what a Pallas kernel computes: they
compare programs of one implementation, not one with another.

On a TPU a small cell's arrays may lie wholly in fast memory; its temporaries are then 0. cuDNN's LSTM is not here: even
tracing it asks the library for its workspace, which takes a live GPU. An empty place was not tried.

"""


def page(record):
    """The record as a page: one table for each device, then what was refused."""
    text = f"{PAGE}Sizes (T, B, D, H): {tuple(record['T, B, D, H'])}. Made by `{record['command']}`.\n"
    for where, of_cells in record["devices"].items():
        text += f"\n## {where}: temporaries in MiB, forward / training step\n\n"
        text += f"| cell | {' | '.join(NAMES)} |\n|---|{'---|' * len(NAMES)}\n"
        text += "".join(
            f"| {name} | {' | '.join(_entry(found.get(of, {})) for of in NAMES)} |\n"
            for name, found in of_cells.items()
        )
        if refused := _refusals(of_cells):
            text += "\nRefused:\n\n" + "".join(
                f"- {', '.join(names)}, {what}\n" if len(names) < len(of_cells) else f"- every cell, {what}\n"
                for what, names in refused.items()
            )
    return text


def _refusals(of_cells):
    """What was refused and why, in whole or in part, and the cells of which it was."""
    cells_of = {}
    for name, found in of_cells.items():
        for implementation, made in found.items():
            said = {kind: what["refused"] for kind, what in made.items() if "refused" in what}
            if not said or NOT_LINEAR in " ".join(said.values()):
                continue
            part = "" if len(said) == len(made) else f", {' and '.join(said)}"
            what = f"{implementation}{part}: {'; '.join(dict.fromkeys(said.values()))}"
            cells_of.setdefault(what, []).append(name)
    return cells_of


NOT_LINEAR = "does not say by a method coefficients"
"""Why the associative scan refuses most cells: the table shows it well enough."""


def _entry(made):
    if not made:
        return ""
    sizes = [f"{what['temporaries'] / 2**20:.0f}" if "temporaries" in what else "no" for what in made.values()]
    return " / ".join(sizes) if set(sizes) != {"no"} else "no"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--library", type=Path, help="the library of the compiler for TPU, libtpu.so")
    parser.add_argument("--out", type=Path, help="file of the record")
    parser.add_argument("--devices", nargs="*", default=list(DEVICES), choices=list(DEVICES))
    parser.add_argument("--cells", nargs="*", default=list(CELLS), choices=list(CELLS))
    parser.add_argument("--implementations", nargs="*", default=list(NAMES), choices=list(NAMES))
    parser.add_argument("--shape", type=int, nargs=4, default=list(SHAPE), metavar=("T", "B", "D", "H"))
    flags = parser.parse_args()
    jax.config.update("jax_numpy_rank_promotion", "allow")
    jax.config.update("jax_platforms", "cpu")  # the compilers' own devices are not here
    run(flags.library, flags.out, flags.devices, flags.cells, tuple(flags.shape), flags.implementations)


if __name__ == "__main__":
    main()
