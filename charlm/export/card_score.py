"""Find the score of a network for its model card."""

import math
from contextlib import suppress
from dataclasses import dataclass

from charlm.analysis.block_bootstrap import Interval
from charlm.analysis.intervals import score_intervals
from charlm.errors import CharlmError, CorpusError
from charlm.export.exported import Exported
from charlm.prediction.evaluation import evaluate_text, find_text
from charlm.prediction.perplexity import perplexity
from charlm.prediction.predictor import Predictor
from charlm.runs.listed_score import final_score
from charlm.runs.starts import read_starts

_LIMIT_CHARACTERS = 250_000
"""A longer held-out split is not scored for the card; the score of the run stands there."""


@dataclass(frozen=True)
class CardScore:
    """The score of a network on the held-out split of its training text."""

    split: str
    bits_per_character: float
    characters: int | None
    protocol: str
    interval: Interval | None = None
    """95 % interval of the bits per character."""

    @property
    def perplexity(self) -> float:
        return perplexity(self.bits_per_character * math.log(2))

    def rows(self, unit: str) -> list[tuple[str, str]]:
        """Return names and values for a table."""
        interval = "not known"
        if self.interval is not None:
            bits = "{:.4f} to {:.4f}".format(*self.interval)
            ends = self.interval.map(lambda bits: perplexity(bits * math.log(2)))
            interval = "{} bits, perplexity {:.4f} to {:.4f}".format(bits, *ends)
        rows = [
            ("text", f"the {self.split} split of the training text"),
            (f"bits per {unit}", f"{self.bits_per_character:.4f}"),
            (f"perplexity per {unit}", f"{self.perplexity:.4f}"),
            ("95 % interval", interval),
            ("protocol", self.protocol),
        ]
        if self.characters is not None:
            rows.insert(1, (f"{unit}s scored", f"{self.characters:,}"))
        return rows


def find_score(exported: Exported) -> CardScore | None:
    """Return the score of the held-out split of the training text, if it can be known.

    It is that of `charlm eval`, with its interval, if the text is where it was and the split is
    short; otherwise that in the run folder of the checkpoint.
    """
    return _evaluated(exported) or _recorded(exported)


def _evaluated(exported: Exported) -> CardScore | None:
    """Score the held-out split; None if the text is missing, has no such split, or it is long."""
    checkpoint = exported.checkpoint
    predictor = Predictor(
        exported.network, checkpoint.vocabulary, checkpoint.config, checkpoint, exported.path
    )
    with suppress(CorpusError):
        if len(find_text(predictor).split) <= _LIMIT_CHARACTERS:
            text, score, nats, _ = evaluate_text(predictor)
            intervals, _ = score_intervals(score, nats, text.split)
            return CardScore(
                text.name,
                score.bits_per_character,
                score.characters,
                score.protocol,
                intervals.bits_per_character if intervals else None,
            )
    return None


def _recorded(exported: Exported) -> CardScore | None:
    """Return the score in the run folder of the checkpoint, if it has one."""
    run = exported.path.parent.parent
    if exported.path.parent.name != "checkpoints":
        return None
    with suppress(CharlmError):
        for start in reversed(read_starts(run / "environment.json")):
            if score := final_score(start):
                notes = ["approximate"] * score.is_approximate + ["a sample"] * score.is_partial
                protocol = ", ".join([*notes, "scored at the end of training"])
                return CardScore(score.split, score.bits_per_character, score.characters, protocol)
    return None
