"""Pack an integer network for the scripts of a page (`integer_network.js` unpacks it)."""

import json
import zlib
from base64 import b64encode
from typing import Any

import numpy as np

from charlm.portable.model_bytes import digest_of, taken_apart
from charlm.portable.network import IntegerNetwork


def packed_network(network: IntegerNetwork) -> dict[str, Any]:
    """Return a network as JSON: its description, and its arrays, deflated, in base64.

    Of each array come the lowest bytes of all numbers, then the next ones: the upper bytes of
    small weights deflate well.
    """
    description, arrays = taken_apart(network)
    deflate = zlib.compressobj(9, strategy=zlib.Z_HUFFMAN_ONLY)
    planes = []
    for array in arrays.values():
        numbers = np.ascontiguousarray(array).view(np.uint8).reshape(-1, array.itemsize)
        planes += [deflate.compress(plane.tobytes()) for plane in numbers.T]
    return {
        "description": json.loads(description),
        "digest": digest_of(network).hex(),
        "arrays": [[name, array.itemsize, list(array.shape)] for name, array in arrays.items()],
        "packed": b64encode(b"".join(planes) + deflate.flush()).decode(),
    }
