"""Say why `train --auto` chose what it chose."""

from collections.abc import Iterator

from charlm.config.schema import Config
from charlm.formatting import count
from charlm.training.auto_rules import ENSEMBLE_EPOCHS, MOGRIFIER_EPOCHS


def _counted(config: Config) -> str:
    """Say what the n-grams count: for bytes and records, the main part only."""
    unit = config.corpus.unit
    if config.corpus.has_records:
        return f"sequences of {unit}s, which predict what records have in common"
    if unit == "byte" or not config.ensemble.word_contexts:
        return f"sequences of {unit}s, which predict those that the text repeats"
    if not config.ensemble.line_contexts:
        return "sequences of characters and of words, which predict phrases that the text repeats"
    return "what follows the same characters, the same words, and the same fields of the line above"


def reasons_for(
    config: Config, epochs: float, rate: float, limit: str, length: str
) -> Iterator[tuple[str, str]]:
    """Yield a line for each choice, with the key that would have settled it."""
    model, training, ensemble = config.model, config.training, config.ensemble
    if model.cell == "mogrifier":
        yield "model.cell", "a mogrifier: it learns faster than an LSTM"
    elif epochs < MOGRIFIER_EPOCHS:
        yield "model.cell", "an LSTM: the fastest gated cell without compiled kernels"
    else:
        yield "model.cell", "an LSTM: a mogrifier overfits a text that is read so often"
    yield (
        "model.hidden_size",
        f"hidden size {model.hidden_size}: {limit}; it trains on {rate:,.0f} characters per "
        "second here",
    )
    yield (
        "model.dropout",
        f"dropout {model.dropout:g}, embedding dropout {model.embedding_dropout:g}: training "
        f"reads the text about {epochs:,.1f} times",
    )
    if ensemble.student:
        yield (
            "ensemble.members",
            f"{ensemble.members} networks and their student: a single network would read the text "
            f"more than {ENSEMBLE_EPOCHS:g} times, and memorise it",
        )
    if ensemble.ngram_order is not None:
        yield (
            "ensemble.ngram_order",
            f"n-grams up to order {ensemble.ngram_order} as well: counts of {_counted(config)}",
        )
    yield (
        "training.learning_rate",
        f"{length}; meanwhile the learning rate falls from {training.learning_rate:g}",
    )
    yield (
        "batches.batch_size",
        f"{count(config.batches.batch_size, 'column')} of "
        f"{count(config.batches.sequence_length, 'step')}, weight decay {training.weight_decay:g}",
    )
