"""Compare the items that a model of records draws with the records that it has learnt from.

The shares are those of the MOSES benchmark (Polykovskiy and others, "Molecular Sets", 2020): valid
items, different ones among these, and new ones among the different. Real items lie close to others
of their kind, too, so the nearest training items are also found for the held-out split.
"""

import re
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Unpack

import numpy as np
from rapidfuzz.distance import Levenshtein
from rapidfuzz.process import cdist

from charlm.analysis.item_verdict import ItemShares, verdict_of_items
from charlm.config.sections.generation import GenerationSettings
from charlm.config.settings import TextPaths
from charlm.corpus.builder import encode_files
from charlm.corpus.corpus import Split
from charlm.corpus.provenance import name_of
from charlm.corpus.vocabulary import Ids, Vocabulary
from charlm.errors import CorpusError, memory_errors
from charlm.prediction.generation import generation_config
from charlm.prediction.items.items import generate_items
from charlm.prediction.patterns.parsing import parse
from charlm.prediction.predictor import Predictor
from charlm.prediction.scored_text import held_out_split
from charlm.runs.training_text import listed, searched_corpus

GENERATED_ITEMS = 1000
"""Number of items that are generated if there are none to compare."""
_COMPARED_CHARACTERS = 1 << 29
"""Product of the characters of both sides that are compared, which limits how many items are."""
_LEAST_COMPARED, _MOST_COMPARED = 20, 200
"""Numbers of items whose nearest training items are searched."""


@dataclass(frozen=True)
class NearestItem:
    """An item, and the training item with the smallest edit distance (Levenshtein, 1966)."""

    text: str
    nearest: str
    distance: int

    def to_json(self) -> dict[str, Any]:
        """Return its entries in the output of `--json`."""
        return {"text": self.text, "nearest": self.nearest, "distance": self.distance}


@dataclass(frozen=True)
class ItemOriginality:
    """What items have in common with the training split of a model of records."""

    items: ItemShares
    held_out: ItemShares | None
    """The same of real items that the model has not learnt from, if there are any."""
    nearest: tuple[NearestItem, ...]
    """The nearest training items of the first different items."""
    generation: dict[str, Any]
    """Seed and settings of generated items; empty for others."""

    @property
    def verdict(self) -> str:
        """What the figures say, in words."""
        return verdict_of_items(self.items, self.held_out)

    def to_json(self) -> dict[str, Any]:
        """Return its entries in the output of `--json`."""
        return {
            "items": self.items.to_json(),
            "held_out": None if self.held_out is None else self.held_out.to_json(),
            "nearest": [one.to_json() for one in self.nearest],
            "generation": self.generation or None,
            "verdict": self.verdict,
        }


def item_originality(
    predictor: Predictor,
    text: TextPaths = (),
    *,
    number: int = GENERATED_ITEMS,
    match: str | None = None,
    seed: int | None = None,
    training_text: TextPaths = (),
    **settings: Unpack[GenerationSettings],
) -> ItemOriginality:
    """Find how many items are valid, different and new, and the training items nearest to them.

    `text` names files of items; without it, the model draws `number` items, with `settings` as in
    `generate_items`. Those that match the regular expression `match` are valid; without it, all.
    Raises `CorpusError` if the model is not one of records, or its training text is missing or has
    changed.
    """
    assert predictor.checkpoint is not None, "a model in training has no training text to search"
    pattern = None if match is None else parse(match).matcher
    corpus = searched_corpus(predictor.checkpoint, training_text)
    if corpus.boundary is None:
        raise CorpusError("the model has learnt running text; train one of records (--records)")
    vocabulary, generation = predictor.vocabulary, dict[str, Any]()
    if files := listed(text):
        split = encode_files(files, predictor.config.corpus, vocabulary)
        found, name = _items_of(split, vocabulary), name_of(files)
    else:
        drawn = generate_items(predictor, number, seed=seed, **settings)
        found, name = list(drawn), "generated items"
        used = generation_config(predictor, settings).model_dump(exclude={"prefix", "length"})
        generation = {"seed": drawn.seed, **used}
    known = list(dict.fromkeys(_items_of(corpus.splits["train"], vocabulary)))
    items, nearest = _compare(name, found, known, pattern)
    held_out = None
    if (held_out_name := held_out_split(corpus)) is not None:
        real = _items_of(corpus.splits[held_out_name], vocabulary)
        held_out, _ = _compare(f"{held_out_name} split", real, known, pattern)
    return ItemOriginality(items, held_out, nearest, generation)


def _compare(
    name: str, found: Sequence[str], known: Sequence[str], pattern: re.Pattern[str] | None
) -> tuple[ItemShares, tuple[NearestItem, ...]]:
    valid = [item for item in found if pattern is None or pattern.fullmatch(item)]
    different = list(dict.fromkeys(valid))
    new = set(different).difference(known)
    nearest = _nearest(different, known)
    distances = [one.distance for one in nearest]
    shares = ItemShares(
        name,
        len(found),
        None if pattern is None else _share(len(valid), len(found)),
        _share(len(different), len(valid)),
        _share(len(new), len(different)),
        float(statistics.median(distances)) if distances else None,
    )
    return shares, tuple(nearest)


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _nearest(items: Sequence[str], known: Sequence[str]) -> list[NearestItem]:
    """Find the nearest training items of the first items: as many as take some seconds."""
    mean = sum(map(len, items[:_MOST_COMPARED])) / max(1, len(items[:_MOST_COMPARED]))
    affordable = int(_COMPARED_CHARACTERS / max(1.0, mean * sum(map(len, known))))
    items = items[: min(_MOST_COMPARED, max(_LEAST_COMPARED, affordable))]
    if not items or not known:
        return []
    found = []
    for item in items:  # one row at a time: memory
        with memory_errors("the search takes 4 bytes for each training item", CorpusError):
            distances = cdist([item], known, scorer=Levenshtein.distance, dtype=np.int32)[0]
        place = int(distances.argmin())
        found.append(NearestItem(item, known[place], int(distances[place])))
    return found


def _items_of(split: Split, vocabulary: Vocabulary) -> list[str]:
    """Return the records of a split."""
    ids: Ids = split.ids
    ends = np.flatnonzero(ids == split.boundary).tolist()
    begins = [end + 1 for end in ends[:-1]]
    return [vocabulary.decode(ids[a:b]) for a, b in zip(begins, ends[1:], strict=True)]
