"""A program is traced once and compiled once, from the first call in a process on."""

import subprocess
import sys

from recurrax.kernels.scan import IMPLEMENTATIONS

SCRIPT = """
import sys
import jax
import jax.numpy as jnp
import recurrax

cell = recurrax.MinGRU(3)  # linear in its carry, so that every implementation may run it
params, xs = cell.init(jax.random.key(0), 2), jnp.ones((4, 2, 2))
compiled = []
jax.monitoring.register_event_duration_secs_listener(lambda event, *_, **__: compiled.append(event))
for name in sys.argv[1:]:
    if name == "pallas":
        import jax.experimental.pallas.tpu  # adds to the key of every program; not before the others ran
    traces = []

    def loss(params, xs):
        traces.append(name)
        return jnp.sum(recurrax.scan(cell, params, xs, implementation=name).outputs)

    for run in (jax.grad(jax.jit(loss)), jax.jit(jax.grad(loss))):
        traces.clear()
        try:
            run(params, xs)
        except ValueError as error:
            assert str(error).startswith("implementation: "), error  # not on this device
            continue
        compiled.clear()
        run(params, xs)
        print(name, len(traces), sum("backend_compile" in event for event in compiled))
"""


def test_a_second_call_traces_and_compiles_nothing():
    """In a process of its own: what the first trace imports, and so may add to the key of programs, is here imported.

    The gradient of a jitted loss is two programs, that of the loss and its transpose. Pallas has to be imported before:
    loaded in the first trace, its settings have the newest JAX trace once more, whosever kernel it is.
    """
    names = sorted(IMPLEMENTATIONS, key=lambda name: name == "pallas")
    ended = subprocess.run([sys.executable, "-c", SCRIPT, *names], capture_output=True, text=True, timeout=300)
    assert ended.returncode == 0, ended.stderr
    counted = ended.stdout.splitlines()
    for name in ("reference", "fused", "associative", "newton", "pallas"):
        assert counted.count(f"{name} 1 0") == 2, ended.stdout
    assert all(line.endswith(" 1 0") for line in counted), ended.stdout
