import numpy as np
import pytest

from recurrax.tasks import Tables
from tests import made_files

HEAD = "sequence,target,u,v\n"


def test_a_table_and_arrays_of_the_same_series_give_the_same(tmp_path):
    from_table = made_files.table(tmp_path)
    series = made_files.series()
    xs = np.full((max(map(len, series)), len(series), 2), 99.0)  # what lies beyond the lengths is not looked at
    for place, steps in enumerate(series):
        xs[: len(steps), place] = steps
    np.savez(
        tmp_path / "own.npz",
        xs=xs,
        lengths=[len(steps) for steps in series],
        targets=np.array(["abc"[place % 3] for place in range(len(series))]),
    )
    from_arrays = Tables(str(tmp_path / "own.npz"))
    for one, other in zip(from_table.data[:2], from_arrays.data[:2], strict=True):
        for got, expected in zip(one, other, strict=True):
            np.testing.assert_array_equal(got, expected)
    assert from_table.data.labels == from_arrays.data.labels == ("a", "b", "c")
    assert from_table.landmarks == from_arrays.landmarks


def test_without_lengths_all_are_as_long(tmp_path):
    xs = np.random.default_rng(0).normal(size=(3, 10, 1))
    np.savez(tmp_path / "own.npz", xs=xs, targets=np.arange(10) / 10)
    task = Tables(str(tmp_path / "own.npz"), numbers=True)
    assert task.data.train.mask.all()
    targets = [*task.data.train.targets[:, 0], *task.data.held.targets[:, 0]]
    np.testing.assert_allclose(sorted(targets), np.arange(10) / 10, rtol=1e-6)


@pytest.mark.parametrize(
    ("text", "numbers", "said"),
    [
        ("", False, r"own.csv, line 1: expected columns sequence, target and features, got ''"),
        ("sequence,target\n", False, r"line 1: expected columns sequence, target and features, got 'sequence, target'"),
        (HEAD, False, r"own.csv, line 2: expected a row of values, got none"),
        (HEAD + "1,a,2\n", False, r"own.csv, line 2: expected 4 values, got 3"),
        (HEAD + "1,a,2,3\n1,a,2,x\n", False, r"own.csv, line 3: expected a finite number, got 'x'"),
        (HEAD + "1,a,2,inf\n", False, r"own.csv, line 2: expected a finite number, got 'inf'"),
        (HEAD + "1,a,2,3\n", True, r"own.csv, line 2: expected a finite number, got 'a'"),
        (HEAD + "1,a,2,3\n1,b,2,3\n", False, r"own.csv, line 3: expected the target 'a' of sequence '1', got 'b'"),
        (
            HEAD + "1,a,2,3\n2,b,2,3\n1,a,2,3\n",
            False,
            r"line 4: .* rows of a sequence together, got '1' again",
        ),
    ],
)
def test_a_bad_table_is_told_by_file_and_line(tmp_path, text, numbers, said):
    (tmp_path / "own.csv").write_text(text)
    with pytest.raises(ValueError, match=said):
        Tables(str(tmp_path / "own.csv"), numbers=numbers).data  # noqa: B018


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({"xs": np.zeros((2, 3, 1))}, r"own.npz: expected arrays xs, targets and perhaps lengths, got xs"),
        (
            {"xs": np.zeros((2, 3)), "targets": np.zeros(3)},
            r"xs \(T, N, D\) .* shapes \(2, 3\) and \(3,\)",
        ),
        ({"xs": np.zeros((2, 3, 1)), "targets": np.zeros(2)}, r"expected xs .* got shapes \(2, 3, 1\) and \(2,\)"),
        (
            {"xs": np.zeros((2, 2, 1)), "targets": np.zeros(2), "lengths": np.array([1, 3])},
            r"own.npz: expected lengths \(N,\) from 1 to 2, got \[1, 3\]",
        ),
        (
            {"xs": np.array([[[0.0], [np.nan]]]), "targets": np.zeros(2)},
            r"own.npz: expected finite numbers in xs, got others in sequence 1",
        ),
        (
            {"xs": np.zeros((2, 2, 1)), "targets": np.array([{}, {}])},
            r"own.npz: expected an NPZ file of numbers, got one",
        ),
    ],
)
def test_bad_arrays_are_told_by_file_and_name(tmp_path, arrays, said):
    np.savez(tmp_path / "own.npz", **arrays)
    with pytest.raises(ValueError, match=said):
        Tables(str(tmp_path / "own.npz")).data  # noqa: B018


def test_other_files_are_refused(tmp_path):
    for name, said in (("own.xls", "expected a file .csv or .npz, got .xls"), ("bad.npz", "expected an NPZ file")):
        (tmp_path / name).write_text("none")
        with pytest.raises(ValueError, match=f"{name}: {said}"):
            Tables(str(tmp_path / name)).data  # noqa: B018
