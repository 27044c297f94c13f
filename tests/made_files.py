"""Small files of every kind that a task reads, and the tasks of them."""

import wave

import numpy as np

from recurrax import tasks

COUNT = 48
"""Sequences in each."""


def series(rows=COUNT, features=2, seed=0):
    """Sequences of 2 to 5 steps."""
    rng = np.random.default_rng(seed)
    return [rng.normal(size=(rng.integers(2, 6), features)).round(3) for _ in range(rows)]


def pairs(folder):
    path = folder / "pairs.tsv"
    path.write_text("".join(f"{number} apples\t{number:b}\n" for number in range(COUNT)))
    return tasks.Pairs(path=str(path), pad=1)


def write_wav(path, samples, rate=16_000):
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes((2**15 * samples).astype("<i2").tobytes())


def recordings(folder):
    rng = np.random.default_rng(0)
    for number in range(COUNT):
        write_wav(
            folder / "wavs" / "ab"[number % 2] / f"{number}.wav", rng.uniform(-0.5, 0.5, 400 + 160 * (number % 3))
        )
    return tasks.Recordings(str(folder / "wavs"), bands=3)


def table(folder):
    path = folder / "series.csv"
    rows = [
        f"{name},{'abc'[name % 3]},{','.join(map(str, step))}" for name, steps in enumerate(series()) for step in steps
    ]
    path.write_text("\n".join(["sequence,target,u,v", *rows]))
    return tasks.Tables(str(path))


def text(folder):
    path = folder / "text.txt"
    path.write_text(" ".join(f"{number} times {number} is {number**2}." for number in range(300)))
    return tasks.TextFiles(str(path))


def write_ts(path, sequences, labels="ab"):
    lines = [
        ":".join([*(",".join(map(str, column)) for column in steps.T), labels[number % len(labels)]])
        for number, steps in enumerate(sequences)
    ]
    path.write_text(
        "\n".join(["# a comment", "@timeStamps false", f"@classLabel true {' '.join(labels)}", "@data", *lines])
    )


def time_series(folder):
    path = folder / "own.ts"
    write_ts(path, series())
    return tasks.TimeSeries(str(path))


MADE = {
    tasks.Pairs: pairs,
    tasks.Recordings: recordings,
    tasks.Tables: table,
    tasks.TextFiles: text,
    tasks.TimeSeries: time_series,
}
"""By class, what writes files into a folder and gives the task."""
