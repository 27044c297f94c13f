"""Processes that train together: two real ones give what one gives, and stop and go on as one."""

import json
import sys

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pair
import pytest

from recurrax import runs, train
from recurrax.cli.launch import launch
from recurrax.runs import processes

LAUNCHED = {"RECURRAX_COORDINATOR": "127.0.0.1:4000", "RECURRAX_PROCESSES": "2", "RECURRAX_RANK": "1"}
SLURM = {
    "SLURM_JOB_ID": "7",
    "SLURM_STEP_NODELIST": "node[01-02]",
    "SLURM_NTASKS": "2",
    "SLURM_PROCID": "1",
    "SLURM_LOCALID": "0",
}


@pytest.fixture
def joined(monkeypatch):
    """The arguments that JAX is asked to join with."""
    asked = []
    monkeypatch.setattr(jax.distributed, "initialize", lambda *place, **options: asked.append((place, options)))
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    for name in (*LAUNCHED, *SLURM):
        monkeypatch.delenv(name, raising=False)
    preemption = jax.config.jax_enable_preemption_service
    yield asked
    jax.config.update("jax_enable_preemption_service", preemption)


@pytest.mark.usefixtures("quick_compile")
def test_two_processes_stop_together_and_give_the_losses_of_one(tmp_path, capfd):
    """Begun with batches shared, and gone on with rows shared."""
    root = tmp_path / "root"
    command = (sys.executable, pair.__file__, str(root))
    assert launch((*command, "stop")) == 143
    said = capfd.readouterr()
    assert "[1] SIGTERM: saving at the end of this chunk" in said.err
    assert said.err.count("all saved; to go on: ") == 1
    assert f"-m recurrax launch -n 2 -- {sys.executable}" in said.err
    (folder,) = (tmp_path / "root-0" / "pair").iterdir()
    assert json.loads((folder / "run.json").read_text())["status"] == "preempted"
    assert [path.name[:14] for path in (folder / "checkpoints").iterdir()] == ["step-000000005"]

    assert launch((*command, "rows"), quiet=True) == 0
    assert "12 lines" in capfd.readouterr().out
    one = train.fit(pair.training(), progress=False)
    with runs.open_run(tmp_path / "root-0", "pair", "small", {"steps": pair.STEPS}) as run:
        assert run.finished
        np.testing.assert_allclose(run.arrays()["loss"], one.metrics.loss, rtol=0, atol=1e-6)
        np.testing.assert_allclose(run.arrays()["bias"], one.probes["bias"], rtol=0, atol=1e-6)
        assert [line["step"] for line in run.metrics()] == list(range(pair.STEPS))
    record = json.loads((folder / "run.json").read_text())
    assert (record["status"], record["environment"]["processes"]) == ("finished", 2)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["root-0"], "process 1 has written"


def test_without_variables_nothing_is_joined(joined):
    assert not runs.join_processes()
    assert not runs.several_processes()
    assert runs.is_first_process()
    assert joined == []


def test_a_launched_process_joins_on_loopback_and_passes_nothing_on(joined, monkeypatch):
    for name, value in LAUNCHED.items():
        monkeypatch.setenv(name, value)
    assert runs.join_processes()
    ((place, options),) = joined
    assert place == ("127.0.0.1:4000", 2, 1)
    assert options["coordinator_bind_address"] == "127.0.0.1:4000"
    assert not jax.config.jax_enable_preemption_service
    assert processes.launched_place(processes.os.environ) is None


def test_a_slurm_step_is_left_to_jax_and_one_process_is_none(joined, monkeypatch):
    for name, value in (SLURM | {"SLURM_NTASKS": "1"}).items():
        monkeypatch.setenv(name, value)
    assert not runs.join_processes()
    monkeypatch.setenv("SLURM_NTASKS", "2")
    assert runs.join_processes()
    assert joined == [((), {"cluster_detection_method": "slurm"})]


def test_jax_reads_slurm_s_variables_as_meant(monkeypatch):
    from jax._src.clusters import ClusterEnv

    for name, value in SLURM.items():
        monkeypatch.setenv(name, value)
    address, count, rank, devices = ClusterEnv.auto_detect_unset_distributed_params(None, None, None, None, "slurm", 1)
    assert address.startswith("node01:")
    assert (count, rank, devices) == (2, 1, [0])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("RECURRAX_RANK", "2"),
        ("RECURRAX_RANK", "-1"),
        ("RECURRAX_PROCESSES", "two"),
        ("RECURRAX_COORDINATOR", "4000"),
        ("RECURRAX_COORDINATOR", None),
    ],
)
def test_variables_that_cannot_be_meant_are_one_sentence(name, value):
    variables = {key: text for key, text in (LAUNCHED | {name: value}).items() if text is not None}
    with pytest.raises(
        ValueError, match=r"RECURRAX_RANK: expected host:port, a number of processes and a rank"
    ) as said:
        processes.launched_place(variables)
    assert "\n" not in str(said.value)


class Others:
    """What process 1 sees of process 0, its messages played back to it."""

    def __init__(self, monkeypatch, told):
        monkeypatch.setattr(processes, "several_processes", lambda: True)
        monkeypatch.setattr(jax, "process_index", lambda: 1)
        monkeypatch.setattr(processes, "_broadcast", lambda content: told)


def test_what_process_0_reads_all_get_and_what_stops_it_stops_all(monkeypatch):
    asked = []
    Others(monkeypatch, b"+content")
    assert processes.from_first(lambda: asked.append("read")) == b"content"
    Others(monkeypatch, b"-no space left")
    with pytest.raises(runs.ElsewhereError, match="process 0: no space left"):
        processes.on_first(lambda: asked.append("written"))
    assert asked == []


def test_rows_that_cannot_be_shared_are_one_sentence():
    training = train.Training(
        loss=lambda w, xs: jnp.mean(w * xs),
        init=lambda key: jnp.zeros(()),
        optimizer=optax.sgd(0.1),
        batch=lambda key: jax.random.normal(key, (3,)),
        mesh=train.batch_mesh(),
        batch_axes=0,
    )
    with pytest.raises(ValueError, match="batch: expected rows that 2 devices can share equally, got 3"):
        train.fit(training, progress=False)
