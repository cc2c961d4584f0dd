"""The compiled kernels as a library to call, and what every call needs."""

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Literal

import torch
from torch import Tensor

from charlm.environment.forks import expect_forks
from charlm.kernels.compiler import library

expect_forks()  # here, because everything that computes imports this module

Precision = Literal["float32", "bfloat16"]
"""Of the operands of products."""
_asked_for: ContextVar[Precision | None] = ContextVar("precision", default=None)


@contextmanager
def computing_in(precision: Precision) -> Iterator[None]:
    """Compute in this precision within the block, with every model, but only in this thread."""
    token = _asked_for.set(precision)
    try:
        yield
    finally:
        _asked_for.reset(token)


def precision_here(own: Precision) -> Precision:
    """Return the precision of the enclosing `computing_in` block, or `own` outside of one."""
    return _asked_for.get() or own


def is_available(parameter: Tensor) -> bool:
    """Say whether the kernels run on this parameter's device, in its type."""
    on_cpu = parameter.device.type == "cpu" and parameter.dtype == torch.float32
    return on_cpu and library() is not None


def address(tensor: Tensor) -> ctypes.c_void_p:
    """Return where a tensor lies; the caller keeps it alive while the kernels use it."""
    return ctypes.c_void_p(tensor.data_ptr())


def loaded() -> ctypes.CDLL:
    """Return the kernels, with the types of what they take declared."""
    kernels = library()
    assert kernels is not None, "callers ask is_available first"
    if kernels.charlm_forget_ngrams.argtypes is None:  # declared last: threads may come at once
        int64, pointer = ctypes.c_int64, ctypes.c_void_p
        for name in ("pack", "product", "sum_rows", "cross_entropy", "generate", "mix"):
            kernels[f"charlm_{name}"].restype = None
        kernels.charlm_forget_ngrams.restype = None
        kernels.charlm_pack.argtypes = (pointer, *[int64] * 8, ctypes.c_int, pointer, int64)
        kernels.charlm_product.argtypes = (
            *(pointer, int64, int64, pointer, int64, pointer),
            *(ctypes.c_int, int64),
        )
        kernels.charlm_sum_rows.argtypes = (
            *(pointer, pointer, int64, int64, pointer),
            *(ctypes.c_int, int64),
        )
        kernels.charlm_cross_entropy.argtypes = (
            *(pointer, int64, int64, pointer, pointer, int64, pointer, pointer, pointer),
            *(pointer, int64),
        )
        kernels.charlm_generate.argtypes = (pointer, int64, pointer, pointer)
        kernels.charlm_ngrams.argtypes = (int64, int64)
        kernels.charlm_ngrams.restype = pointer
        kernels.charlm_count.argtypes = (pointer, pointer, int64)
        kernels.charlm_count.restype = int64
        kernels.charlm_mix.argtypes = (pointer, pointer)
        kernels.charlm_forget_ngrams.argtypes = (pointer,)
    return kernels


def lanes() -> int:
    """Return how many floats a vector of the kernels holds."""
    return int(loaded().charlm_lanes())
