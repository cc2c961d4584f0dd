"""What an ensemble predicts with, beside networks and n-grams."""

import pytest

from charlm.config.schema import EnsembleConfig
from charlm.corpus.vocabulary import Vocabulary
from charlm.models.ngrams import Parts, first_weights, weights_shape
from charlm.models.ngrams.parts import parts_for

VOCABULARY = Vocabulary(tuple(sorted(map(ord, "\n abc"))))
FLAGS = {"word_contexts": "has_words", "line_contexts": "has_lines", "match_model": "has_matches"}


@pytest.mark.parametrize("key", FLAGS)
def test_a_setting_adds_one_part(key: str) -> None:
    """Of the parts, only those of words and lines need letters."""
    parts = parts_for(EnsembleConfig.model_validate({"ngram_order": 3, key: True}), VOCABULARY)
    assert [name for name in FLAGS.values() if getattr(parts, name)] == [FLAGS[key]]
    assert (parts.letters is not None) == (key != "match_model")
    assert parts.window > 0
    assert first_weights(3, 2, parts).shape == weights_shape(3, 2, parts) > weights_shape(3, 2)


@pytest.mark.parametrize("order", [None, 0])
def test_without_ngrams_there_are_no_parts(order: int | None) -> None:
    """The text is not stored in order, so that nothing could be looked up after loading."""
    ensemble = EnsembleConfig(
        ngram_order=order, word_contexts=True, line_contexts=True, match_model=True
    )
    parts = parts_for(ensemble, VOCABULARY)
    assert (parts.num_features, parts.num_rows, parts.window) == (0, 0, 0)


def test_words_and_lines_need_letters() -> None:
    with pytest.raises(ValueError, match="letters"):
        Parts(has_words=True)
    with pytest.raises(ValueError, match="letters"):
        Parts(has_lines=True)
