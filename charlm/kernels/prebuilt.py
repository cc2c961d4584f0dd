"""Find the kernels that the wheel carries for this processor.

A wheel for one system has a library for each instruction set of `_NEEDED` that its machines have
(`.github/hatch_build.py` builds them). They are files of the package, and trusted like the others.
"""

from collections.abc import Set
from pathlib import Path

from charlm.kernels.libraries import suffix

FOLDER = Path(__file__).parent
_AVX2 = frozenset({"avx2", "fma3", "f16c", "bmi", "bmi2", "lzcnt"})
_AVX512 = _AVX2 | {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl", "avx512bf16"}
_NEEDED = {"avx512-bfloat16": _AVX512, "avx2": _AVX2, "neon": frozenset({"neon"})}
"""Instructions that each library uses, the fastest library first."""


def prebuilt_library(instructions: Set[str]) -> Path | None:
    """Return the fastest library that uses only these instructions; None if there is none."""
    names = [name for name, needed in _NEEDED.items() if needed <= instructions]
    paths = [FOLDER / f"kernels-{name}{suffix()}" for name in names]
    return next((path for path in paths if path.is_file()), None)
