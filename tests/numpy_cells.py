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


def janet(p, h, x, beta=1.0):
    """h_t = σ(s) h + (1 - σ(s - β)) tanh(c), van der Westhuizen & Lasenby (2018)."""
    s, c = (x @ p["W" + gate] + h @ p["U" + gate] + p["b" + gate] for gate in "fg")
    return (sigmoid(s) * h + (1 - sigmoid(s - beta)) * np.tanh(c),)


def mgu(p, h, x):
    """h_t = (1 - f) h + f tanh(x W + (f h) U + b), Zhou et al. (2016)."""
    f = sigmoid(x @ p["Wf"] + h @ p["Uf"] + p["bf"])
    return ((1 - f) * h + f * np.tanh(x @ p["Wn"] + (f * h) @ p["Un"] + p["bn"]),)


def leaky(p, h, x, alpha, activation="tanh"):
    """h_t = (1 - α) h + α φ(x W + h U + b); α a number or one for each unit."""
    return ((1 - alpha) * h + alpha * elman(p, h, x, activation)[0],)


def indrnn(W, u, b, h, x, activation="relu"):
    """h_t = φ(x W + u h + b), Li et al. (2018)."""
    return (PHI[activation](x @ W + u * h + b),)


def orthogonal(W, A, b, h, x, activation="modrelu"):
    """h_t = φ(x W + h exp(S)); the exponential of a real skew S from the eigenvectors of the Hermitian iS."""
    S = np.triu(A, 1) - np.triu(A, 1).T
    frequencies, V = np.linalg.eigh(1j * S)
    a = x @ W + h @ ((V * np.exp(-1j * frequencies)) @ V.conj().T).real
    if activation == "modrelu":
        return (np.where(np.abs(a) + b > 0, a * (np.abs(a) + b) / np.abs(a), 0),)
    return (PHI[activation](a + b),)


def antisymmetric(p, h, x, epsilon, gamma, gated=False):
    """h_t = h + ε z tanh(A h + ...), rows multiplied from the left, Chang et al. (2019)."""
    Ah = np.array([(p["Uh"].T - p["Uh"]) @ row - gamma * row for row in h])
    z = sigmoid(x @ p["Wz"] + Ah + p["bz"]) if gated else 1.0
    return (h + epsilon * z * np.tanh(x @ p["Wh"] + Ah + p["bh"]),)


def cornn(W, U_y, U_z, b, y, z, x, dt, gamma, epsilon):
    """y'' = tanh(...) - γ y - ε y', explicitly, Rusch & Mishra (2021), eq. 3."""
    z = z + dt * np.tanh(x @ W + y @ U_y + z @ U_z + b) - dt * gamma * y - dt * epsilon * z
    return y + dt * z, z


def lem(p, y, z, x, dt=1.0):
    """Rusch et al. (2022), eq. 3; y moves by what the new z says."""
    fast, slow = (dt * sigmoid(x @ p["W" + gate] + y @ p["U" + gate] + p["b" + gate]) for gate in "sr")
    z = (1 - fast) * z + fast * np.tanh(x @ p["Wz"] + y @ p["Uz"] + p["bz"])
    return (1 - slow) * y + slow * np.tanh(x @ p["Wh"] + z @ p["Uh"] + p["bh"]), z


def log_sums(log_weights):
    """log Σ exp over the first axis, for any size of exponents."""
    largest = log_weights.max(axis=0)
    return largest + np.log(np.exp(log_weights - largest).sum(axis=0))


def slstm(p, x, heads=1):
    """h (T, B, H) from zeros: Beck et al. (2024), eqs. 8-10, with c/n as a softmax over all that was written so far."""
    steps, batch, size = len(x), x.shape[1], p["Wi"].shape[1]
    h, written, log_weights, hs = np.zeros((batch, size)), [], [], []
    own = np.kron(np.eye(heads), np.ones((size // heads, size // heads)))  # a unit sees its own head
    for t in range(steps):
        i, f, g, o = (x[t] @ p["W" + k] + h @ (own * p["U" + k]) + p["b" + k] for k in "ifgo")
        log_weights = [w + np.log(sigmoid(f)) for w in log_weights] + [i]
        written.append(np.tanh(g))
        shares = np.exp(np.array(log_weights) - log_sums(np.array(log_weights)))
        h = sigmoid(o) * (shares * np.array(written)).sum(axis=0)
        hs.append(h)
    return np.array(hs)


def mlstm(q, k, v, o, i, f):
    """y (T, d) of one head and row from zeros: Beck et al. (2024), eqs. 19-27, as one masked product over time."""
    steps, d = q.shape
    decay = np.cumsum(np.log(sigmoid(f)))
    log_D = np.where(np.tri(steps, dtype=bool), decay[:, None] - decay[None, :] + i[None, :], -np.inf)
    largest = np.maximum(log_D.max(axis=1, keepdims=True), -700.0)
    S = q @ k.T / np.sqrt(d) * np.exp(log_D - largest)
    return sigmoid(o) * (S @ v) / np.maximum(np.abs(S.sum(axis=1, keepdims=True)), np.exp(-largest))


def delta_net(q, k, v, o, beta, alpha):
    """y (T, d) of one head and row from zeros: S_t = α S_tm1 (I - β k kᵀ) + β v kᵀ, Yang et al. (2025), eq. 10."""
    S, ys = np.zeros((v.shape[1], k.shape[1])), []
    for t in range(len(q)):
        length = np.sqrt(k[t] @ k[t] + 1e-6)
        key, query = k[t] / length, q[t] / np.sqrt(q[t] @ q[t] + 1e-6)
        S = alpha[t] * S @ (np.eye(len(key)) - beta[t] * np.outer(key, key)) + beta[t] * np.outer(v[t], key)
        ys.append(sigmoid(o[t]) * (S @ query))
    return np.array(ys)


def by_gate(params, gates):
    """A cell's arrays (D, G, H), (H, G, H), (G, H) as one matrix per gate."""
    found = {}
    for g, gate in enumerate(gates):
        found["W" + gate] = np.asarray(params.kernel)[:, g]
        found["U" + gate] = np.asarray(params.recurrent_kernel)[:, g]
        found["b" + gate] = np.asarray(params.bias)[g]
    return found
