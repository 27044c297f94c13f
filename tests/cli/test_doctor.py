"""`recurrax doctor`: what it finds is so, and a scan that fails is its exit status."""

import importlib.metadata
import subprocess
import sys
from types import SimpleNamespace

import pytest

from recurrax.cli import doctor, main


@pytest.fixture
def quick_scan(monkeypatch):
    """As timed by a fast machine: nothing is compiled."""
    monkeypatch.setattr(doctor, "time_scan", lambda: doctor.Scan((0.001, 0.00128), (0.002, 0.00256)))


def test_it_says_what_there_is(quick_scan, capsys):
    assert main(["doctor"]) == 0
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert f"jax {importlib.metadata.version('jax')}" in lines
    assert "forward pass 1.00 ms at best, 1.28 ms in the median, 10.0 µs per time step" in lines
    assert "training step 2.00 ms at best, 2.56 ms in the median, 20.0 µs per time step" in lines
    assert "experiments complete" in lines
    assert any(line.startswith("memory available") and line.endswith("GiB") for line in lines)


def test_the_scan_it_times_runs(monkeypatch, quick_compile):
    for name, least in {"_STEPS": 4, "_BATCH": 2, "_INPUTS": 2, "_HIDDEN": 3, "_ROUNDS": 2}.items():
        monkeypatch.setattr(doctor, name, least)
    for least, middle in doctor.time_scan():
        assert 0 < least <= middle


def test_a_scan_that_fails_is_the_exit_status(monkeypatch, capsys):
    def fail():
        raise RuntimeError("no such instruction")

    monkeypatch.setattr(doctor, "time_scan", fail)
    assert main(["doctor"]) == 1
    printed = capsys.readouterr()
    assert "the fused scan failed: RuntimeError: no such instruction" in printed.err
    assert "Extras" in printed.out


def test_without_jax_it_says_what_brings_it(monkeypatch, capsys):
    real = doctor.version
    monkeypatch.setattr(doctor, "version", lambda name: None if name == "jax" else real(name))
    monkeypatch.setitem(sys.modules, "jax", None)
    assert main(["doctor"]) == 1
    printed = capsys.readouterr()
    assert printed.err == "recurrax: jax is not installed; in a clone of recurrax: pip install .\n"
    lines = [" ".join(line.split()) for line in printed.out.splitlines()]
    assert {"jax not installed", f"numpy {importlib.metadata.version('numpy')}", "experiments complete"} <= set(lines)


def test_without_jax_it_loads_nothing_that_needs_it():
    code = "import sys; sys.modules['jax'] = None; from recurrax.cli import main; sys.exit(main(['doctor']))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=180)
    assert (done.returncode, done.stderr.count("jax is not installed")) == (1, 1), done.stderr


def stand_in(gpus, cpus):
    """What JAX says of its devices on a machine with GPUs of 40 GiB."""
    gpu = SimpleNamespace(platform="gpu", device_kind="X1", memory_stats=lambda: {"bytes_limit": 40 * 2**30})
    cpu = SimpleNamespace(platform="cpu", device_kind="cpu", memory_stats=lambda: None)

    def local_devices(backend=None):
        if backend == "cpu" and not cpus:
            raise RuntimeError("Unknown backend cpu")
        return [cpu] * cpus if backend == "cpu" or not gpus else [gpu] * gpus

    return SimpleNamespace(local_devices=local_devices)


def test_devices_with_their_memory(monkeypatch):
    monkeypatch.setattr("recurrax.train.devices.cpu_cores", lambda: 4)
    gpus = doctor.devices(stand_in(gpus=2, cpus=1))
    assert gpus["JAX computes on"] == "2 x gpu, X1, 40.0 GiB for JAX"
    assert doctor.devices(stand_in(gpus=1, cpus=0))["CPU cores"] == "4, counted by JAX as 0 devices"
    assert doctor.devices(stand_in(gpus=0, cpus=4))["CPU cores"] == "4, counted by JAX as 4 devices"
    assert "recurrax.train.use_cpu_devices(4)" in doctor.devices(stand_in(gpus=0, cpus=1))["CPU cores"]


REQUIREMENTS = {
    "recurrax": ["jax>=1", 'tyro>=1; extra == "plot"', "jax[cuda]>=1; (sys_platform == 'linux') and extra == 'gpu'"],
    "jax": ["numpy", 'jax-plugin[all]==1; extra == "cuda"'],
}


def test_what_an_extra_adds(monkeypatch):
    monkeypatch.setattr(importlib.metadata, "requires", REQUIREMENTS.get)
    monkeypatch.setattr(doctor, "version", lambda name: None if name in ("tyro", "jax-plugin") else "1")
    assert list(doctor.packages_of("recurrax", "plot")) == ["tyro"]
    assert list(doctor.packages_of("recurrax", "gpu")) == ["jax", "jax-plugin"]


def test_a_missing_package_comes_with_the_command_that_adds_it(quick_scan, monkeypatch, capsys):
    real = doctor.version
    monkeypatch.setattr(doctor, "version", lambda name: None if name == "matplotlib" else real(name))
    assert main(["doctor"]) == 0
    said = 'experiments without matplotlib; pip install ".[experiments]" in a clone adds what is missing'
    assert said in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize(
    ("libc", "pages", "tunables", "backend", "advised"),
    [
        (("glibc", "2.36"), "always [madvise] never\n", "", "cpu", True),
        (("glibc", "2.36"), "always [madvise] never\n", "glibc.malloc.hugetlb=1", "cpu", False),
        (("glibc", "2.36"), "always [madvise] never\n", "", "gpu", False),
        (("glibc", "2.36"), "always madvise [never]\n", "", "cpu", False),
        (("glibc", "2.36"), "[always] madvise never\n", "", "cpu", False),
        (("glibc", "2.34"), "always [madvise] never\n", "", "cpu", False),
        (("", ""), "always [madvise] never\n", "", "cpu", False),
    ],
)
def test_huge_pages_are_advised_where_they_would_pay(monkeypatch, libc, pages, tunables, backend, advised):
    monkeypatch.setattr(doctor.platform, "libc_ver", lambda: libc)
    monkeypatch.setattr(doctor.Path, "read_text", lambda path: pages)
    assert doctor.huge_pages_would_pay({"GLIBC_TUNABLES": tunables}, backend) is advised


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"/proc/meminfo": "MemTotal: 9 kB\nMemAvailable: 4 kB\n"}, 4096),
        (
            {
                "/proc/meminfo": "MemAvailable: 4 kB\n",
                "/sys/fs/cgroup/memory.max": "3000\n",
                "/sys/fs/cgroup/memory.current": "1000\n",
            },
            2000,
        ),
        (
            {
                "/proc/meminfo": "MemAvailable: 4 kB\n",
                "/sys/fs/cgroup/memory.max": "max\n",
                "/sys/fs/cgroup/memory.current": "1000\n",
            },
            4096,
        ),
        ({}, None),
    ],
)
def test_memory_that_may_still_be_taken(monkeypatch, files, expected):
    def read_text(path):
        if str(path) not in files:
            raise FileNotFoundError(path)
        return files[str(path)]

    monkeypatch.setattr(doctor.Path, "read_text", read_text)
    assert doctor.available_memory() == expected
