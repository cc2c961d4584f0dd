"""Load the compiled kernels, and prepare what every call of them needs."""

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Literal

import torch
from torch import Tensor

from charlm.environment.forks import expect_forks
from charlm.kernels.compiler import library
from charlm.kernels.functions import declared

expect_forks()  # here, because all code that computes imports this module

Precision = Literal["float32", "bfloat16"]
"""Precision of the operands of products."""
_block_precision: ContextVar[Precision | None] = ContextVar("precision", default=None)


@contextmanager
def computing_in(precision: Precision) -> Iterator[None]:
    """Compute in this precision within the block, with every model, but only in this thread."""
    token = _block_precision.set(precision)
    try:
        yield
    finally:
        _block_precision.reset(token)


def precision_here(default: Precision) -> Precision:
    """Return the precision of the enclosing `computing_in` block, or `default` outside of one."""
    return _block_precision.get() or default


def is_available(parameter: Tensor) -> bool:
    """Return whether the kernels run on the device and with the type of a parameter."""
    on_cpu = parameter.device.type == "cpu" and parameter.dtype == torch.float32
    return on_cpu and library() is not None


def address(tensor: Tensor) -> ctypes.c_void_p:
    """Return the address of a tensor, which the caller keeps alive while the kernels use it."""
    return ctypes.c_void_p(tensor.data_ptr())


def loaded() -> ctypes.CDLL:
    """Return the kernels, with the types of their arguments declared."""
    kernels = library()
    assert kernels is not None, "callers check is_available first"
    return declared(kernels)


def lanes() -> int:
    """Return the number of floats in a vector of the kernels."""
    return int(loaded().charlm_lanes())
