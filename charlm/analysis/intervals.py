"""Give each figure of a score its 95 % interval (see `block_bootstrap`)."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8

from charlm.analysis.block_bootstrap import LEVEL, RESAMPLES, Interval, Resampling
from charlm.corpus.corpus import Split
from charlm.corpus.records import record_ends
from charlm.corpus.vocabulary import NUM_CODE_POINTS, sizes_of
from charlm.prediction.perplexity import Score, perplexity

METHOD, METHOD_OF_RECORDS = "circular block bootstrap", "bootstrap of records"


@dataclass(frozen=True)
class ScoreIntervals:
    """Intervals of the figures of a score, over the choice of the text.

    They say nothing of another seed or a longer training.
    """

    nats_per_character: Interval
    bits_per_byte: Interval
    block_length: int
    """Number of characters that are drawn together; of records, 1."""
    seed: int = 0
    """Random seed of the bootstrap."""
    of_records: bool = False
    """Whether whole records are drawn, which are independent of one another."""

    @property
    def perplexity(self) -> Interval:
        return self.nats_per_character.map(perplexity)

    @property
    def bits_per_character(self) -> Interval:
        return self.nats_per_character.map(lambda nats: nats / math.log(2))

    def to_json(self) -> dict[str, Any]:
        """Return the intervals by the names of the figures, and how they were computed.

        An end that is not finite becomes null.
        """
        names = "nats_per_character", "perplexity", "bits_per_character", "bits_per_byte"
        ends = {name: list[float](getattr(self, name)) for name in names}
        return {
            "level": LEVEL,
            "method": METHOD_OF_RECORDS if self.of_records else METHOD,
            "block_length": self.block_length,
            "resamples": RESAMPLES,
            "seed": self.seed,
            **{name: [x if math.isfinite(x) else None for x in ends[name]] for name in ends},
        }


def score_intervals(
    score: Score, nats: Float[np.ndarray, " predictions"], split: Split, seed: int = 0
) -> tuple[ScoreIntervals | None, str]:
    """Return the intervals of a score of a whole text from the nats of each character.

    None, with the reason in words, for a text that is too short for them. Takes 18 bytes a
    character at most.
    """
    if len(nats) < 2:
        return None, "too short for an interval"
    sizes, costs = bytes_and_bits(nats, split)
    if split.boundary is not None:
        return _intervals_of_records(score, nats, sizes, costs, split, seed)
    resampling = Resampling.of(nats, seed)
    if resampling.lack:
        return None, resampling.lack
    means, mean_bits, mean_bytes = resampling.means(nats, costs, sizes)
    intervals = ScoreIntervals(
        _loss_interval(resampling, score.nats_per_character, means),
        _loss_interval(resampling, score.bits_per_byte, mean_bits / mean_bytes),
        resampling.block_length,
        seed,
    )
    return intervals, ""


def _intervals_of_records(
    score: Score,
    nats: Float[np.ndarray, " predictions"],
    sizes: UInt8[np.ndarray, " predictions"],
    costs: Float[np.ndarray, " predictions"],
    split: Split,
    seed: int,
) -> tuple[ScoreIntervals | None, str]:
    """Return the intervals of a score by drawing whole records."""
    assert split.boundary is not None, "the split has records"
    begins = np.append(0, record_ends(split.ids, split.boundary)[:-1])  # of their predictions
    resampling = Resampling.of_records(len(begins), seed)
    if resampling.lack:
        return None, resampling.lack
    lengths = np.diff(np.append(begins, len(nats)))
    sums = (np.add.reduceat(one, begins, dtype=np.float64) for one in (nats, costs, sizes))
    mean_nats, mean_bits, mean_bytes, mean_length = resampling.means(*sums, lengths)
    intervals = ScoreIntervals(
        _loss_interval(resampling, score.nats_per_character, mean_nats / mean_length),
        _loss_interval(resampling, score.bits_per_byte, mean_bits / mean_bytes),
        resampling.block_length,
        seed,
        of_records=True,
    )
    return intervals, ""


def _loss_interval(
    resampling: Resampling, loss: float, resampled: Float[np.ndarray, " resamples"]
) -> Interval:
    """Return the interval of a mean loss, which cannot be negative."""
    return resampling.interval(loss, resampled).map(lambda end: max(0.0, end))


def bytes_and_bits(
    nats: Float[np.ndarray, " predictions"], split: Split
) -> tuple[UInt8[np.ndarray, " predictions"], Float[np.ndarray, " predictions"]]:
    """Return the bytes of each predicted character, and the bits that it costs.

    An unknown character also costs the bits that tell it from all code points.
    """
    unknown = split.unknown[split.unknown["place"] > 0]
    sizes = split.sizes[split.ids[1:]]
    sizes[unknown["place"] - 1] = sizes_of(unknown["code"], "character")
    bits = nats / nats.dtype.type(math.log(2))
    bits[unknown["place"] - 1] += math.log2(NUM_CODE_POINTS)
    return sizes, bits
