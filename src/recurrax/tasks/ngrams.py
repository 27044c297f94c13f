"""Interpolated n-grams: what counting alone foretells of a text, by how many characters it looks back."""

import numpy as np


def ngram_log_probabilities(train: np.ndarray, held: np.ndarray, size: int, order: int) -> np.ndarray:
    """What counts of one text say of every symbol of another, from 0 to n - 1 symbols back.

    p_n(c | h) = (N(hc) + D(h) p_{n-1}(c | h')) / (N(h) + D(h)),  p_0 = 1/size

    where h are the n - 1 symbols before, h' all of them but the first, N counts in `train`, and D(h) is how many
    different symbols follow h there (Witten & Bell 1991). A context that never occurred leaves p_{n-1} as it is.

    Args:
        train: (N,) whole numbers below `size`.
        held: (M,) whole numbers below `size`.
        size: of the vocabulary.
        order: the largest n, at least 1 and at most N and M.

    Returns:
        (order, M - order + 1): ln p_n for n = 1 .. order, of each symbol of `held` that has `order` - 1 before it.

    >>> train, held = np.array([0, 1, 0, 1, 1]), np.array([0, 1])
    >>> np.exp(ngram_log_probabilities(train, held, size=2, order=2)).round(6).tolist()  # (3+2/2)/(5+2), (2+4/7)/(2+1)
    [[0.571429], [0.857143]]
    """
    train, held = np.asarray(train, np.int64), np.asarray(held, np.int64)
    p, rows = np.full(len(held), 1 / size), []
    contexts = np.zeros(len(train), np.int64), np.zeros(len(held), np.int64)  # of no symbols: one and the same
    for n in range(1, order + 1):
        strings = [context * size + ids[n - 1 :] for context, ids in zip(contexts, (train, held), strict=True)]
        # Strings of n symbols are numbered anew, lest their numbers outgrow 64 bits; the two texts share the numbers.
        known, numbers = np.unique(np.concatenate(strings), return_inverse=True)
        of_train, of_held = np.split(numbers, [len(strings[0])])
        count = np.bincount(of_train, minlength=len(known))
        before = np.bincount(contexts[0], minlength=contexts[1].max() + 1)
        followers = np.bincount(known[count > 0] // size, minlength=len(before))
        seen, kinds = before[contexts[1]], followers[contexts[1]]
        p = np.where(seen > 0, (count[of_held] + kinds * p) / np.maximum(seen + kinds, 1), p)
        rows.append(np.log(p[order - n :]))
        p, contexts = p[1:], (of_train[:-1], of_held[:-1])
    return np.stack(rows)
