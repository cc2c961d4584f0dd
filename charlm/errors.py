"""Errors that a user can correct; every other exception is a bug and keeps its traceback.

    CharlmError
    ├── ConfigError       a config file, a key, a value
    ├── CorpusError       a text: missing, empty, too short, not in its encoding
    ├── VocabularyError   a character that the model does not know
    ├── CheckpointError   a file that is not a whole checkpoint of this format
    ├── RunError          a run folder that exists, is missing, or cannot be resumed or written
    ├── ProcessError      another process of the same run has ended
    └── DivergenceError   a run that diverges and whose rollbacks did not help

A message is one line that names the thing, the place and the remedy.
"""

import errno
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from charlm.environment.memory import describe, is_out_of_memory

ARGUMENTS = frozenset(
    (
        *("auto", "budget", "device", "epochs", "length", "match", "max_length", "min_length"),
        *("name", "prefix", "runs", "seeds", "split", "steps", "suffix", "sweep", "temperature"),
        *("text", "unknown"),
    )
)
"""Options that errors name, and that are arguments of functions of `charlm` with the same name."""
_OPTION = re.compile(r"(?<![\w-])--([a-z][a-z-]*)(?: ('[^']*'|[^\s'][^\s;,]*))?")


class CharlmError(Exception):
    """The base of all errors: one line for the user, whatever it quotes, and exit code 1.

    Its note, which only Python shows, says which arguments the options of the message are.
    """

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(message.splitlines()))
        if note := _in_python(str(self)):
            self.add_note(note)

    def _render_traceback_(self) -> list[str]:
        """Return the lines that IPython and notebooks show: the message, without a traceback."""
        return [f"{type(self).__name__}: {self}", *getattr(self, "__notes__", ())]


def _in_python(message: str) -> str:
    """Say what the options outside the quoted commands of a message are in Python; "" for none."""
    meanings: dict[str, str] = {}
    for found in _OPTION.finditer(re.sub(r"`[^`]*`", "", message)):
        name, value = found[1].replace("-", "_"), (found[2] or "").strip("'").rstrip(").")
        if name == "set":
            is_setting = "=" in value
            option = found[0].rstrip(").") if is_setting else "--set"
            meanings[option] = f"settings=[{value!r}]" if is_setting else "settings=[…]"
        elif name == "resume":
            meanings["--resume"] = "charlm.resume(…)"
        elif name in ARGUMENTS:
            meanings[f"--{found[1]}"] = f"{name}=…"
    listed = ", ".join(f"{option} is {meaning}" for option, meaning in meanings.items())
    return f"in Python, {listed}" if listed else ""


class ConfigError(CharlmError):
    """A config file, a key or a value that cannot be used."""


class CorpusError(CharlmError):
    """A text that cannot be read or is too short."""


class VocabularyError(CharlmError):
    """A character that the model does not know."""


class CheckpointError(CharlmError):
    """A file that is not a whole checkpoint of a format that this version reads."""


class RunError(CharlmError):
    """A run folder that exists, is missing, or cannot be resumed or written."""


class ProcessError(CharlmError):
    """Another process that trains the same run has ended, or cannot be reached."""


class DivergenceError(CharlmError):
    """A loss, gradient or weight that is not finite, or a loss that rises and stays high."""


class CharlmWarning(UserWarning):
    """The parent of all warnings.

    Python prints them on standard error; the command line prints each as one line.
    """


class VocabularyWarning(CharlmWarning):
    """Warning about typed characters that are read as others."""


class CorpusWarning(CharlmWarning):
    """Warning about the reading of a text, such as a file that is named twice.

    Python prints it on standard error; the command line prints it as one line.
    """


class CorpusNotice(CorpusWarning):
    """Information about how a text is read, such as its encoding; nothing is wrong."""


_FREE_SPACE = "free some space"
_OTHER_REMEDIES = {
    errno.EFBIG: "raise the limit on file sizes (ulimit -f)",
    **dict.fromkeys((errno.EACCES, errno.EPERM, errno.EROFS), "make it writable"),
}


def remedy_for(reason: BaseException, remedy: str) -> str:
    """Replace "free some space" in a remedy if the reason is not a full disk."""
    cause = reason.errno if isinstance(reason, OSError) else None
    return remedy.replace(_FREE_SPACE, _OTHER_REMEDIES.get(cause or 0, _FREE_SPACE), 1)


@contextmanager
def file_errors(
    action: str, path: Path | str, remedy: str, error: type[CharlmError] = RunError
) -> Iterator[None]:
    """Convert `OSError` and a lack of memory in the block into `error`, with path and remedy."""
    try:
        yield
    except Exception as reason:
        if not isinstance(reason, OSError) and not is_out_of_memory(reason):
            raise
        why = (reason.strerror or str(reason)) if isinstance(reason, OSError) else describe(reason)
        raise error(f"{path}: could not {action} ({why}); {remedy_for(reason, remedy)}") from reason


@contextmanager
def memory_errors(remedy: str, error: type[CharlmError] = CharlmError) -> Iterator[None]:
    """Convert a lack of memory inside the block into `error` with a remedy."""
    try:
        yield
    except Exception as reason:
        if not is_out_of_memory(reason):
            raise
        raise error(f"{describe(reason)}; {remedy}") from reason
