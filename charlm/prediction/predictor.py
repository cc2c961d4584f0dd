"""A trained model with its vocabulary and config, loaded from a checkpoint."""

from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

from charlm.config.schema import Config
from charlm.config.settings import TextPaths
from charlm.corpus.records import Records
from charlm.corpus.vocabulary import Vocabulary
from charlm.errors import CheckpointError
from charlm.formatting import count, html_table
from charlm.models.device import choose_device
from charlm.models.ensemble import AnyModel
from charlm.models.openings import Opening
from charlm.prediction.ngram_text import count_again, stored_characters
from charlm.runs.checkpoint import Checkpoint, read_checkpoint
from charlm.runs.finding import checkpoint_of

if TYPE_CHECKING:
    from charlm.prediction.character_scores import CharacterScores


@dataclass(frozen=True, repr=False, eq=False)
class Predictor:
    """A model with the vocabulary and config that it was trained with."""

    model: AnyModel
    vocabulary: Vocabulary
    config: Config
    checkpoint: Checkpoint | None = None
    """The checkpoint from which the model was loaded."""
    path: Path | None = None
    """The file of this checkpoint."""
    opening: Opening | None = None
    """Initial state of text without a prefix; None: a newline after the zero state."""

    def __repr__(self) -> str:
        parameters = count(self.model.num_parameters, "parameter")
        return f"Predictor({self._place}: {self._shape}, {parameters}, {self._symbols})"

    def _repr_html_(self) -> str:
        """Return the table that a notebook shows."""
        return html_table(
            [
                ("checkpoint", self._place),
                ("model", self._shape),
                ("parameters", f"{self.model.num_parameters:,}"),
                ("vocabulary", self._symbols),
            ]
        )

    @property
    def _place(self) -> str:
        return str(self.path or "not saved")

    @property
    def _shape(self) -> str:
        model = self.config.model
        return f"{self.config.cells}, {count(model.num_layers, 'layer')} of {model.hidden_size:,}"

    @property
    def _symbols(self) -> str:
        return count(len(self.vocabulary), f"different {self.vocabulary.unit}")

    @property
    def records(self) -> Records | None:
        """How records are kept in the text, and written out; None for running text."""
        return Records.of(self.config.corpus)

    def scores(self, text: str, *, likeliest: int = 5) -> "CharacterScores":
        """Return a table of the characters of a text: bits, rank, entropy, likeliest alternatives.

        It has `likeliest` alternatives for each character. The text is read as `score_text` does,
        and the bits are those that it gives. Raises `CorpusError` for fewer than two characters,
        and `DivergenceError` if the model's output is not finite.
        """
        from charlm.prediction.character_scores import character_scores  # noqa: PLC0415 - needs this

        return character_scores(self, text, likeliest)

    def describe(self) -> str:
        """Return the path, and how many characters of the training text the checkpoint contains."""
        stored = stored_characters(self.checkpoint) if self.checkpoint is not None else 0
        note = (
            f" (contains {stored:,} {self.vocabulary.unit}s of its training text)" if stored else ""
        )
        return f"{self.path}{note}"

    @property
    def prefix(self) -> str:
        """The prefix of the config, without characters that are not in the vocabulary."""
        prefix = self.config.generation.prefix
        if self.vocabulary.unit == "byte":  # it knows all bytes, also those that are not UTF-8
            return prefix
        return self.vocabulary.decode(self.vocabulary.encode_text(prefix, unknown="skip"))


def load(
    path: str | PathLike[str] | None = None,
    *,
    runs: str | PathLike[str] = "runs",
    device: str = "auto",
    text: TextPaths = (),
) -> Predictor:
    """Load a checkpoint, or the best one of a run folder, or of the newest run in `runs`.

    Only the checkpoint is needed; an ensemble with `ensemble.keep_text: false` also needs its
    training text: `text` gives its path if it has moved; another text is ignored.
    Raises `CheckpointError`, `RunError`, and `CorpusError` for that text.
    """
    file = checkpoint_of(path, runs)
    checkpoint = read_checkpoint(file)
    model = checkpoint.make_model(choose_device(device))
    files = [text] if isinstance(text, str | Path) else list(text)
    count_again(model, checkpoint, file, files)
    model.precision = checkpoint.compute.precision
    try:
        opening = checkpoint.make_opening(model)
    except CheckpointError as reason:
        raise CheckpointError(f"{file}: {reason}") from None
    return Predictor(model, checkpoint.vocabulary, checkpoint.config, checkpoint, file, opening)
