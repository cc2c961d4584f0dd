"""What an item must be: its length, its beginning, its end, and the pattern that it matches."""

import re
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int64

from charlm.corpus.vocabulary import Ids, Vocabulary
from charlm.errors import CharlmError
from charlm.prediction.patterns.automaton import Automaton
from charlm.prediction.patterns.parsing import parse
from charlm.prediction.patterns.places import NEVER

LONGEST_ITEM = 10_000
"""Number of characters after which a draw is dropped, unless `max_length` says otherwise."""
_MOST_STATES = 50_000
"""Number of states of an automaton above which those in use are numbered anew."""


@dataclass(frozen=True)
class ItemSettings:
    """Conditions on items, in characters (bytes for a byte model)."""

    suffix: str = ""
    match: str | None = None
    """A regular expression of the whole item, as `re.fullmatch` takes it."""
    min_length: int = 1
    max_length: int = LONGEST_ITEM
    unique: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.min_length <= self.max_length:
            raise CharlmError(
                f"--min-length {self.min_length:,} and --max-length {self.max_length:,} allow no "
                "item; the first should be at least 0, and at most the second"
            )


class Constraint:
    """Follow items, character by character, to see what they still lack.

    `states` has a row for each automaton and a column for each item. A byte model has no automata,
    because a pattern is over characters: its whole items are checked.
    """

    def __init__(
        self, settings: ItemSettings, prefix: Ids, vocabulary: Vocabulary, boundary: int
    ) -> None:
        """Prepare the conditions on items that begin with the ids of a prefix.

        Raises `CharlmError` for an invalid pattern, and if no item can fulfil the conditions.
        """
        self.settings, self.prefix, self.boundary = settings, prefix.astype(np.int64), boundary
        self._vocabulary = vocabulary
        self._excluded = np.zeros(len(vocabulary), bool)
        self._excluded[[boundary, *([] if vocabulary.unknown_id is None else [0])]] = True
        patterns = [] if settings.match is None else [settings.match]
        if settings.suffix:
            patterns.append(f"(?s:.*){re.escape(settings.suffix)}")
        self._automata: list[Automaton] = []
        self._patterns: list[re.Pattern[str]] = []
        if vocabulary.unit == "character":
            symbols = vocabulary.decode(range(len(vocabulary)))
            self._automata = [Automaton(pattern, symbols, self._excluded) for pattern in patterns]
        else:
            self._patterns = [parse(pattern).matcher for pattern in patterns]
        if boundary in prefix:
            raise CharlmError("--prefix contains the end of an item; omit what follows it")
        if vocabulary.unknown_id is not None and vocabulary.unknown_id in prefix:
            raise CharlmError("items have no unknown characters; use --unknown skip")
        self.start = self._start()
        length = np.array([len(prefix)])
        self.least_length = int((length + self.missing(self.start[:, None], length))[0])
        """Number of characters of the shortest item, if no condition excludes another."""
        self._check_possible()

    @property
    def can_mask(self) -> bool:
        """Whether something is asked of an item that masking its characters can bring about."""
        has_lengths = self.settings.min_length > 1 or self.settings.max_length < LONGEST_ITEM
        return not self._patterns and (bool(self._automata) or has_lengths)

    def advance(
        self, states: Int64[np.ndarray, "automata columns"], ids: Int64[np.ndarray, " columns"]
    ) -> Int64[np.ndarray, "automata columns"]:
        """Return the states of items after one more character each."""
        rows = zip(self._automata, states, strict=True)
        return _stacked([automaton.advance(row, ids) for automaton, row in rows], states.shape)

    def missing(
        self, states: Int64[np.ndarray, "automata columns"], lengths: Int64[np.ndarray, " columns"]
    ) -> Int64[np.ndarray, " columns"]:
        """Return at least how many characters items lack; 0 for a whole one.

        A condition alone may lack more than this, as several may exclude each other.
        """
        missing: Int64[np.ndarray, " columns"] = np.maximum(0, self.settings.min_length - lengths)
        for automaton, row in zip(self._automata, states, strict=True):
            missing = np.maximum(missing, automaton.missing(row))
        return missing

    def is_hopeless(
        self, states: Int64[np.ndarray, "automata columns"], lengths: Int64[np.ndarray, " columns"]
    ) -> Bool[np.ndarray, " columns"]:
        """Return which beginnings cannot become an item any more."""
        is_hopeless: Bool[np.ndarray, " columns"]
        is_hopeless = lengths + self.missing(states, lengths) > self.settings.max_length
        return is_hopeless

    def allowed(
        self, states: Int64[np.ndarray, "automata columns"], lengths: Int64[np.ndarray, " columns"]
    ) -> Bool[np.ndarray, "columns symbols"]:
        """Return which characters, or the boundary, can follow so that an item can be completed."""
        after = (lengths + 1)[:, None]
        missing: np.ndarray = np.maximum(0, self.settings.min_length - after)
        for automaton, row in zip(self._automata, states, strict=True):
            missing = np.maximum(missing, automaton.missing(automaton.nexts(row)))
        allowed: Bool[np.ndarray, "columns symbols"]
        allowed = (after + missing <= self.settings.max_length) & ~self._excluded
        allowed[:, self.boundary] = self.missing(states, lengths) == 0
        return allowed

    def accepts(self, item: Ids) -> bool:
        """Return whether a whole item that is followed to its end fulfils the other conditions."""
        if not self._patterns:
            return True
        text = self._vocabulary.decode(item)
        return all(pattern.fullmatch(text) for pattern in self._patterns)

    def renumbered(
        self, states: Int64[np.ndarray, "automata columns"]
    ) -> Int64[np.ndarray, "automata columns"]:
        """Forget the states that no item is in, where they are too many; return the new states."""
        if all(automaton.num_states <= _MOST_STATES for automaton in self._automata):
            return states
        rows = zip(self._automata, states, strict=True)
        states = _stacked([automaton.renumbered(row) for automaton, row in rows], states.shape)
        self.start = self._start()
        return states

    def _start(self) -> Int64[np.ndarray, " automata"]:
        return np.array([automaton.follow(self.prefix) for automaton in self._automata], np.int64)

    def _check_possible(self) -> None:
        needed, settings = self.least_length, self.settings
        if needed <= settings.max_length:
            return
        begin = self._vocabulary.decode(self.prefix)
        asked = [f"begins with {begin!r}"] if begin else []
        asked += [f"ends with {settings.suffix!r}"] if settings.suffix else []
        asked += [f"matches {settings.match!r}"] if settings.match is not None else []
        if needed < NEVER:  # otherwise it is NEVER and the prefix
            raise CharlmError(
                f"an item that {' and '.join(asked)} has at least {needed:,} characters, and "
                f"--max-length is {settings.max_length:,}; raise it"
            )
        raise CharlmError(
            f"no item of the model's characters {' and '.join(asked)}; change the condition"
        )


def _stacked(rows: list[np.ndarray], shape: tuple[int, ...]) -> np.ndarray:
    return np.stack(rows) if rows else np.empty(shape, np.int64)
