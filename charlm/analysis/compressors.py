"""Compress a text after its training text: what it adds to the size is what it costs."""

import bz2
import lzma
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from typing import Any

PRIMING_BYTES = 16_000_000
"""Number of bytes of the training text, its last ones, that a compressor reads first."""
_ZLIB_WINDOW_BYTES = 32_768
_BZIP2_BLOCK_BYTES = 900_000
_ZSTD_LEVEL, _ZSTD_WINDOW_LOG = 19, 27


@dataclass(frozen=True)
class Compressor:
    """A compressor, and how far back it looks."""

    compress: Callable[[bytes], bytes]
    window: int | None = None
    """Number of bytes before a place that it uses there; None if it uses all."""
    what: str = ""
    """What limits it."""

    def added_bits(self, training: bytes, text: bytes) -> int:
        """Return by how many bits a text enlarges the compressed training text before it."""
        before = training[-PRIMING_BYTES:]
        return 8 * (len(self.compress(before + text)) - len(self.compress(before)))

    def remark(self, training: bytes) -> str:
        """Return what makes the training text worth less than it could be; "" for nothing."""
        if self.window is not None and self.window < len(training):
            return f"{self.what}; no more of the training text helps it"
        if len(training) > PRIMING_BYTES:
            return f"reads the last {PRIMING_BYTES / 1e6:.0f} MB of the training text"
        return ""


def compressors() -> dict[str, Compressor]:
    """Return the compressors that this Python has, by name."""
    found = {
        "xz": Compressor(lambda text: lzma.compress(text, preset=9)),
        "bzip2": Compressor(
            lambda text: bz2.compress(text, 9), _BZIP2_BLOCK_BYTES, "its blocks have 900 kB"
        ),
        "zlib": Compressor(
            lambda text: zlib.compress(text, 9), _ZLIB_WINDOW_BYTES, "its window has 32 kB"
        ),
    }
    if zstd := _zstd():
        found["zstd"] = Compressor(zstd)
    return found


def _zstd() -> Callable[[bytes], bytes] | None:
    """Return zstd with a window that holds all it reads; None if Python does not have it.

    Python has it from 3.14 on, and before as the package `zstandard`.
    """
    options = {"compression_level": _ZSTD_LEVEL, "window_log": _ZSTD_WINDOW_LOG}
    compress: Callable[[bytes], bytes]
    if zstd := _module("compression.zstd"):
        options |= {"enable_long_distance_matching": 1}
        keys = {getattr(zstd.CompressionParameter, key): value for key, value in options.items()}
        compress = partial(zstd.compress, options=keys)
    elif zstd := _module("zstandard"):
        parameters = zstd.ZstdCompressionParameters(**options, enable_ldm=True)
        compress = zstd.ZstdCompressor(compression_params=parameters).compress
    else:
        return None
    return compress


def _module(name: str) -> Any:
    """Import a module; None where it is not installed."""
    try:
        return import_module(name)
    except ImportError:
        return None
