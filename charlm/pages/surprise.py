"""Write the page of `charlm surprise`: a text to explore, with what was expected at each character.

The columns of the characters are quantised and deflated, as the page may hold a million of them;
the browser inflates them.
"""

import math
import zlib
from base64 import b64encode
from typing import Any

import numpy as np

from charlm.analysis.surprise import LEVELS, Surprise
from charlm.corpus.vocabulary import code_points
from charlm.pages.page import render
from charlm.pages.shown_characters import shown

SCRIPTS = (
    *("surprise_data.js", "surprise_lines.js", "surprise_text.js", "surprise_details.js"),
    "surprise.js",
)
"""The scripts of the page; the last one begins."""
STEPS = 40
"""A number of bits is stored as its square root, in steps of 1/40: precise near 0, up to 40."""
_MEASURES = {"bits": (*LEVELS, 12.0), "rank": (2, 4, 11, 31), "entropy": (1, 2, 3, 4)}
"""Where the levels of colour begin, for each measure."""


def surprise_page(surprise: Surprise) -> str:
    """Return the page of a text as HTML."""
    text = surprise.analysed
    score = text.score
    length = len(text) - text.first
    return render(
        "surprise.html",
        styles=("surprise.css",),
        scripts=SCRIPTS,
        data={"surprise": _data(surprise)},
        name=surprise.name,
        bits=f"{score.bits_per_character:.4f}",
        unit=text.vocabulary.unit,
        characters=f"{length:,}",
        unknown=f"{score.unknown_characters:,}" if score.unknown_characters else "",
        protocol=score.protocol,
    )


def quantised(bits: np.ndarray) -> np.ndarray:
    """Return numbers of bits as bytes: their square roots in steps of 1/40."""
    roots = np.sqrt(np.maximum(bits, 0)) * STEPS
    steps: np.ndarray = np.minimum(np.rint(roots), 255).astype(np.uint8)
    return steps


def _data(surprise: Surprise) -> dict[str, Any]:
    """Return the columns of all characters, and the tables that they refer to."""
    text, first = surprise.analysed, surprise.analysed.first
    points, characters = np.unique(code_points(text.text[first:]), return_inverse=True)
    ids, likeliest = np.unique(text.likeliest[first:], return_inverse=True)
    likeliest = likeliest.reshape(-1, text.likeliest.shape[1])
    probabilities, ranks = text.probabilities[first:].astype(np.float64), text.ranks[first:]
    shares = quantised(-np.log2(np.maximum(probabilities, 1e-30)))
    columns = {
        "characters": _narrow(characters),
        "ranks": _narrow(np.minimum(ranks, 65_535)),
        "bits": quantised(text.bits[first:]) - _known_bits(ranks, shares),
        "entropies": quantised(text.entropies[first:] / math.log(2)),
        "likeliest": _narrow(likeliest.T),  # a column after the other deflates better
        "shares": np.diff(shares, axis=1, prepend=np.uint8(0)).T,
    }
    deflate = zlib.compressobj(strategy=zlib.Z_FILTERED)
    packed = b"".join(deflate.compress(column.tobytes()) for column in columns.values())
    symbols = [chr(point) for point in points.tolist()]
    expected = [surprise.symbols[one] for one in ids.tolist()]
    return {
        "size": len(characters),
        "predictedFrom": 1 - first,
        "steps": STEPS,
        "measures": _MEASURES,
        "widths": [[name, column.dtype.itemsize] for name, column in columns.items()],
        "numLikeliest": text.likeliest.shape[1],
        "symbols": symbols,
        "unknown": sorted({*characters[text.is_unknown[first:]].tolist()}),
        "shown": [shown(symbol) for symbol in symbols],
        "expected": [symbol if len(symbol) > 1 else shown(symbol) for symbol in expected],
        "columns": b64encode(packed + deflate.flush()).decode(),
    }


def _known_bits(ranks: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """Return the quantised bits that follow from rank and shares: those of a likely character.

    The page stores only the difference, which is mostly 0.
    """
    width = shares.shape[1]
    is_known = (ranks >= 1) & (ranks <= width)
    chosen = shares[np.arange(len(ranks)), np.clip(ranks, 1, width) - 1]
    return np.where(is_known, chosen, np.uint8(0))


def _narrow(numbers: np.ndarray) -> np.ndarray:
    """Return numbers in the narrowest unsigned type, little-endian."""
    highest = int(numbers.max(initial=0))
    kind = next(one for one in ("u1", "<u2", "<u4") if highest <= np.iinfo(one).max)
    return numbers.astype(kind)
