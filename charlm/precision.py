"""Whether matrix products in bfloat16 are faster than in float32 on this machine, by measuring."""

from statistics import median
from time import perf_counter
from typing import Literal

import torch

Precision = Literal["float32", "bfloat16"]

_SHAPE = (64, 512, 2048)
"""Rows, inner size and columns of the measured product: about a step of a network of 512."""
_REPEATS = 15


def choose_precision(
    wanted: Literal["auto", "float32", "bfloat16"], device: torch.device
) -> Precision:
    """Return what is wanted; for `auto`, the faster of the two (some milliseconds of measuring)."""
    if wanted != "auto":
        return wanted
    if device.type == "cpu":
        return "bfloat16" if _seconds(torch.bfloat16) < 0.8 * _seconds(torch.float32) else "float32"
    is_supported = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    return "bfloat16" if is_supported else "float32"


def _seconds(dtype: torch.dtype) -> float:
    rows, inner, columns = _SHAPE
    left, right = torch.ones(rows, inner, dtype=dtype), torch.ones(inner, columns, dtype=dtype)
    seconds = []
    for _ in range(_REPEATS):
        start = perf_counter()
        left @ right
        seconds.append(perf_counter() - start)
    return median(seconds)
