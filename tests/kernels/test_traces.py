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

    The gradient of a jitted loss is two programs, that of the loss and its transpose. Pallas is left out: what JAX
    imports for its interpreter in the first trace has the newest JAX trace once more.
    """
    names = [name for name in IMPLEMENTATIONS if name != "pallas"]
    ended = subprocess.run([sys.executable, "-c", SCRIPT, *names], capture_output=True, text=True, timeout=300)
    assert ended.returncode == 0, ended.stderr
    counted = ended.stdout.splitlines()
    for name in ("reference", "fused", "associative"):
        assert counted.count(f"{name} 1 0") == 2, ended.stdout
    assert all(line.endswith(" 1 0") for line in counted), ended.stdout
