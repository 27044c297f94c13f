"""Runs that are cut, damaged, doubled or out of space, in one process; `tests/long/survival.py` is the long form."""

import contextlib
import functools
import hashlib
import io
import json
import os
import resource
import signal

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from survivor import hashes, training

from recurrax import runs, train
from recurrax.runs import checkpoint

STEPS = 40


class CrashError(Exception):
    pass


def cut_after(monkeypatch, saves):
    """Lets `saves` checkpoints be written, then ends the program as a crash would."""
    save = checkpoint.save
    left = iter(range(saves))

    def save_or_end(*arguments, **options):
        if next(left, None) is None:
            raise CrashError
        return save(*arguments, **options)

    monkeypatch.setattr(checkpoint, "save", save_or_end)


@contextlib.contextmanager
def opened(root):
    with runs.open_run(root, "survival", "small", {"steps": STEPS}) as run:
        yield run


def fit(run, **changes):
    return train.fit_saved(training(STEPS), run, progress=False, **changes)


def like(header):
    return traced_once(header["step"], header["probed"])


@functools.cache
def traced_once(step, probed):
    return train.loop.fitted_like(training(STEPS), step, probed)


def fit_after(root, event):
    with opened(root) as run:
        event()
        fit(run)


def checkpoints(path):
    return sorted((path / "checkpoints").glob("step-*"))


@pytest.fixture(scope="module")
def uncut():
    return hashes(train.fit(training(STEPS), progress=False))


@pytest.fixture(scope="module")
def halfway(tmp_path_factory):
    """The folder of a run that ended after five checkpoints, at step 17."""
    root = tmp_path_factory.mktemp("halfway")
    with pytest.MonkeyPatch.context() as monkeypatch, contextlib.suppress(CrashError), opened(root) as run:
        cut_after(monkeypatch, 6)
        fit(run)
    return run.path


def copied(halfway, root):
    target = root / "survival" / halfway.name
    (target / "checkpoints").mkdir(parents=True)
    for path in halfway.rglob("*"):
        if path.is_file():
            (target / path.relative_to(halfway)).write_bytes(path.read_bytes())
    return target


def test_going_on_gives_what_the_uncut_run_gives_by_hash(halfway, tmp_path, uncut):
    copied(halfway, tmp_path)
    with opened(tmp_path) as run:
        assert not run.finished
        assert hashes(fit(run)) == uncut
        steps = [line["step"] for line in run.metrics()]
        assert steps == list(range(STEPS))
        assert len(checkpoints(run.path)) == 2
        assert hashes(fit(run)) == uncut, "a finished training is returned from its folder"


def test_every_kind_of_damage_is_noticed_named_and_survived(halfway, tmp_path, uncut, capsys):
    generator = np.random.default_rng(0)
    target = copied(halfway, tmp_path)
    newest, older = checkpoints(target)[::-1]
    whole = newest.read_bytes()
    config = runs.config_hash({"steps": STEPS})
    assert checkpoint.restore(target / "checkpoints", config, like).damaged == ()
    for place in generator.integers(0, len(whole), 12):
        flipped = bytearray(whole)
        flipped[place] ^= 1 << generator.integers(8)
        zeroed = whole[:place] + bytes(min(64, len(whole) - place)) + whole[place + 64 :]
        for damaged in (bytes(flipped), zeroed, whole[:place]):
            if damaged != whole:
                newest.write_bytes(damaged)
                restored = checkpoint.restore(target / "checkpoints", config, like)
                assert restored.damaged == (newest.name,)
                assert f"-{restored.header['step']:09d}-" in f"-{older.name[5:]}"
    newest.write_bytes(b"")
    with opened(tmp_path) as run:
        assert hashes(fit(run)) == uncut
    assert f"{newest.name}: damaged; going on from step" in capsys.readouterr().err


def test_without_any_whole_checkpoint_it_starts_again(halfway, tmp_path, uncut):
    target = copied(halfway, tmp_path)
    for path in (target / "checkpoints").iterdir():
        path.write_bytes(path.read_bytes()[:-1])
    with opened(tmp_path) as run:
        assert hashes(fit(run)) == uncut
        assert [line["step"] for line in run.metrics()] == list(range(STEPS))


def test_on_a_full_disk_the_last_good_checkpoint_stays_the_latest(halfway, tmp_path, uncut):
    target = copied(halfway, tmp_path)
    before = {path.name: path.read_bytes() for path in (target / "checkpoints").iterdir()}
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    smallest = min(len(content) for content in before.values())
    try:
        with pytest.raises(OSError, match=r"step 25 could not be saved, .* intact: File too large"):
            fit_after(tmp_path, lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (smallest - 100, hard)))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert {path.name: path.read_bytes() for path in (target / "checkpoints").iterdir()} == before
    with opened(tmp_path) as run:
        assert hashes(fit(run)) == uncut


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_saves_says_how_to_go_on_and_exits(halfway, tmp_path, number, status, capfd):
    path = copied(halfway, tmp_path)
    handler = signal.getsignal(number)
    with pytest.raises(SystemExit) as exit_:
        fit_after(tmp_path, lambda: os.kill(os.getpid(), number))
    assert exit_.value.code == status
    assert signal.getsignal(number) is handler
    assert json.loads((path / "run.json").read_text())["status"] == "preempted"
    said = capfd.readouterr().err
    assert f"{number.name}: saving at the end of this chunk; once more stops at once" in said
    assert f"stopped by {number.name}, all saved; to go on: " in said
    assert checkpoints(path)[-1].name.startswith("step-000000025-")


def test_a_second_run_in_the_folder_stops_before_writing_and_names_the_first(tmp_path):
    with opened(tmp_path) as run:
        before = {path: path.stat().st_mtime_ns for path in run.path.iterdir()}
        with (
            pytest.raises(runs.LockedError, match=rf"already under way in process {os.getpid()} since 20"),
            opened(tmp_path),
        ):
            pytest.fail("opened twice")
        assert {path: path.stat().st_mtime_ns for path in run.path.iterdir()} == before
    with opened(tmp_path) as run:
        assert run.finished


def test_a_checkpoint_of_something_else_is_refused(halfway, tmp_path):
    target = copied(halfway, tmp_path)
    folder = target / "checkpoints"
    with pytest.raises(ValueError, match="expected a checkpoint of configuration 00000000, got"):
        checkpoint.restore(folder, "00000000", like)
    config = runs.config_hash({"steps": STEPS})
    with pytest.raises(ValueError, match="expected the tensors of this training, got a difference in"):
        checkpoint.restore(folder, config, lambda header: {"w": np.zeros(3)})
    checkpoint.save(folder, 99, {"w": np.zeros(3)}, {"config": config})
    with pytest.raises(ValueError, match=r"expected \['w'\] to be float32 \(3,\), got float64 \(3,\)"):
        checkpoint.restore(folder, config, lambda header: {"w": np.zeros(3, np.float32)})


def fake(folder, **arrays):
    """A checkpoint that bears the right hash of whatever it holds."""
    content = io.BytesIO()
    np.savez(content, allow_pickle=True, **arrays)
    name = f"step-000000099-{hashlib.sha256(content.getvalue()).hexdigest()}.npz"
    (folder / name).write_bytes(content.getvalue())


class Harmful:
    def __reduce__(self):
        return (os.mkdir, ("harmed",))


def header(**changes):
    content = {"config": runs.config_hash({"steps": STEPS}), "step": 10, "probed": 1, "metrics_bytes": 0} | changes
    content = {"program": train.fingerprint(training(STEPS))} | content
    return np.frombuffer(json.dumps(content).encode(), np.uint8)


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({"header": header(), "w": np.array([Harmful()], object)}, "w.npy holds Python objects"),
        ({"header": np.array([Harmful()], object)}, "header.npy holds Python objects"),
        ({"w": np.zeros(3)}, "expected a checkpoint with a header, got none"),
        ({"header": np.frombuffer(b"[1]", np.uint8)}, "expected a checkpoint with a header, got another"),
        ({"header": np.frombuffer(b"\xff{", np.uint8)}, "expected a checkpoint with a header, got another"),
        ({"header": header(step=-1)}, "step: expected 0 to 40 in a checkpoint of this training, got -1"),
        ({"header": header(step="10")}, "step: expected 0 to 40 in a checkpoint of this training, got '10'"),
        (
            {"header": header(probed=10**12)},
            "probed: expected 0 to 3 in a checkpoint of this training, got 1000000000000",
        ),
        ({"header": header(metrics_bytes=None)}, "metrics_bytes: expected 0 to .* got None"),
        ({"header": header(program=None)}, "it does not say which program saved it; fresh=True begins anew"),
        ({"header": header(program={"step": "0"})}, "another program, which differs in batch, initialisation, probe w"),
        (
            {"header": header(), "../../elsewhere": np.zeros(3)},
            "expected the tensors of this training, got a difference",
        ),
    ],
)
def test_a_checkpoint_with_the_right_hash_and_the_wrong_content_is_refused(tmp_path, monkeypatch, arrays, said):
    monkeypatch.chdir(tmp_path)
    with opened(tmp_path) as run:
        (run.path / "checkpoints").mkdir()
        fake(run.path / "checkpoints", **arrays)
        before = set(tmp_path.rglob("*"))
        with pytest.raises(ValueError, match=said) as caught:
            fit(run)
    assert "\n" not in str(caught.value)
    assert set(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("link", ["part", "part/checkpoints"])
def test_symbolic_links_in_a_run_s_folder_are_not_followed(tmp_path, link):
    (tmp_path / "elsewhere").mkdir()
    with opened(tmp_path) as run:
        (run.path / link).parent.mkdir(exist_ok=True)
        (run.path / link).symlink_to(tmp_path / "elsewhere")
        with pytest.raises(ValueError, match="expected a folder of its own, got a symbolic link"):
            fit(run, name="part")
    assert os.listdir(tmp_path / "elsewhere") == []


def test_every_dtype_comes_back_bit_for_bit(tmp_path):
    tree = {"bf16": jnp.array([1.5, jnp.nan], jnp.bfloat16), "i": jnp.arange(3), "none": None, "s": jnp.float32(0.1)}
    checkpoint.save(tmp_path / "c", 7, tree, {"config": "x"})
    restored = checkpoint.restore(tmp_path / "c", "x", lambda header: tree)
    for saved, back in zip(jax.tree.leaves(tree), jax.tree.leaves(restored.tree), strict=True):
        assert back.dtype == saved.dtype
        assert np.asarray(saved).tobytes() == back.tobytes()


def test_a_training_that_broke_stays_broken_when_gone_on_with(tmp_path):
    broken = training(STEPS)
    broken = train.Training(**(vars(broken) | {"loss": lambda w, batch: jnp.sum(w) * jnp.inf}))
    said = []
    for _ in range(2):
        with pytest.raises(train.NonFiniteError) as caught, opened(tmp_path) as run:
            train.fit_saved(broken, run, "broken", progress=False)
        said.append(str(caught.value))
    assert said[0] == said[1]
    assert "seed 0 at step 0 in loss" in said[0]


def test_names_of_trainings_are_plain(tmp_path):
    with opened(tmp_path) as run, pytest.raises(ValueError, match="name: expected at most 100 letters"):
        fit(run, name="../elsewhere")
