"""Where a program can be after some characters, without knowing how it came there.

A place is an instruction, and what must come next because a test of an end has passed.
"""

from collections import deque
from collections.abc import Iterator, Sequence

from charlm.prediction.patterns.program import Match, Program, Read, Split, Test

NEVER = 1 << 40
"""Number of missing characters where no continuation matches."""

# What must come next, because a test of an end has passed.
_ANYTHING, _END, _NEWLINE, _LAST_NEWLINE = range(4)
_AFTER_TEST = {
    "end": {_ANYTHING: (_END,), _END: (_END,), _NEWLINE: (), _LAST_NEWLINE: ()},
    "line end": {
        _ANYTHING: (_END, _NEWLINE),
        _END: (_END,),
        _NEWLINE: (_NEWLINE,),
        _LAST_NEWLINE: (_LAST_NEWLINE,),
    },
    "last line end": {
        _ANYTHING: (_END, _LAST_NEWLINE),
        _END: (_END,),
        _NEWLINE: (_LAST_NEWLINE,),
        _LAST_NEWLINE: (_LAST_NEWLINE,),
    },
}
_AFTER_NEWLINE = {_ANYTHING: _ANYTHING, _NEWLINE: _ANYTHING, _LAST_NEWLINE: _END}
_AFTER_OTHER = {_ANYTHING: _ANYTHING}

# What came before.
_START, _AFTER_A_NEWLINE, _AFTER_ANOTHER = range(3)

Place = tuple[int, int]
"""An instruction, and what must come next."""
_Point = tuple[int, int, int]
"""A place, and what came before it."""


class Places:
    """The places of a program, over kinds of symbols that its classes do not tell apart."""

    def __init__(
        self, program: Program, kinds_of_class: Sequence[Sequence[int]], newline_kinds: set[int]
    ) -> None:
        """Take the kinds of symbols in each class of the program, and those of the newline."""
        self._program, self._kinds_of_class = program, kinds_of_class
        self._newline_kinds = newline_kinds
        self._reached: dict[_Point, frozenset[Place]] = {}
        self._missing_at = self._missing_characters()
        self.first = self._reach(program.start, _ANYTHING, _START)
        """The places before the first character."""

    def after(self, places: frozenset[Place]) -> dict[int, frozenset[Place]]:
        """Return where each kind of symbol leads to from any of several places."""
        targets: dict[int, frozenset[Place]] = {}
        for number, expected in places:
            for kind, place, before in self._readings(number, expected):
                targets[kind] = targets.get(kind, frozenset()) | self._reach(*place, before)
        return targets

    def missing(self, places: frozenset[Place]) -> int:
        """Return the least number of characters to a match, or `NEVER`."""
        return min(map(self._missing_at.__getitem__, places), default=NEVER)

    def _readings(self, number: int, expected: int) -> Iterator[tuple[int, Place, int]]:
        """Yield each kind of symbol that an instruction reads, and where that leads."""
        instruction = self._program.instructions[number]
        if not isinstance(instruction, Read):
            return
        for kind in self._kinds_of_class[instruction.members]:
            is_newline = kind in self._newline_kinds
            after = (_AFTER_NEWLINE if is_newline else _AFTER_OTHER).get(expected)
            if after is not None:
                before = _AFTER_A_NEWLINE if is_newline else _AFTER_ANOTHER
                yield kind, (instruction.next, after), before

    def _free(self, number: int, expected: int, before: int) -> list[Place]:
        """Return the places that an instruction leads to without a symbol."""
        match self._program.instructions[number]:
            case Split(nexts):
                return [(following, expected) for following in nexts]
            case Test("start", following):
                return [(following, expected)] if before == _START else []
            case Test("line start", following):
                return [(following, expected)] if before != _AFTER_ANOTHER else []
            case Test(place, following):
                return [(following, after) for after in _AFTER_TEST[place][expected]]
        return []

    def _reach(self, number: int, expected: int, before: int) -> frozenset[Place]:
        """Return where a place leads without a symbol: instructions that read, and the match."""
        if (known := self._reached.get((number, expected, before))) is not None:
            return known
        seen, waiting = {(number, expected)}, [(number, expected)]
        while waiting:
            for place in self._free(*waiting.pop(), before):
                if place not in seen:
                    seen.add(place)
                    waiting.append(place)
        found = frozenset(place for place in seen if self._missing_at.get(place, NEVER) < NEVER)
        self._reached[number, expected, before] = found
        return found

    def _missing_characters(self) -> dict[Place, int]:
        """Return the least number of characters to a match from where the program reads or ends.

        Searches forward for what can be reached, then backward from the matches (0-1 BFS).
        """
        start = (self._program.start, _ANYTHING, _START)
        sources: dict[_Point, list[tuple[_Point, int]]] = {start: []}
        waiting = [start]
        while waiting:
            point = waiting.pop()
            number, expected, before = point
            steps = [((*place, before), 0) for place in self._free(*point)]
            steps += [
                ((*place, kind), 1)
                for place, kind in {(p, b) for _, p, b in self._readings(number, expected)}
            ]
            for target, cost in steps:
                if target not in sources:
                    sources[target] = []
                    waiting.append(target)
                sources[target].append((point, cost))
        missing = {p: 0 for p in sources if self._is_match(p[0], p[1])}
        queue = deque(missing)
        while queue:
            point = queue.popleft()
            for source, cost in sources[point]:
                if missing[point] + cost < missing.get(source, NEVER):
                    missing[source] = missing[point] + cost
                    (queue.append if cost else queue.appendleft)(source)
        return {
            (number, expected): count
            for (number, expected, _), count in missing.items()
            if isinstance(self._program.instructions[number], Read | Match)
        }

    def _is_match(self, number: int, expected: int) -> bool:
        is_end = isinstance(self._program.instructions[number], Match)
        return is_end and expected in (_ANYTHING, _END)
