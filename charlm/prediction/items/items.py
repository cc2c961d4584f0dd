"""Generate items of a list: whole and, on request, new, different and of a given form."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Unpack

import numpy as np

from charlm.config.sections.generation import GenerationSettings
from charlm.config.settings import TextPaths
from charlm.corpus.decoding import as_read
from charlm.corpus.vocabulary import Ids, bytes_of
from charlm.errors import CharlmError
from charlm.formatting import count
from charlm.prediction.generation import encode_prefix, generation_config, random_seed
from charlm.prediction.items.constraint import LONGEST_ITEM, Constraint, ItemSettings
from charlm.prediction.items.counts import ItemCounts
from charlm.prediction.items.digests import DigestSet, digest_of
from charlm.prediction.items.draws import Draws
from charlm.prediction.items.known import known_items
from charlm.prediction.items.start import boundary_of, item_start, separator_of
from charlm.prediction.predictor import Predictor

LEAST_YIELD = 1 / 1000
"""Share of draws that fit the constraint, below which characters are masked."""
_TRIAL_DRAWS = 10_000
"""Number of draws before the share is looked at."""
_MOST_VAIN_DRAWS = 10_000
"""Number of draws in a row without an item, after which no further one is expected."""
_MEASURED_DRAWS = 1000
"""Number of draws without conditions whose longest is the limit of a masked item."""
_NARROW, _WIDE = 32, 256
"""Number of items that are drawn side by side, for few items and for many."""


class Items:
    """Iterator of generated items; `counts` says what was drawn so far."""

    def __init__(
        self,
        predictor: Predictor,
        number: int,
        prefix: Ids,
        settings: ItemSettings,
        known: DigestSet | None,
        seed: int,
        sampling: GenerationSettings,
    ) -> None:
        """Prepare; the items of `known` are left out. Raises `CharlmError`."""
        self.number, self.settings, self.seed = number, settings, seed
        self.counts = ItemCounts(new=None if known is None else 0)
        self._predictor, self._known, self._seen = predictor, known, DigestSet()
        boundary, self.separator = boundary_of(predictor), separator_of(predictor)
        self._constraint = Constraint(settings, prefix, predictor.vocabulary, boundary)
        self._config = generation_config(predictor, sampling)
        self._start = item_start(predictor, prefix, boundary)
        self.vain_draws = 0
        """Number of draws since the last item."""
        self._ids = self._generate()

    def __repr__(self) -> str:
        return f"Items({self.counts.items:,} of {count(self.number, 'item')}, seed {self.seed})"

    def __iter__(self) -> Iterator[str]:
        return map(self._predictor.vocabulary.decode, self._ids)

    def __next__(self) -> str:
        return self._predictor.vocabulary.decode(next(self._ids))

    def each_ids(self) -> Iterator[Ids]:
        """Return an iterator of the ids of each item."""
        return self._ids

    @property
    def is_exhausted(self) -> bool:
        """Whether it ended because nothing more was found."""
        return self.vain_draws >= _MOST_VAIN_DRAWS

    def _generate(self) -> Iterator[Ids]:
        counts, draws = self.counts, iter(self._draws(self._constraint))
        while counts.items < self.number and not self.is_exhausted:
            for item in self._chosen(next(draws)):
                counts.items += 1
                counts.masked_items += counts.is_masked
                yield item
            is_rare = counts.matching < LEAST_YIELD * counts.drawn
            if is_rare and counts.drawn >= _TRIAL_DRAWS and not counts.is_masked:
                counts.is_masked = self._constraint.can_mask
                if counts.is_masked:
                    draws, self.vain_draws = iter(self._masked()), 0

    def _masked(self) -> Draws:
        """Return masked draws: not longer than the model's own, unless the conditions need it.

        Without a limit, a masked item that has to end in a rare way goes on for long before it
        does.
        """
        settings = self.settings
        if settings.max_length == LONGEST_ITEM:
            free = ItemSettings(min_length=0)
            lengths = [len(self._constraint.prefix)]
            for batch in self._draws(self._constraint_of(free)):
                lengths += [len(item) for item in batch if item is not None]
                if len(lengths) > _MEASURED_DRAWS:
                    break
            longest = max(self._constraint.least_length, *lengths[: _MEASURED_DRAWS + 1])
            settings = replace(settings, max_length=longest)
        return self._draws(self._constraint_of(settings), is_masked=True)

    def _constraint_of(self, settings: ItemSettings) -> Constraint:
        boundary = self._constraint.boundary
        return Constraint(settings, self._constraint.prefix, self._predictor.vocabulary, boundary)

    def _draws(self, constraint: Constraint, is_masked: bool = False) -> Draws:
        return Draws(
            self._predictor.model,
            self._start,
            self._config,
            constraint,
            self.seed,
            width=_WIDE if self.number > _NARROW else _NARROW,
            forbidden=self._predictor.vocabulary.unknown_id,
            first=self.counts.drawn,
            is_masked=is_masked,
        )

    def _chosen(self, batch: list[np.ndarray | None]) -> list[np.ndarray]:
        """Return the items among the next draws, and count up to the last one that is needed."""
        places = np.array([place for place, item in enumerate(batch) if item is not None], int)
        items = [item for item in batch if item is not None]
        digests = digest_of(items)
        is_first = self._seen.add(digests)
        is_new = np.ones(len(items), bool)
        if self._known is not None:
            is_new = ~self._known.contains(digests)
        is_chosen = is_new & is_first if self.settings.unique else is_new
        chosen = np.flatnonzero(is_chosen)[: self.number - self.counts.items]
        num_drawn, num_items = len(batch), len(items)
        if len(chosen) == self.number - self.counts.items:
            num_drawn, num_items = int(places[chosen[-1]]) + 1, int(chosen[-1]) + 1
        self.counts.drawn += num_drawn
        self.counts.matching += num_items
        self.counts.unique += int(is_first[:num_items].sum())
        if self.counts.new is not None:
            self.counts.new += int(is_new[:num_items].sum())
        last = int(places[chosen[-1]]) + 1 if len(chosen) else -self.vain_draws
        self.vain_draws = num_drawn - last
        return [items[place] for place in chosen.tolist()]


def generate_items(
    predictor: Predictor,
    number: int = 1,
    *,
    prefix: str | bytes | Ids = "",
    suffix: str = "",
    match: str | None = None,
    min_length: int = 1,
    max_length: int = LONGEST_ITEM,
    new: bool = False,
    not_in: TextPaths = (),
    unique: bool = False,
    seed: int | None = None,
    training_text: TextPaths = (),
    **sampling: Unpack[GenerationSettings],
) -> Items:
    """Generate whole items of a list, such as names: records, or lines of running text.

    They begin with `prefix`, end with `suffix`, and match the regular expression `match` as a
    whole, as in `re.fullmatch`. With `new`, neither the training text nor the files `not_in`
    contain them; with `unique` each is different. They are distributed as the model's own, given
    these conditions, as long as 1 draw in 1,000 fits; below that, characters that cannot fit are
    masked, which gives another distribution (`counts.masked_items`). The iterator ends early if
    10,000 draws in a row give no item (`is_exhausted`). `sampling` and `seed` are those of
    `generate`; `training_text` is the path of the training text if it has moved.

    Raises `CharlmError` for conditions that no item can fulfil, and `CorpusError` if the training
    text is missing or has changed.
    """
    if number < 1:
        raise CharlmError(f"the number of items is {number}; it should be at least 1")
    if sampling.get("length") is not None:
        raise CharlmError("items end by themselves; set max_length instead of length")
    suffix = as_read(suffix, predictor.config.corpus)
    if isinstance(prefix, str | bytes):
        data = bytes_of(prefix) if isinstance(prefix, str) else prefix
        prefix = encode_prefix(predictor, data)
    settings = ItemSettings(suffix, match, min_length, max_length, unique)
    known = known_items(predictor, training_text, not_in, with_training_text=new)
    seed = random_seed() if seed is None else seed % 2**63
    return Items(predictor, number, prefix, settings, known, seed, sampling)
