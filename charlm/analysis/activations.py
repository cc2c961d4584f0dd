"""Find units of a network that follow nameable features of a text (see `features`).

For each unit and feature, the correlation is computed from running sums, on each half of the text
by itself. The unit of a feature is the one with the strongest correlation on the first half; the
correlation on the second half, which the choice has not seen, is the result. Memory does not grow
with the number of units times characters.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float32, Float64, Int64

from charlm.analysis.analysed_text import characters_of
from charlm.analysis.correlations import HalfSums
from charlm.analysis.features import features_of
from charlm.config.settings import TextPaths
from charlm.corpus.corpus import SplitName
from charlm.corpus.vocabulary import Ids
from charlm.errors import CharlmError, CorpusError
from charlm.formatting import count, html_table
from charlm.kernels.threads import only_kernels_share
from charlm.models.ensemble import Ensemble
from charlm.models.language_model import LanguageModel
from charlm.models.units import Unit, read_units, units_of
from charlm.prediction.evaluation import find_text
from charlm.prediction.predictor import Predictor
from charlm.prediction.reading import WARM_UP, evaluating, zero_first_stream

FEWEST_CHARACTERS = 100
_MOST_STREAMS = 256
_SHORTEST_STREAM = 10 * WARM_UP
"""A long text is read in streams; each but the first has `WARM_UP` characters of context."""
_STATES_AT_ONCE = 1 << 12
"""States (streams × steps) in memory; it does not change the result."""


@dataclass(frozen=True)
class Follower:
    """The unit that follows a feature best."""

    feature: str
    unit: Unit
    found: float
    """Correlation on the first half of the text, on which the unit was chosen."""
    unseen: float | None
    """Correlation on the second half; None if the unit or the feature does not vary there."""

    def to_json(self) -> dict[str, Any]:
        """Return its entries in the output of `--json`."""
        return {"feature": self.feature, **self.unit._asdict()} | {
            "found": self.found,
            "unseen": self.unseen,
        }


@dataclass(frozen=True, repr=False)
class Activations:
    """What the units of a network follow in a text."""

    name: str
    """The text."""
    text: str
    ids: Ids
    last_ids: Int64[np.ndarray, " characters"]
    """Position of the last id of each character."""
    units: tuple[Unit, ...]
    features: tuple[str, ...]
    correlations: Float64[np.ndarray, "halves units features"]
    """NaN where a unit or a feature does not vary."""
    streams: int

    @property
    def followers(self) -> tuple[Follower, ...]:
        """The best unit of each feature, the strongest correlation on the second half first."""
        found = np.nan_to_num(self.correlations[0])
        best = np.abs(found).argmax(axis=0).tolist()
        followers = [
            Follower(
                feature,
                self.units[unit],
                float(found[unit, place]),
                _number(self.correlations[1, unit, place]),
            )
            for place, (feature, unit) in enumerate(zip(self.features, best, strict=True))
            if found[unit, place]
        ]
        return tuple(sorted(followers, key=lambda one: -abs(one.unseen or 0)))

    def __repr__(self) -> str:
        best = [f"{one.feature}: {one.unit}, {one.unseen or 0:+.2f}" for one in self.followers[:3]]
        return f"Activations({'; '.join(best)}; {count(len(self.text), 'character')}: {self.name})"

    def _repr_html_(self) -> str:
        """Return the table that a notebook shows: correlations on the unseen half."""
        return html_table(
            [
                (one.feature, f"{one.unit}, {one.found if one.unseen is None else one.unseen:+.3f}")
                for one in self.followers
            ]
        )

    def rows(self) -> Iterator[tuple[str, int, str, int, float | None, float | None]]:
        """Yield each feature and unit with the correlations on both halves."""
        for place, feature in enumerate(self.features):
            for unit, (found, unseen) in zip(
                self.units, self.correlations[:, :, place].T.tolist(), strict=True
            ):
                yield feature, *unit, _number(found), _number(unseen)

    def to_json(self) -> dict[str, Any]:
        """Return its entries in the output of `--json`."""
        return {
            "text": self.name,
            "characters": len(self.text),
            "units": len(self.units),
            "streams": self.streams,
            "features": [one.to_json() for one in self.followers],
        }


def activations(
    predictor: Predictor,
    text: TextPaths = (),
    split: SplitName | None = None,
    member: int | None = None,
) -> Activations:
    """Correlate each unit of a network with each feature of files, or of a split.

    `member` is the network of an ensemble, from 1 on. Raises `CorpusError` for a text too short to
    be halved, and `CharlmError` for a member that there is not.
    """
    network = network_of(predictor, member)
    scored = find_text(predictor, text, split)
    ids, (shown, starts) = scored.split.ids, characters_of(scored.split, predictor.vocabulary)
    if scored.split.boundary is not None:  # before the first record: in no file
        shown, starts = shown[1:], starts[1:]
    if len(shown) < FEWEST_CHARACTERS:
        raise CorpusError(
            f"{scored.name}: a text of {count(len(shown), 'character')} is too short to search one "
            f"half and test on the other; give {FEWEST_CHARACTERS} characters or more"
        )
    last_ids = np.append(starts[1:], len(ids)) - 1
    named = dict(features_of(shown))
    if not named:
        raise CorpusError(f"{scored.name}: none of the features varies in it; give another text")
    sums = HalfSums(len(shown) // 2, tuple(named.values()))
    streams = max(1, min(_MOST_STREAMS, len(ids) // _SHORTEST_STREAM))
    for places, states in states_of(network, ids, streams):
        chosen = np.searchsorted(last_ids, places)
        is_last = last_ids[np.minimum(chosen, len(last_ids) - 1)] == places
        sums.add(chosen[is_last], states[is_last])
    name = f"{scored.name} split" if scored.corpus is not None else scored.name
    correlations = sums.correlations(name)
    return Activations(
        name, shown, ids, last_ids, units_of(network), (*named,), correlations, streams
    )


def passage_states(
    found: Activations, network: LanguageModel, start: int, end: int
) -> Float32[np.ndarray, "characters units"]:
    """Return the units after each character from `start` to `end`, with context before them."""
    places = found.last_ids[start:end]
    first = max(0, int(places[0]) - WARM_UP)
    read = [states for _, states in states_of(network, found.ids[first : int(places[-1]) + 1])]
    chosen: np.ndarray = np.concatenate(read)[places - first]
    return chosen


def network_of(predictor: Predictor, member: int | None) -> LanguageModel:
    """Return the network, or a member of an ensemble, which must be named."""
    model = predictor.model
    if not isinstance(model, Ensemble):
        if member not in (None, 1):
            raise CharlmError("this model is a single network; omit --member")
        return model
    size = len(model.members)
    if member is None and size > 1:
        raise CharlmError(f"an ensemble has no units of its own; choose --member 1 to {size}")
    if not 1 <= (member or 1) <= size:
        raise CharlmError(f"--member {member}: the ensemble has {count(size, 'member')}")
    return model.members[(member or 1) - 1]


def states_of(
    network: LanguageModel, ids: Ids, rows: int = 1
) -> Iterator[tuple[Int64[np.ndarray, " states"], Float32[np.ndarray, "states units"]]]:
    """Yield the units after each id, with its place in the text, some thousand at a time.

    The text is read in `rows` streams, of which each but the first has `WARM_UP` characters of
    context.
    """
    size, length = len(ids), -(-len(ids) // rows)
    starts = np.arange(rows) * length
    steps = max(1, _STATES_AT_ONCE // rows)
    state = network.initial_state(rows)

    @torch.inference_mode()
    def read(begin: int, end: int) -> tuple[np.ndarray, np.ndarray]:
        nonlocal state
        places = starts + np.arange(begin, end)[:, None]
        inputs = torch.from_numpy(ids[np.clip(places, 0, size - 1)].astype(np.int64))
        with only_kernels_share():  # a step is too little work to divide among threads
            units, state = read_units(network, inputs.to(network.device), state)
        is_read = places < size
        return places[is_read], units.float().cpu().numpy()[is_read]

    with evaluating(network):
        if rows > 1:
            for begin in range(-WARM_UP, 0, steps):
                read(begin, min(begin + steps, 0))
            state = zero_first_stream(state)
        for begin in range(0, length, steps):
            yield read(begin, min(begin + steps, length))


def _number(number: float) -> float | None:
    return None if np.isnan(number) else float(number)
