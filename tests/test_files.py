"""Whole files, and files that somebody else made."""

import io
import json
import math
import os
import pickle
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from recurrax import LSTM
from recurrax.files import load_arrays, load_json, plain, save_arrays, save_json, write_whole


def npy(array):
    file = io.BytesIO()
    np.lib.format.write_array(file, array, allow_pickle=True)
    return file.getvalue()


def archive(path, content, compression=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", compression) as file:
        file.writestr("a.npy", content)


def test_arrays_come_back_as_they_were(tmp_path):
    arrays = {
        "loss.adding": np.arange(6, dtype=np.float32).reshape(2, 3),
        "order": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        "empty": np.zeros((0, 3)),
        "scalar": np.float64(math.pi),
        "ids": np.array([1, 255], np.uint8),
    }
    save_arrays(tmp_path / "arrays.npz", arrays)
    loaded = load_arrays(tmp_path / "arrays.npz")
    assert list(loaded) == list(arrays)
    for name, array in arrays.items():
        assert loaded[name].dtype == array.dtype
        np.testing.assert_array_equal(loaded[name], array)
    assert os.listdir(tmp_path) == ["arrays.npz"]


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "summary.json"
    save_json(path, {"loss": 1.0})

    def fail(file):
        file.write(b"half of")
        raise OSError("no space left")

    with pytest.raises(OSError, match="no space left"):
        write_whole(path, fail)
    assert load_json(path) == {"loss": 1.0}
    assert os.listdir(tmp_path) == ["summary.json"]


class Harmful:
    def __reduce__(self):
        return (os.mkdir, ("harmed",))


def test_python_objects_are_neither_saved_nor_loaded(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match="arrays: expected numbers, got Python objects in 'a'"):
        save_arrays(Path("a.npz"), {"a": np.array([{}], object)})
    archive("bad.npz", npy(np.array([Harmful()], object)))
    with pytest.raises(ValueError, match=r"bad.npz: expected arrays saved by a run, .* holds Python objects"):
        load_arrays(Path("bad.npz"))
    Path("worse.npz").write_bytes(pickle.dumps(Harmful()))
    with pytest.raises(ValueError, match=r"worse.npz: expected arrays saved by a run"):
        load_arrays(Path("worse.npz"))
    assert sorted(os.listdir()) == ["bad.npz", "worse.npz"]


def test_a_header_that_claims_a_terabyte_is_refused_before_memory_is_taken(tmp_path):
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": (2**40,)})
    archive(tmp_path / "big.npz", file.getvalue() + b"four")
    with pytest.raises(ValueError, match="claims 1099511627776 numbers and holds 4 bytes"):
        load_arrays(tmp_path / "big.npz")
    archive(tmp_path / "bomb.npz", npy(np.zeros(10**6)), zipfile.ZIP_DEFLATED)
    with pytest.raises(ValueError, match=r"a.npy is compressed"):
        load_arrays(tmp_path / "bomb.npz")


def test_every_damage_to_the_numbers_is_noticed(tmp_path):
    path = tmp_path / "arrays.npz"
    save_arrays(path, {"a": np.random.default_rng(0).normal(size=500)})
    whole = path.read_bytes()
    generator = np.random.default_rng(1)
    for place in generator.integers(200, 200 + 8 * 450, 30):
        damaged = bytearray(whole)
        damaged[place] ^= 1 << generator.integers(8)
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match="expected arrays saved by a run"):
            load_arrays(path)
    for length in generator.integers(0, len(whole) - 1, 10):
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError, match="expected arrays saved by a run"):
            load_arrays(path)


def test_json_has_no_words_that_json_lacks(tmp_path):
    @dataclass(frozen=True)
    class Config:
        cell: LSTM
        out: Path
        rates: tuple[float, ...] = (0.1, math.inf, math.nan)

    save_json(tmp_path / "config.json", Config(LSTM(4), Path("/home/someone/results")))
    text = (tmp_path / "config.json").read_text()
    assert "someone" not in text
    content = json.loads(text, parse_constant=lambda word: pytest.fail(word))
    assert content["rates"] == [0.1, None, None]
    assert content["out"] == "results"
    assert content["cell"]["type"] == "LSTM"
    assert content["cell"]["hidden_size"] == 4
    assert plain({"s": np.arange(2), "n": np.int64(3), "p": Path("a/b")}) == {"s": [0, 1], "n": 3, "p": "a/b"}


def test_json_that_is_none_is_refused(tmp_path):
    path = tmp_path / "config.json"
    for text, said in (("{", "expected JSON"), ("[1]", "expected a JSON object, got a list"), ("[" * 10**5, "JSON")):
        path.write_text(text)
        with pytest.raises(ValueError, match=said):
            load_json(path)
    with pytest.raises(ValueError, match="config: expected numbers, texts and collections of them, got a function"):
        plain({"loss": lambda: 0})
