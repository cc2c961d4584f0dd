"""Write scalars and samples of a training as event files, which TensorBoard shows.

After a resumption or a rollback, a new file begins with the step from which TensorBoard forgets
what earlier files have: each curve has every step once.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from charlm.config.schema import Config
from charlm.corpus.vocabulary import bytes_of
from charlm.errors import ConfigError, file_errors
from charlm.training.events import Event, Logged, RolledBack, Sampled, Started, Validated

_SCALARS = {
    "loss": "loss/training",
    "epoch_loss": "loss/epoch",
    "gradient_norm": "gradient_norm",
    "learning_rate": "learning_rate",
    "characters_per_second": "characters_per_second",
    "epoch": "epoch",
}
"""The tag of each number of a training line; losses are in nats."""
_FLUSH_SECONDS = 10
_FOLDER = "tensorboard"


class EventFiles:
    """Writes the event files of a network in `tensorboard/` of its run folder."""

    def __init__(self, run: Path) -> None:
        self._folder = run / _FOLDER
        self._writer: Any = None
        self._first_step = 1
        """Events of this step and later ones in earlier files are void."""

    def __call__(self, event: Event) -> None:
        """Write what an event of the training has."""
        match event:
            case Started():
                self._begin(event.resumed_at)
            case RolledBack():
                self._begin(event.step)
            case Logged():
                for key, tag in _SCALARS.items():
                    self._add_scalar(tag, event.line.get(key), event.line["step"])
            case Validated():
                score = event.score
                self._add_scalar("loss/validation", score.nats_per_character, event.step)
                self._add_scalar("perplexity/validation", score.perplexity, event.step)
            case Sampled():
                text = bytes_of(event.text).decode("utf-8", "replace").replace("\0", "\ufffd")
                # TensorBoard reads Markdown, in which an indented text is verbatim.
                shown = "\n".join(f"    {line}" for line in text.split("\n"))
                self._open().add_text("sample", shown, event.step)
                self._open().flush()

    def before(self, emit: Callable[[Event], None]) -> Callable[[Event], None]:
        """Return a receiver of events that writes each one, and passes it on to `emit`."""

        def receive(event: Event) -> None:
            self(event)
            emit(event)

        return receive

    def __enter__(self) -> "EventFiles":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Write what is buffered."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _begin(self, step: int) -> None:
        """Let later events follow this step; the next one opens a file."""
        self.close()
        self._first_step = step + 1

    def _add_scalar(self, tag: str, value: Any, step: int) -> None:
        if isinstance(value, int | float):
            self._open().add_scalar(tag, value, step)

    def _open(self) -> Any:
        """Return the writer of the current file; TensorBoard reads files in the order of names."""
        if self._writer is None:
            with file_errors("be written", self._folder, "free some space; then resume the run"):
                number = len([*self._folder.glob("*tfevents*")])
                self._writer = _writer_class()(
                    str(self._folder),
                    purge_step=self._first_step,
                    flush_secs=_FLUSH_SECONDS,
                    filename_suffix=f".{number:06d}",
                )
        return self._writer


def event_files(config: Config, run: Path) -> EventFiles | None:
    """Return what writes event files in a run folder, if `training.log_to` wants them."""
    return EventFiles(run) if "tensorboard" in config.training.log_to else None


def check_log_to(config: Config) -> None:
    """Raise `ConfigError` if `training.log_to` needs a package that is not installed."""
    if "tensorboard" in config.training.log_to:
        _writer_class()


def _writer_class() -> Any:
    try:
        from tensorboardX import SummaryWriter  # noqa: PLC0415 - an extra
    except ImportError:
        raise ConfigError(
            "training.log_to: tensorboard needs tensorboardX: pip install 'charlm-rnn[tensorboard]'"
        ) from None
    return SummaryWriter
