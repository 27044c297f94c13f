"""The recurrences written a second time, in NumPy, from the equations alone: nothing here comes from `src`.

Parameters are dictionaries of one matrix per gate, so that no order of gates can be shared by accident.
"""

import numpy as np


def sigmoid(a):
    return 1 / (1 + np.exp(-a))


PHI = {"tanh": np.tanh, "relu": lambda a: np.maximum(a, 0), "identity": lambda a: a}


def elman(p, h, x, activation="tanh"):
    """h_t = φ(x W + h U + b)."""
    return (PHI[activation](x @ p["W"] + h @ p["U"] + p["b"]),)


def lstm(p, h, c, x, without="", coupled=False, phi="tanh", psi="tanh"):
    """Gates i, f, g, o; c_t = σ(f) c + σ(i) φ(g); h_t = (σ(o) ψ(c_t)) P, with all that Greff et al. (2017) vary.

    Gates in `without` are 1; with `coupled`, i is 1 - f; peepholes "pi", "pf", "po" and the projection "P" where given.
    """

    def gate(name, c):
        if name in without:
            return 1.0
        a = x @ p["W" + name] + h @ p["U" + name] + p["b" + name]
        return sigmoid(a + p["p" + name] * c if "p" + name in p else a)

    f = gate("f", c)
    i = 1 - f if coupled else gate("i", c)
    c = f * c + i * PHI[phi](x @ p["Wg"] + h @ p["Ug"] + p["bg"])
    h = gate("o", c) * PHI[psi](c)
    return (h @ p["P"] if "P" in p else h), c


def gru(p, h, x, reset_after=True):
    """h_t = (1 - z) n + z h; r multiplies h U_n + b' (after) or h (before)."""
    r, z = (sigmoid(x @ p["W" + gate] + h @ p["U" + gate] + p["b" + gate]) for gate in "rz")
    inner = r * (h @ p["Un"] + p["b'"]) if reset_after else (r * h) @ p["Un"]
    n = np.tanh(x @ p["Wn"] + p["bn"] + inner)
    return ((1 - z) * n + z * h,)


def by_gate(params, gates):
    """A cell's arrays (D, G, H), (H, G, H), (G, H) as one matrix per gate."""
    found = {}
    for g, gate in enumerate(gates):
        found["W" + gate] = np.asarray(params.kernel)[:, g]
        found["U" + gate] = np.asarray(params.recurrent_kernel)[:, g]
        found["b" + gate] = np.asarray(params.bias)[g]
    return found
