"""Tests of the compiled kernels, which machines without a compiler skip."""

import pytest

needs_compiler = pytest.mark.skipif(
    "compiler.library() is None", reason="no C++ compiler on this machine"
)
"""The condition is a text, so that collecting tests waits for no compiler."""
