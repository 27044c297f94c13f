import numpy as np
import pytest

from recurrax import tasks

T, N, B = 3, 10, 4


def arrays(**changes):
    xs = np.arange(T * N, dtype=np.float32).reshape(T, N, 1)
    return tasks.Arrays(**(dict(xs=xs, targets=np.arange(N), batch_size=B) | changes))


def test_every_epoch_is_an_order_of_all_sequences_and_another_each_time():
    batches = arrays()
    seen = np.concatenate([batches(seed=3, step=step).targets for step in range(25)])
    epochs = seen.reshape(-1, N)
    assert (np.sort(epochs, axis=1) == np.arange(N)).all()
    assert len({tuple(epoch) for epoch in epochs.tolist()}) == len(epochs)
    assert not np.array_equal(seen[:N], np.concatenate([batches(4, step).targets for step in range(3)])[:N])
    assert batches.steps_per_epoch == 2.5


def test_inputs_stay_with_their_targets_and_a_step_is_always_the_same():
    batches = arrays()
    for step in (0, 2, 9):
        batch = batches(1, step)
        np.testing.assert_array_equal(batch.xs[..., 0], np.arange(T)[:, None] * N + batch.targets)
        np.testing.assert_array_equal(batch.targets, arrays()(1, step).targets)


def test_every_step_and_trees_and_weights_are_cut_along_their_own_axes():
    xs = {"a": np.arange(T * N).reshape(T, N), "b": np.zeros((T, N, 2, 2))}
    targets = np.arange(T * N).reshape(T, N)
    batch = arrays(xs=xs, targets=targets, weights=targets / 2, every_step=True)(0, 1)
    assert batch.xs["b"].shape == (T, B, 2, 2)
    np.testing.assert_array_equal(batch.xs["a"], batch.targets)
    np.testing.assert_array_equal(batch.weights * 2, batch.targets)
    assert batch.batch_axes == tasks.Batch(1, 1, 1, every_step=True)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"batch_size": 0}, "batch_size: expected an int of at least 1, got 0"),
        ({"batch_size": 11}, "batch_size: expected at most the 10 sequences, got 11"),
        ({"targets": np.arange(9)}, r"xs, targets: expected one number of sequences N in all, got \[9, 10\]"),
        ({"xs": np.arange(10)}, r"xs, targets: expected more than 1 axes, got shapes \[\(10,\)\]"),
    ],
)
def test_refuses_arrays_that_do_not_agree(changes, said):
    with pytest.raises(ValueError, match=said):
        arrays(**changes)
