"""A PyTorch LSTM's weights, over and back
=======================================

Without PyTorch, a state dict of NumPy arrays in its layout; with it, its outputs are compared too.
"""

import jax.numpy as jnp
import numpy as np

import recurrax
from recurrax import convert

try:
    import torch
except ModuleNotFoundError:
    torch = None


def state_and_outputs(input_size, size, xs):
    """A state dict, and what PyTorch makes of the inputs with it, None where there is no PyTorch."""
    if torch is not None:
        module = torch.nn.LSTM(input_size, size, bidirectional=True)
        with torch.no_grad():
            outputs = module(torch.from_numpy(xs))[0].numpy()
        return {f"encoder.{name}": array.numpy() for name, array in module.state_dict().items()}, outputs
    rng, shapes = np.random.default_rng(0), {"weight_ih": (4 * size, input_size), "weight_hh": (4 * size, size)}
    shapes |= {"bias_ih": (4 * size,), "bias_hh": (4 * size,)}
    names = ((name, shape, way) for name, shape in shapes.items() for way in ("", "_reverse"))
    return {f"encoder.{n}_l0{way}": rng.normal(size=shape).astype("float32") / 4 for n, shape, way in names}, None


def main(input_size=3, size=8):
    """Converts both directions, runs them, and writes them back."""
    xs = np.random.default_rng(1).normal(size=(20, 4, input_size)).astype(np.float32)  # time, batch, features
    state, expected = state_and_outputs(input_size, size, xs)
    ((ahead, back),) = convert.from_torch(state, prefix="encoder.")  # one layer, two directions
    print(f"{ahead.cell.hidden_size} units; {'; '.join(ahead.notes)}")

    sides = [recurrax.scan(side.cell, side.params, xs, reverse=side is back).outputs for side in (ahead, back)]
    outputs = jnp.concatenate(sides, axis=-1)  # (T, B, 2 H)
    if expected is not None:
        print("largest difference from PyTorch's outputs: below 1e-6,", bool(abs(outputs - expected).max() < 1e-6))

    returned = convert.to_torch([[ahead, back]], prefix="encoder.")
    summed = [
        {name: tree[name] for name in tree if "weight" in name}
        | {way: tree[f"encoder.bias_ih_l0{way}"] + tree[f"encoder.bias_hh_l0{way}"] for way in ("", "_reverse")}
        for tree in (state, returned)
    ]
    same = all(np.array_equal(summed[0][name], summed[1][name]) for name in summed[0])
    print(f"back again: {len(returned)} arrays, the same weights and sums of biases: {same}")
    return outputs, same


if __name__ == "__main__":
    main()

# %%
# On two CPU cores, with Python 3.11 and JAX 0.10.2, it prints::
#
#     8 units; the two biases of i, f, g, o summed
#     back again: 8 arrays, the same weights and sums of biases: True
