"""Follow a regular expression through texts, and know what each beginning still lacks.

A state is the set of places in the program where the characters read so far may have led. States
are made when they are first reached. Together they mean what `re.fullmatch` means.
"""

import numpy as np
from jaxtyping import Bool, Int64

from charlm.prediction.patterns.places import Place, Places
from charlm.prediction.patterns.program import Program

DEAD = 0
"""The state from which no continuation matches."""
_UNKNOWN = -1


class Automaton:
    """The states of a pattern over an alphabet; a state is a number, and the first is `start`."""

    def __init__(
        self, pattern: str, symbols: str, excluded: Bool[np.ndarray, " symbols"] | None = None
    ) -> None:
        """Prepare a pattern over distinct `symbols`; `excluded` ones stand in no text.

        Raises `CharlmError` if the pattern is invalid or not regular.
        """
        program = Program(pattern)
        members = np.zeros((len(program.classes) + 2, len(symbols)), bool)
        for row, matcher in zip(members, program.classes, strict=False):
            row[[found.start() for found in matcher.finditer(symbols)]] = True
        members[-2] = [symbol == "\n" for symbol in symbols]
        if excluded is not None:
            members[:, excluded] = False
            members[-1] = excluded
        # Symbols that are in the same classes lead to the same states: they are of one kind.
        kinds, kind_of = np.unique(members, axis=1, return_inverse=True)
        self._kind_of, self._num_kinds = kind_of.reshape(-1), kinds.shape[1]
        kinds_of_class = [np.flatnonzero(row & ~kinds[-1]).tolist() for row in kinds[:-2]]
        newline_kinds = set(np.flatnonzero(kinds[-2]).tolist())
        self._places = Places(program, kinds_of_class, newline_kinds)
        self._forget_states()

    def _forget_states(self) -> None:
        self._numbers: dict[frozenset[Place], int] = {}
        self._states: list[frozenset[Place]] = []
        self._nexts = np.empty((16, self._num_kinds), np.int64)
        self._missing = np.empty(16, np.int64)
        self._number(frozenset())
        self.start = self._number(self._places.first)

    def renumbered(self, states: Int64[np.ndarray, " columns"]) -> Int64[np.ndarray, " columns"]:
        """Forget all states but these; return their new numbers."""
        kept = [self._states[state] for state in states.tolist()]
        self._forget_states()
        return np.array(list(map(self._number, kept)), np.int64)

    @property
    def num_states(self) -> int:
        """Number of states so far."""
        return len(self._states)

    def missing(self, states: Int64[np.ndarray, "*columns"]) -> Int64[np.ndarray, "*columns"]:
        """Return the least number of characters from each state to a match, or `NEVER`."""
        missing: Int64[np.ndarray, "*columns"] = self._missing[states]
        return missing

    def advance(
        self, states: Int64[np.ndarray, "*columns"], ids: Int64[np.ndarray, "*columns"]
    ) -> Int64[np.ndarray, "*columns"]:
        """Return the states after one more symbol of each column."""
        self._make_nexts(states)
        after: Int64[np.ndarray, "*columns"] = self._nexts[states, self._kind_of[ids]]
        return after

    def nexts(self, states: Int64[np.ndarray, " columns"]) -> Int64[np.ndarray, "columns symbols"]:
        """Return the states after each possible symbol."""
        self._make_nexts(states)
        after: Int64[np.ndarray, "columns symbols"] = self._nexts[states][:, self._kind_of]
        return after

    def follow(self, ids: Int64[np.ndarray, " length"]) -> int:
        """Return the state after a whole text."""
        state = np.array([self.start])
        for number in range(len(ids)):
            state = self.advance(state, ids[number : number + 1])
        return int(state[0])

    def _make_nexts(self, states: np.ndarray) -> None:
        for state in np.unique(states[self._nexts[states, 0] == _UNKNOWN]).tolist():
            after, nothing = self._places.after(self._states[state]), frozenset[Place]()
            row = [self._number(after.get(kind, nothing)) for kind in range(self._num_kinds)]
            self._nexts[state] = row  # `_number` may have replaced the array

    def _number(self, places: frozenset[Place]) -> int:
        """Return the number of a state, and make it if it is new."""
        number = self._numbers.setdefault(places, len(self._states))
        if number == len(self._states):
            if number == len(self._missing):
                self._missing = np.concatenate([self._missing, self._missing])
                self._nexts = np.concatenate([self._nexts, self._nexts])
            self._states.append(places)
            self._nexts[number] = _UNKNOWN if places else DEAD
            self._missing[number] = self._places.missing(places)
        return number
