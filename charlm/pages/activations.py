"""Write the page of `charlm activations`: a passage coloured by any unit of a network."""

from base64 import b64encode
from typing import Any

import numpy as np

from charlm.analysis.activations import Activations, passage_states
from charlm.models.language_model import LanguageModel
from charlm.pages.page import render
from charlm.pages.shown_characters import shown

_MOST_NUMBERS = 2_000_000
"""Limit for units × characters of the passage: a byte each."""
_MOST_CHARACTERS = 10_000
_STEPS = 127
"""A unit's largest magnitude in the passage is stored as this."""


def activations_page(found: Activations, network: LanguageModel) -> str:
    """Return the page as HTML: a passage that begins the half in which no unit was chosen."""
    half, length = len(found.text) // 2, _MOST_NUMBERS // len(found.units)
    start = found.text.find("\n", half, half + 1000) + 1 or half
    start = start if start < len(found.text) else half
    end = min(len(found.text), start + max(1, min(length, _MOST_CHARACTERS)))
    states = passage_states(found, network, start, end)
    return render(
        "activations.html",
        styles=("activations.css",),
        scripts=("activations.js",),
        data={"activations": _data(found, states, found.text[start:end])},
        name=found.name,
        followers=[
            {
                "feature": one.feature,
                "unit": str(one.unit),
                "index": found.units.index(one.unit),
                "found": _signed(one.found),
                "unseen": "" if one.unseen is None else _signed(one.unseen),
            }
            for one in found.followers
        ],
        num_units=f"{len(found.units):,}",
        characters=f"{len(found.text):,}",
        first=f"{start + 1:,}",
        last=f"{end:,}",
    )


def _data(found: Activations, states: np.ndarray, passage: str) -> dict[str, Any]:
    """Return the passage, the units, and their values as signed bytes, a unit after the other."""
    largest = np.abs(states).max(axis=0)
    steps = np.rint(states / np.where(largest > 0, largest, 1) * _STEPS).astype(np.int8)
    return {
        "characters": [shown(one) + "\n" * (one == "\n") for one in passage],
        "units": found.units,
        "largest": [round(one, 4) for one in largest.tolist()],
        "steps": _STEPS,
        "values": b64encode(np.ascontiguousarray(steps.T).tobytes()).decode(),
    }


def _signed(number: float) -> str:
    return f"{number:+.3f}".replace("-", "−")
