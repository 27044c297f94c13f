"""Strict JAX, two CPU devices and deterministic hypothesis, for every test.

The settings below have to be made before JAX starts, so they stand at the top level. Warnings are errors through
`pyproject.toml`.
"""

import os
import tempfile
from collections import Counter
from importlib.metadata import version

# Processes of one run share what they compile: workers, the commands that tests start, and modules that forget their
# programs. Nothing is kept between runs.
if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
    _COMPILED = tempfile.TemporaryDirectory(prefix="recurrax-tests-", ignore_cleanup_errors=True)
    os.environ["JAX_COMPILATION_CACHE_DIR"] = _COMPILED.name
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0.05"

# Compiling is most of the suite's time. JAX before 0.11 can turn fusions into machine code in an older way, that takes
# a third of the time where nothing is optimised. On newer JAX most tests compile as users do.
if tuple(map(int, version("jax").split(".")[:2])) < (0, 11) and "RECURRAX_TESTS_AS_USERS" not in os.environ:
    os.environ["XLA_FLAGS"] = "--xla_cpu_use_fusion_emitters=false"
    os.environ["JAX_DISABLE_MOST_OPTIMIZATIONS"] = "true"

import jax
import pytest
from hypothesis import HealthCheck, settings

jax.config.update("jax_num_cpu_devices", 2)
jax.config.update("jax_numpy_rank_promotion", "raise")

settings.register_profile(
    "suite",
    max_examples=10,
    deadline=None,  # the first example of a shape compiles
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
settings.load_profile("suite")


def pytest_addoption(parser):
    parser.addoption("--every", type=int, default=1, metavar="N", help="of each test's cases the first and every Nth")


def pytest_collection_modifyitems(config, items):
    """Of each test's cases the first and every Nth, where `--every` says so: all tests, in less time."""
    numbers, kept, left_out = Counter(), [], []
    for item in items:
        function = item.nodeid.partition("[")[0]
        (left_out if numbers[function] % config.getoption("every") else kept).append(item)
        numbers[function] += 1
    config.hook.pytest_deselected(items=left_out)
    items[:] = kept


@pytest.fixture
def x64():
    """Float64 for this test alone; without it JAX turns float64 into float32."""
    with jax.enable_x64(True):
        yield


@pytest.fixture
def quick_compile():
    """XLA without most of its optimisations, for tests of values that compile many programs and run each once."""
    before = jax.config.read("jax_disable_most_optimizations")
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", before)


@pytest.fixture
def as_users_compile():
    """Skips where the suite compiles otherwise than users do."""
    if jax.config.read("jax_disable_most_optimizations"):
        pytest.skip("compiled as users do on the newest JAX, or with RECURRAX_TESTS_AS_USERS=1")


@pytest.fixture
def plain_style():
    """JAX as users have it, broadcasting a bias (H,) over a batch: for cells written by them."""
    with jax.numpy_rank_promotion("allow"):
        yield


@pytest.fixture(scope="module", autouse=True)
def _programs_of_one_module():
    """Forgets what a module compiled: kept for all of them, the memory maps of XLA's code reach the system's limit."""
    yield
    jax.clear_caches()
