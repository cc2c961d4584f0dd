"""An automaton means what `re.fullmatch` means, and knows what each beginning lacks."""

import random
import re
import warnings

import numpy as np
import pytest
from support.patterns import SYMBOLS, random_pattern, random_text

from charlm.errors import CharlmError
from charlm.prediction.patterns.automaton import DEAD, Automaton
from charlm.prediction.patterns.parsing import parse
from charlm.prediction.patterns.places import NEVER


def ids_of(text: str, symbols: str = SYMBOLS) -> np.ndarray:
    return np.array([symbols.index(character) for character in text], np.int64)


def missing(automaton: Automaton, text: str, symbols: str = SYMBOLS) -> int:
    return int(automaton.missing(np.array([automaton.follow(ids_of(text, symbols))]))[0])


def matches(automaton: Automaton, text: str, symbols: str = SYMBOLS) -> bool:
    return missing(automaton, text, symbols) == 0


def check_patterns(seed: int, patterns: int, texts: int) -> None:
    source = random.Random(seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about sets that may mean something else one day
        for _ in range(patterns):
            pattern = random_pattern(source)
            automaton, compiled = Automaton(pattern, SYMBOLS), re.compile(pattern)
            for text in [random_text(source) for _ in range(texts)]:
                expected = compiled.fullmatch(text) is not None
                assert matches(automaton, text) == expected, (pattern, text)


def test_patterns_mean_what_re_means() -> None:
    check_patterns(seed=0, patterns=300, texts=15)


@pytest.mark.long
def test_many_patterns_mean_what_re_means() -> None:
    check_patterns(seed=1, patterns=20_000, texts=20)


def test_missing_characters_are_the_least() -> None:
    """A state lacks one character more than the best of those after it."""
    source = random.Random(0)
    for _ in range(100):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            automaton = Automaton(random_pattern(source), SYMBOLS)
        state = 0
        while state < automaton.num_states:
            lacking = automaton.missing(np.array([state]))[0]
            after = automaton.nexts(np.array([state]))[0]
            if state == DEAD:
                assert (after == DEAD).all()
                assert lacking == NEVER
            elif lacking:
                assert lacking == automaton.missing(after).min() + 1
            state += 1


@pytest.mark.parametrize(
    ("pattern", "construct"),
    [
        ("(?=a)b", "look-around"),
        ("(?<!a)b", "look-around"),
        (r"(a)\1", "back-reference"),
        (r"(a)?(?(1)b|c)", "conditional"),
        ("(?>a|b)", "atomic"),
        ("a*+b", "possessive"),
        (r"\ba", "word boundar"),
        (r"a\B", "word boundar"),
    ],
)
def test_what_is_not_regular_is_named(pattern: str, construct: str) -> None:
    with pytest.raises(CharlmError, match=construct):
        Automaton(pattern, SYMBOLS)


def test_bad_patterns_are_one_line() -> None:
    with pytest.raises(CharlmError, match=r"'\(a' is invalid: missing \)"):
        Automaton("(a", SYMBOLS)
    with pytest.raises(CharlmError, match="repeats too much"):
        Automaton("(?:a{1000}){1000}", SYMBOLS)


def test_a_pattern_is_parsed_once() -> None:
    """Python's parser warns of a bracket inside a set each time that it reads one."""
    parse.cache_clear()
    with pytest.warns(FutureWarning, match="nested set") as warned:
        for _ in range(2):
            assert parse("[[a]").matcher.fullmatch("a")
            assert matches(Automaton("[[a]", SYMBOLS), "a")
    assert len(warned) == 1


def test_excluded_symbols_match_nothing() -> None:
    excluded = np.array([symbol in "a\n" for symbol in SYMBOLS])
    automaton = Automaton("(?s:.)b", SYMBOLS, excluded)
    assert matches(automaton, "bb")
    assert not matches(automaton, "ab")
    assert missing(Automaton("a", SYMBOLS, excluded), "") == NEVER


def test_forgotten_states_come_back() -> None:
    """Kept states go on as before after the others are forgotten."""
    automaton = Automaton("a(b|1)*Z", SYMBOLS)
    states = np.array([automaton.follow(ids_of(text)) for text in ("a", "ab", "b", "abZ")])
    assert automaton.missing(states).tolist() == [1, 1, NEVER, 0]
    states = automaton.renumbered(states)
    assert automaton.missing(states).tolist() == [1, 1, NEVER, 0]
    after = automaton.advance(states, ids_of("ZZZZ"))
    assert automaton.missing(after).tolist() == [0, 0, NEVER, NEVER]
    assert matches(automaton, "ab1Z")
