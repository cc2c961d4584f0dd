"""Translate a regular expression, as Python parses it, into a program of small instructions.

A program is a nondeterministic automaton (Thompson, 1968): it reads a character of a class, goes on
at several places, or tests where it is. What is not regular is refused.
"""

import re
from dataclasses import dataclass
from re import _compiler, _constants, _parser  # type: ignore[attr-defined]
from typing import Any

from charlm.errors import CharlmError
from charlm.prediction.patterns.parsing import parse

_MOST_INSTRUCTIONS = 10_000
_REFUSED = {
    "ASSERT": "look-arounds, (?=…) or (?<=…)",
    "ASSERT_NOT": "negative look-arounds, (?!…) or (?<!…)",
    "GROUPREF": r"back-references, \1 or (?P=name)",
    "GROUPREF_EXISTS": "conditional groups, (?(1)…)",
    "ATOMIC_GROUP": "atomic groups, (?>…)",
    "POSSESSIVE_REPEAT": "possessive repeats, such as *+",
    "AT_BOUNDARY": r"word boundaries, \b",
    "AT_NON_BOUNDARY": r"word boundaries, \B",
}
_PLACES = {
    "AT_BEGINNING": "start",
    "AT_BEGINNING_LINE": "line start",
    "AT_BEGINNING_STRING": "start",
    "AT_END": "last line end",
    "AT_END_LINE": "line end",
    "AT_END_STRING": "end",
}


@dataclass(frozen=True)
class Read:
    """Read a character of a class, by the number of the class."""

    members: int
    next: int


@dataclass(frozen=True)
class Split:
    """Go on at any of several instructions."""

    nexts: tuple[int, ...]


@dataclass(frozen=True)
class Test:
    """Go on only at a place: start, line start, end, line end, last line end (`$`)."""

    place: str
    next: int


@dataclass(frozen=True)
class Match:
    """The end of the program."""


Instruction = Read | Split | Test | Match


class Program:
    """The instructions of a pattern, and the classes of characters that they read."""

    def __init__(self, pattern: str) -> None:
        """Translate a pattern; raises `CharlmError` if it is invalid or not regular."""
        self._pattern = pattern
        self.instructions: list[Instruction] = [Match()]
        self.classes: list[re.Pattern[str]] = []
        self._class_numbers: dict[tuple[str, int], int] = {}
        tree = parse(pattern).tree
        self.start = self._sequence(tree, tree.state.flags, 0)

    def _sequence(self, items: Any, flags: int, after: int) -> int:
        """Add a sequence, from its end to its start; return its first instruction."""
        for operation, argument in reversed(list(items)):
            after = self._item(str(operation), argument, flags, after, (operation, argument))
        return after

    def _item(self, name: str, argument: Any, flags: int, after: int, item: Any) -> int:
        match name:
            case "LITERAL" | "NOT_LITERAL" | "ANY" | "IN":
                return self._add(Read(self._class(item, flags), after))
            case "BRANCH":
                branches = argument[1]
                return self._add(Split(tuple(self._sequence(b, flags, after) for b in branches)))
            case "SUBPATTERN":
                _, added, removed, inner = argument
                return self._sequence(inner, _combined(flags, added, removed), after)
            case "MAX_REPEAT" | "MIN_REPEAT":
                least, most, inner = argument
                return self._repeat(least, most, inner, flags, after)
            case "AT" if str(argument) in _PLACES:
                code = _constants.AT_MULTILINE.get(argument, argument)
                place = code if flags & re.MULTILINE else argument
                return self._add(Test(_PLACES[str(place)], after))
            case "FAILURE":  # (?!)
                return self._add(Split(()))
        construct = _REFUSED.get(str(argument) if name == "AT" else name, name)
        raise CharlmError(
            f"the pattern {self._pattern!r} has {construct}, which items cannot be matched with; "
            "write it without"
        )

    def _repeat(self, least: int, most: Any, inner: Any, flags: int, after: int) -> int:
        first = after
        if most is _constants.MAXREPEAT:
            first = self._add(Split(()))
            body = self._sequence(inner, flags, first)
            self.instructions[first] = Split((body, after))
        else:
            for _ in range(most - least):
                first = self._add(Split((self._sequence(inner, flags, first), after)))
        for _ in range(least):
            first = self._sequence(inner, flags, first)
        return first

    def _class(self, item: Any, flags: int) -> int:
        """Return the number of a class, which `re` compiles with its flags."""
        number = self._class_numbers.setdefault((repr(item), flags), len(self.classes))
        if number == len(self.classes):
            state = _parser.State()
            state.flags = flags
            self.classes.append(_compiler.compile(_parser.SubPattern(state, [item]), flags))
        return number

    def _add(self, instruction: Instruction) -> int:
        if len(self.instructions) >= _MOST_INSTRUCTIONS:
            raise CharlmError(
                f"the pattern {self._pattern!r} repeats too much: more than "
                f"{_MOST_INSTRUCTIONS:,} places; use smaller numbers in {{…}}"
            )
        self.instructions.append(instruction)
        return len(self.instructions) - 1


def _combined(flags: int, added: int, removed: int) -> int:
    """Return the flags inside a group, as `re` combines them."""
    if added & _parser.TYPE_FLAGS:
        flags &= ~_parser.TYPE_FLAGS
    return (flags | added) & ~removed
