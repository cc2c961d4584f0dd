"""The types of the functions in `kernels.cpp`."""

import ctypes
from typing import Any

_INT, _INT64, _POINTER = ctypes.c_int, ctypes.c_int64, ctypes.c_void_p
_CELLS = ("rnn_tanh", "rnn_relu", "gru", "lstm")

FUNCTIONS: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "lanes": (_INT, ()),
    "pack": (None, (_POINTER, *[_INT64] * 8, _INT, _POINTER, _INT64)),
    "product": (None, (_POINTER, _INT64, _INT64, _POINTER, _INT64, _POINTER, _INT, _INT64)),
    "transposed_product": (
        None,
        (*(_POINTER, _INT64) * 2, _INT64, _INT64, _INT64, _POINTER, _INT, _INT64),
    ),
    "cross_entropy": (
        None,
        (_POINTER, _INT64, _INT64, *[_POINTER] * 2, _INT64, *[_POINTER] * 4, _INT, _INT64),
    ),
    "sum_rows": (None, (_POINTER, _POINTER, _INT64, _INT64, _POINTER, _INT, _INT64)),
    **dict.fromkeys(_CELLS, (None, (_POINTER, _INT, _INT))),
    "generate": (None, (_POINTER, _INT64, _POINTER, _POINTER)),
    "ngrams": (_POINTER, (_INT64, _INT64, _INT64, _POINTER, _INT, _INT, _INT)),
    "forget_ngrams": (None, (_POINTER,)),
    "count": (_INT64, (_POINTER, _POINTER, _INT64, _INT64)),
    "mix": (_INT64, (_POINTER, _POINTER)),
    "read_integers": (None, (_POINTER, _POINTER, _INT64, _POINTER, _POINTER, _POINTER)),
    "decode_integers": (
        _INT64,
        (*[_POINTER] * 3, _INT64, _POINTER, _INT64, _POINTER),
    ),
}
"""Types of the result and of the arguments, by the name without `charlm_`."""
_LAST = f"charlm_{list(FUNCTIONS)[-1]}"


def declared(kernels: ctypes.CDLL) -> ctypes.CDLL:
    """Return the kernels, after the types of all their functions are declared.

    Several threads may be here at once. ctypes makes an object of a function when it is first
    asked for, so that two threads can replace each other's; an undeclared one passes an address
    as 32 bits. Hence each object gets its types before it becomes an attribute.
    """
    if _LAST not in vars(kernels):
        for name, (result, arguments) in FUNCTIONS.items():
            function = kernels[f"charlm_{name}"]  # a new object; an attribute would be kept
            function.restype, function.argtypes = result, arguments
            setattr(kernels, f"charlm_{name}", function)
    return kernels
