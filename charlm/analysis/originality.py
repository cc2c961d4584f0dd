"""Compare a text with the training text of a model: what it copies, and whether that is ordinary.

Real text shares spans with other text of its kind, too. So the held-out split is compared with the
training split in the same way.
"""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from html import escape
from typing import Any, Unpack

import numpy as np

from charlm.analysis.copying import Matches, covered, longest_matches, longest_spans
from charlm.analysis.copying_verdict import SPAN_LENGTHS, Copying, verdict_of
from charlm.analysis.span_places import MOST_SPANS, CopiedSpan, copied_spans, ids_of, starts_of
from charlm.config.sections.generation import GenerationSettings
from charlm.config.settings import TextPaths
from charlm.corpus.builder import encode_files
from charlm.corpus.corpus import Corpus
from charlm.corpus.file_starts import FileStart
from charlm.corpus.provenance import LEARNT, name_of
from charlm.corpus.vocabulary import Ids
from charlm.errors import CorpusError, memory_errors
from charlm.formatting import count, html_table, shorten
from charlm.prediction.generation import generate_bytes, generation_config
from charlm.prediction.predictor import Predictor
from charlm.prediction.scored_text import held_out_split
from charlm.runs.training_text import listed, searched_corpus, with_paths

GENERATED_CHARACTERS = 20_000
"""Number of characters that are generated if there is no text to compare."""
_MOST_HELD_OUT_CHARACTERS = 1_000_000


@dataclass(frozen=True, repr=False)
class Originality:
    """What a text has in common with the training split of a model."""

    text: Copying
    held_out: Copying | None
    """The same figures for real text that the model has not learnt from, if there is any."""
    spans: tuple[CopiedSpan, ...]
    """The longest spans, without overlaps."""
    generation: dict[str, Any]
    """Seed and settings of a generated text; empty for another text."""
    unsearched: tuple[str, ...] = ()
    """Names of other texts that the model has learnt from, in which nothing was searched."""

    @property
    def verdict(self) -> str:
        """What the figures say, in words."""
        return verdict_of(self.text, self.held_out)

    def __repr__(self) -> str:
        return f"Originality({self.text}; {self.verdict})"

    def _repr_html_(self) -> str:
        """Return the table that a notebook shows."""
        spans = [
            (count(span.length, "character"), shorten(span.text))
            for span in self.spans
            if span.length >= SPAN_LENGTHS[0]
        ]
        figures = [(one.name, str(one)) for one in (self.text, self.held_out) if one is not None]
        return f"{html_table([*figures, *spans])}<p>{escape(self.verdict)}</p>"

    def to_json(self) -> dict[str, Any]:
        """Return its entries in the output of `--json`."""
        return {
            "text": self.text.to_json(),
            "held_out": None if self.held_out is None else self.held_out.to_json(),
            "spans": [span.to_json() for span in self.spans],
            "generation": self.generation or None,
            "unsearched": list(self.unsearched),
            "verdict": self.verdict,
        }


def originality(
    predictor: Predictor,
    text: TextPaths = (),
    *,
    seed: int | None = None,
    training_text: TextPaths = (),
    **settings: Unpack[GenerationSettings],
) -> Originality:
    """Find what a text has in common with the training split of a model.

    `text` names files; without it, the model generates 20,000 characters, with `settings` as in
    `generate`. `training_text` is the path of the training text if it has moved. Unknown characters
    equal nothing. Raises `CorpusError` if the training text is missing or has changed.
    """
    assert predictor.checkpoint is not None, "a model in training has no training text to search"
    corpus = searched_corpus(predictor.checkpoint, training_text)
    generation: dict[str, Any] = {}
    if files := listed(text):
        ids = encode_files(files, predictor.config.corpus, predictor.vocabulary).ids
        name = name_of(files)
    else:
        seed = secrets.randbits(31) if seed is None else seed
        length = settings.get("length") or GENERATED_CHARACTERS
        chosen: GenerationSettings = {**settings, "length": length}
        pieces = generate_bytes(predictor, seed=seed, **chosen)
        ids, name = ids_of(b"".join(pieces), predictor.vocabulary), "generated text"
        used = generation_config(predictor, chosen).model_dump(exclude={"prefix"})
        generation = {"seed": seed, **used}
    moved = with_paths(predictor.checkpoint, listed(training_text)) or predictor.checkpoint
    result = compare(corpus, ids, name, starts_of(corpus, moved.config.corpus))
    others = [
        record.name
        for record in predictor.checkpoint.provenance
        if record.use in LEARNT and (record.through or record.use != LEARNT[0])
    ]
    return replace(result, generation=generation, unsearched=tuple(dict.fromkeys(others)))


def compare(corpus: Corpus, ids: Ids, name: str, starts: Sequence[FileStart] = ()) -> Originality:
    """Compare ids, and the held-out split, with the training split of a corpus.

    `starts` has where each file of the training text begins.
    """
    vocabulary, training = corpus.vocabulary, corpus.splits["train"].ids
    held_out_name = held_out_split(corpus)
    held_out = corpus.splits[held_out_name].ids if held_out_name is not None else training[:0]
    held_out = held_out[:_MOST_HELD_OUT_CHARACTERS]
    outside = np.array([len(vocabulary)], np.uint32)  # no id, so no span crosses it
    query = np.concatenate([ids, outside, held_out])
    with memory_errors("the search takes 12 bytes a character of the training text", CorpusError):
        found = longest_matches(training, query, vocabulary.unknown_id)
    first = Matches(found.lengths[: len(ids)], found.places[: len(ids)])
    return Originality(
        _copying(name, first.lengths),
        _copying(f"{held_out_name} split", found.lengths[len(ids) + 1 :])
        if held_out_name
        else None,
        copied_spans(corpus, ids, longest_spans(first, 2 * MOST_SPANS), starts),
        {},
    )


def _copying(name: str, lengths: np.ndarray) -> Copying:
    shares = {
        least: float(covered(lengths, least).mean()) if len(lengths) else 0.0
        for least in SPAN_LENGTHS
    }
    return Copying(name, len(lengths), int(lengths.max(initial=0)), shares)
