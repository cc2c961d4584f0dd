"""Features that have a name: what each says of each character of small texts."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from charlm.analysis.features import features_of

CODE = "def f(a, b):\n    return {'a': \"b(c\"} # don't (it's)\n"
EXPECTED = {
    "inside double quotes": "0000000000000000000000000000001111000000000000000000",
    "inside single quotes": "0000000000000000000000000110000000000000000000000000",
    "inside quotes": "0000000000000000000000000110001111000000000000000000",
    "inside a comment": "0000000000000000000000000000000000000111111111111110",
    "inside round brackets": "0000011111000000000000000000000000000000000001111100",
    "inside curly brackets": "0000000000000000000000001111111111100000000000000000",
    "inside brackets": "0000011111000000000000001111111111100000000001111100",
    "inside the indentation": "0000000000000111100000000000000000000000000000000000",
    "indentation of the line": "0000000000000123444444444444444444444444444444444440",
    "inside a word": "1110101001000000011111100010000101000001110100110100",
    "after a key word": "0001100000000000000000010000000000000000000000000000",
}


def shown(text: str, name: str) -> str:
    """Return a feature as digits, or nothing if it does not vary."""
    feature = dict(features_of(text)).get(name)
    return "" if feature is None else "".join(str(int(number)) for number in feature)


@pytest.mark.parametrize("name", EXPECTED)
def test_features_of_a_piece_of_code(name: str) -> None:
    """A bracket in quotes is no bracket, and an apostrophe in a word is no quote."""
    assert shown(CODE, name) == EXPECTED[name]


@pytest.mark.parametrize(
    ("text", "name", "expected"),
    [
        ('a"""b"c"""d', "inside triple double quotes", "01111111100"),
        ('a"""b"c"""d', "inside double quotes", ""),
        (r'a"\""b', "inside double quotes", "011100"),
        ("b'x' a'x'", "inside single quotes", "011000000"),
        ('"open\n\nend" a', "inside quotes", ""),
        ("“é” «x»", "inside double quotes", "1100110"),
        ("a[(b)c]", "depth of brackets", "0122110"),
        (")a(b", "inside brackets", ""),
        ("a\n\tb\nc", "indentation of the line", "008800"),
        ("ab\nc", "place in the line", "1201"),
        ("Ab É1٣", "upper case", "100100"),
        ("Ab É1٣", "digit", "000011"),
        ("ab  cde", "place in the word", "1200123"),
    ],
)
def test_features_of_small_texts(text: str, name: str, expected: str) -> None:
    assert shown(text, name) == expected


def test_time_since_a_newline_is_a_logarithm() -> None:
    assert dict(features_of("abc\nd"))["time since a newline (log)"].tolist() == [
        *np.log2([2, 3, 4, 1, 2]).astype(np.float32)
    ]


@given(
    st.text(
        st.characters(exclude_categories=()) | st.sampled_from("\"'()[]{}#\n\t \\"), max_size=80
    )
)
def test_features_fit_any_text(text: str) -> None:
    """Each varies, is finite, and has a number for each character."""
    for name, feature in features_of(text):
        assert len(feature) == len(text), name
        assert np.isfinite(feature).all()
        assert feature.min() >= 0
        assert feature.min() < feature.max()
