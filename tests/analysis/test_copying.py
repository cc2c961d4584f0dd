"""Spans of one text that stand verbatim in another: as a search for every substring finds them."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, composite
from support.properties import examples

from charlm.analysis import copying
from charlm.analysis.copying import covered, longest_matches, longest_spans
from charlm.analysis.suffix_array import sorted_suffixes
from charlm.corpus.vocabulary import NUM_CODE_POINTS, code_points

TEXTS = st.one_of(
    st.text(st.sampled_from("ab"), max_size=60),
    st.text(st.sampled_from("ab\0\n\x01é€🙂"), max_size=40),
    st.text(max_size=20),
)


def longest_by_search(training: str, query: str) -> list[int]:
    """Find the longest match from each position by trying every length."""
    return [
        max(n for n in range(len(query) - start + 1) if query[start : start + n] in training)
        for start in range(len(query))
    ]


@composite
def _related_texts(draw: DrawFn) -> tuple[str, str]:
    """Draw a text, and another one that may have pieces of it."""
    training = draw(TEXTS)
    pieces = draw(st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60), TEXTS), max_size=4))
    return training, "".join(training[start:end] + other for start, end, other in pieces)


@given(_related_texts())
@examples(300)
def test_matches_equal_a_brute_force_search(texts: tuple[str, str]) -> None:
    """With few and many symbols, separators in the text, and empty texts; places are right."""
    training, query = texts
    matches = longest_matches(code_points(training), code_points(query))
    lengths = matches.lengths.tolist()
    assert lengths == longest_by_search(training, query)
    for start, (length, place) in enumerate(zip(lengths, matches.places.tolist(), strict=True)):
        assert training[place : place + length] == query[start : start + length]


@given(st.integers(0, 2**32 - 1), st.sampled_from([1, 2, 253, 254, 255, 256, 300, 70_000]))
@examples(40)
def test_any_number_of_symbols(seed: int, alphabet: int) -> None:
    """Codes of one, two and four bytes find the same, at the limits of their widths, too."""
    random = np.random.default_rng(seed)
    symbols = np.concatenate([np.arange(alphabet), random.integers(alphabet, size=200)])
    training = "".join(map(chr, 32 + symbols + 2048 * (32 + symbols >= 0xD800)))
    start = alphabet + int(random.integers(150))
    query = training[start : start + 30] + training[alphabet : alphabet + 50]
    matches = longest_matches(code_points(training), code_points(query))
    assert matches.lengths.tolist() == longest_by_search(training, query)


@pytest.mark.parametrize("text", ["a" * 3000, "ab" * 1500, "a" * 700 + "b" + "a" * 700 + "c"])
@pytest.mark.parametrize("query", ["a" * 2000, "ab" * 900 + "a" * 800, "a" * 800 + "ba" * 300])
def test_long_matches_in_repetitive_texts(text: str, query: str) -> None:
    """Long matches are compared only where their end may change; all lengths are exact."""
    matches = longest_matches(code_points(text), code_points(query))
    expected, end = [], 0
    for start in range(len(query)):  # the end of the longest match never falls
        end = max(end, start)
        while end < len(query) and query[start : end + 1] in text:
            end += 1
        expected.append(end - start)
    assert matches.lengths.tolist() == expected
    for start, place in enumerate(matches.places.tolist()):
        assert text[place : place + expected[start]] == query[start : start + expected[start]]


def test_a_copy_is_one_span() -> None:
    """A text that is compared with itself is one span, whatever its length."""
    text = np.random.default_rng(0).integers(4, size=5000).astype(np.uint8)
    matches = longest_matches(text, text)
    (span,) = longest_spans(matches, 10, least=100)
    assert (span.start, span.length, span.place) == (0, 5000, 0)
    assert covered(matches.lengths, 5000).all()


def test_the_unknown_symbol_equals_nothing() -> None:
    """It stands for different characters, so no span contains it."""
    training, query = np.array([1, 2, 0, 3, 4], np.uint8), np.array([1, 2, 0, 3, 4], np.uint8)
    assert longest_matches(training, query, unknown=0).lengths.tolist() == [2, 1, 0, 2, 1]
    assert longest_matches(training, query).lengths.tolist() == [5, 4, 3, 2, 1]


@pytest.mark.parametrize("block", [1, 7])
def test_blocks_change_no_match(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Matches that cross the blocks of the comparison have the same lengths."""
    training, query = code_points("the rain in spain" * 3), code_points("rain in spainthe rai")
    whole = longest_matches(training, query)
    monkeypatch.setattr(copying, "_BLOCK", block)
    assert longest_matches(training, query).lengths.tolist() == whole.lengths.tolist()


@given(st.lists(st.integers(0, NUM_CODE_POINTS - 1), max_size=30))
def test_suffixes_are_sorted_by_symbols(symbols: list[int]) -> None:
    """Wide codes sort as numbers, not by their bytes in between."""
    codes = np.array(symbols, ">u4")
    order = sorted_suffixes(codes).tolist() if symbols else []
    assert order == sorted(range(len(symbols)), key=lambda start: symbols[start:])


@given(st.lists(st.integers(0, 9), max_size=40), st.integers(1, 9))
def test_covered_characters_are_in_long_spans(lengths: list[int], least: int) -> None:
    """A character is covered if a span that is long enough contains it."""
    lengths = [min(length, len(lengths) - start) for start, length in enumerate(lengths)]
    expected = [
        any(lengths[i] >= least and i <= n < i + lengths[i] for i in range(len(lengths)))
        for n in range(len(lengths))
    ]
    assert covered(np.array(lengths, np.int32), least).tolist() == expected


def test_the_longest_spans_do_not_overlap() -> None:
    """They are in the order of their lengths, each as long as it can be."""
    training, query = "the quick brown fox|jumps over", "a quick brown foxjumps over!"
    matches = longest_matches(code_points(training), code_points(query))
    spans = longest_spans(matches, 5, least=3)
    assert [query[span.start : span.end] for span in spans] == [" quick brown fox", "jumps over"]
    assert [training[span.place :][: span.length] for span in spans] == [
        " quick brown fox",
        "jumps over",
    ]
    assert longest_spans(matches, 1, least=3) == spans[:1]


@pytest.mark.parametrize("alphabet", [50, 1000])
def test_memory_is_12_bytes_a_character(alphabet: int) -> None:
    """Beyond the texts, with codes of one byte and of two; another array would take 4 more."""
    text = np.random.default_rng(0).integers(alphabet, size=2_000_000).astype(np.uint16)
    tracemalloc.start()
    longest_matches(text[:1_900_000], text[1_900_000:])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert 4 * len(text) < peak < 12 * len(text)
