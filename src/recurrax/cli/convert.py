"""`recurrax convert`: weights from one library's names and layout to another's."""

from pathlib import Path
from typing import Literal


def convert(
    source: Path,
    out: Path,
    /,
    to: Literal["recurrax", "torch", "keras", "equinox", "haiku", "linen", "nnx"] = "recurrax",
    prefix: str = "",
    nonlinearity: Literal["tanh", "relu"] = "tanh",
) -> int:
    """Writes the recurrent weights of a safetensors file in another library's names and layout.

    Args:
        source: file of `recurrax.save`, or a PyTorch state dict saved by safetensors.
        out: file to write; its folder is there.
        to: whose names and layout to write.
        prefix: what names of PyTorch begin with, read or written, such as encoder.rnn.
        nonlinearity: of a PyTorch RNN, which its weights do not say.
    """
    from recurrax.convert import files, torch, weights
    from recurrax.wrappers import Stack

    if files.read_arrays(source).metadata.get("layout") is None:
        layers = torch.from_torch(source, prefix=prefix, nonlinearity=nonlinearity)
        if any(len(layer) > 1 for layer in layers):
            raise ValueError(f"{source}: expected one direction, which a cell has, got a bidirectional module")
        for number, (layer,) in enumerate(layers):
            for note in layer.notes:
                print(f"layer {number}: {note}")
        found = [(layer.cell, layer.params) for (layer,) in layers]
    else:
        cell, params = files.load(source)
        found = list(zip(cell.cells, params, strict=True)) if isinstance(cell, Stack) else [(cell, params)]
    if to == "recurrax":
        one = found[0] if len(found) == 1 else (Stack([cell for cell, _ in found]), tuple(p for _, p in found))
        files.save(out, *one)
    elif to == "torch":
        files.write_arrays(out, torch.to_torch([[layer] for layer in found], prefix=prefix))
    else:
        if len(found) > 1:
            raise ValueError(f"to: expected recurrax or torch for {len(found)} layers, got {to}")
        arrays, notes = weights.weights_to(to, *found[0], prefix=prefix)
        print("\n".join(notes))
        files.write_arrays(out, arrays)
    print(f"Written: {out}")
    return 0
