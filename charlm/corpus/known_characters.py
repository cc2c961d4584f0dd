"""Choose the vocabulary of a run that starts from an initial model.

Characters of the text outside the vocabulary of the model become one unknown symbol. With
`corpus.vocabulary: extend` they are added to the vocabulary.
"""

from charlm.config.schema import Config, CorpusConfig
from charlm.corpus.builder import build_corpus
from charlm.corpus.corpus import SPLITS, Corpus, SplitName
from charlm.corpus.vocabulary import Vocabulary
from charlm.errors import ConfigError, CorpusError

MAX_UNKNOWN_FRACTION = 0.1
"""Largest fraction of a text that may be outside the vocabulary.

Above it, about every second word has an unknown character, and scores are too good: the unknown
symbol replaces many characters, so it is easy to predict.
"""


def corpus_of(config: Config, known: Vocabulary | None) -> Corpus:
    """Build the corpus to train on, with the known vocabulary, which the config may extend.

    Raises `CorpusError` if too much of the text is outside the vocabulary.
    """
    vocabulary = known
    if known is not None and config.corpus.vocabulary == "extend":
        vocabulary = _extended(known, config.corpus)
    corpus = build_corpus(config.corpus, vocabulary)
    _check_known(corpus, config.corpus, is_from_text=known is None)
    return corpus


def _extended(known: Vocabulary, config: CorpusConfig) -> Vocabulary:
    """Return the known vocabulary with the characters that the text alone would give."""
    if "-" in (*config.paths, *config.validation_paths, *config.test_paths):
        raise ConfigError(
            "corpus.vocabulary: extend reads the text twice; save it to a file and name it "
            "with --text"
        )
    text_vocabulary = build_corpus(config.replace(vocabulary="keep")).vocabulary
    return Vocabulary(tuple(sorted({*known.symbols, *text_vocabulary.symbols})), known.unit)


def _check_known(corpus: Corpus, config: CorpusConfig, is_from_text: bool) -> None:
    files = {"validation": config.validation_paths, "test": config.test_paths}
    for name in SPLITS:
        split = corpus.splits[name]
        # A fraction of a small text may have new characters.
        is_fraction = is_from_text and not files.get(name, True)
        if is_fraction or split.num_unknown <= MAX_UNKNOWN_FRACTION * len(split):
            continue
        raise CorpusError(
            f"{split.num_unknown / len(split):.0%} of the characters of the {name} split are not "
            "in the vocabulary, so the scores of the model would be misleading; "
            f"{_remedy(name, config, is_from_text)}"
        )


def _remedy(name: SplitName, config: CorpusConfig, is_from_text: bool) -> str:
    if not is_from_text and config.vocabulary != "extend":
        return "add its characters with --set corpus.vocabulary=extend"
    if name != "train" and config.vocabulary_from == "train":
        return "take the characters of all splits with --set corpus.vocabulary_from=all"
    return f"lower corpus.minimum_count ({config.minimum_count})"
