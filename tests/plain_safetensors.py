"""The safetensors format from its description, for where the package is not installed: the two functions that we call.

Eight bytes, the length N of the header, little-endian; N bytes of JSON, name to dtype, shape and [begin, end] in what
follows, and texts under "__metadata__"; the arrays' bytes, one after the other.
"""

import json

NAMES = {"float64": "F64", "float32": "F32", "bfloat16": "BF16", "int32": "I32", "bool": "BOOL"}


def serialize(arrays, metadata=None):
    header, data = {"__metadata__": metadata or {}}, b""
    for name, entry in arrays.items():
        span = [len(data), len(data) + len(entry["data"])]
        header[name] = {"dtype": NAMES[entry["dtype"]], "shape": list(entry["shape"]), "data_offsets": span}
        data += entry["data"]
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


def deserialize(content):
    size = int.from_bytes(content[:8], "little")
    header, data = json.loads(content[8 : 8 + size]), content[8 + size :]
    header.pop("__metadata__", None)
    if sum(entry["data_offsets"][1] - entry["data_offsets"][0] for entry in header.values()) != len(data):
        raise ValueError("the buffer is not as long as its header says")
    return [
        (name, {"dtype": e["dtype"], "shape": e["shape"], "data": bytearray(data[slice(*e["data_offsets"])])})
        for name, e in header.items()
    ]
