"""What every experiment's command promises, tried on an experiment that costs nothing."""

import json
import sys
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest

from recurrax import runs, study
from recurrax.report import Figure, Line, Panel, Report
from recurrax.runs import environment


@dataclass(frozen=True)
class Settings(study.Settings):
    """Doubles some numbers."""

    count: int = 3
    """How many."""
    names: tuple[str, ...] = ("a", "b")
    """Of nothing."""

    LEAST: ClassVar = {"count": 1}


class Demo:
    """An experiment that counts what it computes; `broken` is the title of a job that fails."""

    def __init__(self, broken=None, lines=()):
        self.computed, self.broken, self.lines = [], broken, lines

    def plan(self, settings):
        if "c" in settings.names:
            raise ValueError("names: expected a or b, got 'c'")
        self.names = settings.names
        return {f"job {i}": lambda run, i=i: self.job(i) for i in range(settings.count)}

    def job(self, i):
        if f"job {i}" == self.broken:
            raise FloatingPointError(f"job {i} met a NaN")
        self.computed.append(i)
        return study.JobResult({f"y{i}": np.arange(4.0) * 2 * i}, [{"i": i, "y": 2 * i}, *self.lines])

    def finish(self, settings, arrays):
        lines = tuple(Line(name, "x", name, slot) for slot, name in enumerate(sorted(arrays)))
        figure = Figure("doubles", "Doubles", "Of some numbers.", (Panel("all", "x", "y", lines),))
        report = Report("How much is twice?", "Twice as much.", (), (), (figure,), ("Multiplication.",))
        numbers = {name: array.sum() for name, array in sorted(arrays.items())}
        return study.Findings({**arrays, "x": np.arange(4)}, numbers, report)

    def __call__(self, *arguments):
        smoke = {"count": 2, "names": ("a",)}
        return study.Command("demo", Settings, self.plan, self.finish, smoke, self.program).main(arguments)

    def program(self, settings):
        return {"job": Demo.job}


def only_folder(out):
    (folder,) = (out / "demo").iterdir()
    return folder


def one_sentence(capsys):
    written = capsys.readouterr().err
    assert written.count("\n") == 1, written
    return written


def contents(folder):
    kept = ("arrays.npz", "summary.json", "config.json", "doubles.svg", "doubles.png")
    return {name: (folder / name).read_bytes() for name in kept}


def test_a_run_leaves_its_whole_folder(tmp_path, capsys):
    assert Demo()("--out", str(tmp_path), "--count", "2") == 0
    folder = only_folder(tmp_path)
    assert {path.name for path in folder.iterdir() if not path.name.startswith(".")} == {
        "config.json",
        "run.json",
        "metrics.jsonl",
        "program.json",
        "arrays.npz",
        "summary.json",
        "doubles.png",
        "doubles.svg",
        "report.html",
    }
    assert json.loads((folder / "config.json").read_text()) == {"count": 2, "names": ["a", "b"]}
    run = json.loads((folder / "run.json").read_text())
    assert (run["experiment"], run["status"]) == ("demo", "finished")
    assert str(folder / "report.html") in capsys.readouterr().out


def test_the_same_command_again_shows_the_result_and_computes_nothing(tmp_path, capsys):
    Demo()("--out", str(tmp_path))
    first = capsys.readouterr().out
    again = Demo()
    assert again("--out", str(tmp_path)) == 0
    assert again.computed == []
    assert capsys.readouterr().out == first


def test_lines_of_a_training_stand_in_a_runs_metrics_once_also_after_a_crash(tmp_path, monkeypatch, capsys):
    lines = [{"training": "a", "step": step, "loss": 0.5} for step in range(3)]

    class Trained(Demo):
        def job(self, i):
            return super().job(i)._replace(trained=lines if i == 0 else ())

    def crash(folder, record):
        raise OSError("no space left")

    with monkeypatch.context() as full:
        full.setattr(runs.RunFolder, "append_metrics", crash)
        assert Trained()("--out", str(tmp_path), "--count", "2", "--jobs", "1") == 1
    assert Trained()("--out", str(tmp_path), "--count", "2", "--jobs", "1") == 0
    saved = [json.loads(line) for line in (only_folder(tmp_path) / "metrics.jsonl").read_text().splitlines()]
    assert [line for line in saved if "training" in line] == lines


def test_a_fresh_run_computes_all_again(tmp_path, monkeypatch, capsys):
    Demo()("--out", str(tmp_path))
    again = Demo()
    assert again("--out", str(tmp_path), "--fresh") == 0
    assert sorted(again.computed) == [0, 1, 2]
    monkeypatch.setattr(sys, "orig_argv", ["python", "demo.py", "--fresh", "--count", "3"])
    assert environment.resume_command().endswith("demo.py --count 3")


def test_a_cut_run_goes_on_where_it_was(tmp_path, capsys):
    Demo()("--out", str(tmp_path / "whole"), "--jobs", "1")
    capsys.readouterr()
    assert Demo(broken="job 2")("--out", str(tmp_path / "cut"), "--jobs", "1") == 1
    assert one_sentence(capsys) == "demo: job 2 met a NaN\n"
    assert not (only_folder(tmp_path / "cut") / "summary.json").exists()
    rest = Demo()
    assert rest("--out", str(tmp_path / "cut"), "--jobs", "1") == 0
    assert rest.computed == [2]
    assert contents(only_folder(tmp_path / "cut")) == contents(only_folder(tmp_path / "whole"))


def test_how_many_run_side_by_side_changes_nothing(tmp_path):
    for jobs in "13":
        Demo()("--out", str(tmp_path / jobs), "--jobs", jobs)
    assert contents(only_folder(tmp_path / "1")) == contents(only_folder(tmp_path / "3"))


def test_where_several_processes_work_jobs_come_in_order_one_at_a_time(tmp_path, monkeypatch):
    Demo()("--out", str(tmp_path / "alone"))
    monkeypatch.setattr(runs, "several_processes", lambda: True)
    demo = Demo()
    assert demo("--out", str(tmp_path / "together"), "--jobs", "3") == 0
    assert demo.computed == [0, 1, 2]
    assert contents(only_folder(tmp_path / "together")) == contents(only_folder(tmp_path / "alone"))


def test_only_the_first_process_speaks(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(runs, "is_first_process", lambda: False)
    assert Demo()("--out", str(tmp_path)) == 0
    assert Demo()("--dry-run", "--out", str(tmp_path)) == 0
    assert capsys.readouterr() == ("", "")
    assert not (only_folder(tmp_path) / "report.html").exists()


def test_what_stops_the_first_process_stops_the_others_without_a_word(tmp_path, monkeypatch, capsys):
    def elsewhere(*arguments, **options):
        raise runs.ElsewhereError("process 0: no space left")

    monkeypatch.setattr(runs, "open_run", elsewhere)
    assert Demo()("--out", str(tmp_path)) == 1
    assert capsys.readouterr() == ("", "")


def test_metrics_are_tracked_where_that_is_asked_for(tmp_path):
    Demo()("--out", str(tmp_path / "not"))
    assert not list(tmp_path.rglob("*tfevents*"))
    Demo(lines=[{"cell": "lstm", "step": 0, "loss": 1.0}])("--out", str(tmp_path), "--track", "tensorboard")
    (events,) = only_folder(tmp_path).rglob("*tfevents*")
    assert events.parent == only_folder(tmp_path) / "tensorboard" / "lstm"


def test_drawing_again_needs_the_saved_files_alone(tmp_path, capsys):
    Demo()("--out", str(tmp_path))
    folder = only_folder(tmp_path)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    for name in ("doubles.svg", "doubles.png", "report.html"):
        (folder / name).unlink()
    again = Demo()
    assert again("--replot", str(folder)) == 0
    assert again.computed == []
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_drawing_again_what_is_not_there(tmp_path, capsys):
    assert Demo()("--replot", str(tmp_path)) == 1
    assert "config.json: expected a file of a finished run, found none" in one_sentence(capsys)


def test_smoke_caps_sizes_and_replaces_what_is_at_its_default(tmp_path):
    demo = Demo()
    demo("--smoke", "--out", str(tmp_path))
    assert (sorted(demo.computed), demo.names) == ([0, 1], ("a",))
    demo = Demo()
    demo("--smoke", "--count", "1", "--names", "b", "--out", str(tmp_path))
    assert (demo.computed, demo.names) == ([0], ("b",))


def test_what_a_plan_refuses_exits_with_2_before_anything_is_made(tmp_path, capsys):
    assert Demo()("--names", "c", "--out", str(tmp_path / "results")) == 2
    assert one_sentence(capsys) == "demo: names: expected a or b, got 'c'\n"
    assert list(tmp_path.iterdir()) == []


def test_a_dry_run_says_what_it_would_do_and_writes_nothing(tmp_path, capsys):
    demo = Demo()
    assert demo("--dry-run", "--out", str(tmp_path / "results")) == 0
    assert demo.computed == []
    assert list(tmp_path.iterdir()) == []
    shown = capsys.readouterr().out
    assert "count = 3" in shown
    assert "job 2" in shown


@pytest.mark.parametrize("flag", ["--cuont", "--count=two"])
def test_a_flag_that_cannot_be_read_exits_with_2(flag, tmp_path, capsys):
    with pytest.raises(SystemExit) as stopped:
        Demo()("--out", str(tmp_path / "results"), flag)
    assert stopped.value.code == 2
    assert flag.split("=")[0] in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_value_out_of_range_exits_with_2(tmp_path, capsys):
    with pytest.raises(SystemExit) as stopped:
        Demo()("--out", str(tmp_path / "results"), "--count", "0")
    assert stopped.value.code == 2
    assert "count: expected at least 1, got 0" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_flag_that_is_no_number_is_refused():
    @dataclass(frozen=True)
    class Rated(study.TrainingSettings):
        """Has a rate."""

    for value, said in (("nan", "learning_rate: expected a number, got nan"), ("-1", "expected at least 0, got -1.0")):
        with pytest.raises(ValueError, match=said):
            Rated(learning_rate=float(value))


def test_help_names_every_flag(capsys):
    with pytest.raises(SystemExit) as stopped:
        Demo()("--help")
    assert stopped.value.code == 0
    shown = capsys.readouterr().out
    for flag in ("--out", "--smoke", "--fresh", "--dry-run", "--replot", "--jobs", "--track", "--count"):
        assert flag in shown


def test_an_output_folder_that_cannot_be_made(tmp_path, capsys):
    (tmp_path / "file").write_text("in the way")
    demo = Demo()
    assert demo("--out", str(tmp_path / "file" / "results")) == 1
    assert "cannot be written" in one_sentence(capsys)
    assert demo.computed == []
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("package", ["tyro", "matplotlib", "jinja2", "tensorboardX"])
def test_a_missing_extra_is_named_before_anything_is_done(package, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, package, None)
    demo = Demo()
    assert demo("--out", str(tmp_path / "results"), "--track", "tensorboard") == 1
    extra = "track" if package == "tensorboardX" else "experiments"
    assert one_sentence(capsys) == (f'demo: {package} is not installed; in a clone: pip install ".[{extra}]"\n')
    assert demo.computed == []
    assert list(tmp_path.iterdir()) == []
