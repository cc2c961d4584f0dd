"""Read a text from standard input: a copy in the run folder is read from then on."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from charlm.config.schema import Config
from charlm.errors import ConfigError
from charlm.formatting import count
from charlm.runs.creation import NewRun
from charlm.training.events import Advised, Event


@contextmanager
def kept_text(run: NewRun, config: Config, emit: Callable[[Event], None]) -> Iterator[Config]:
    """Copy a text from standard input to the folder of a new run, and yield the config with it.

    Training, a resume, `eval` and `generate` read the copy. A run whose text or settings are
    refused leaves no folder.
    """
    if "-" not in config.corpus.paths:
        yield config
        return
    copy = run.keep_standard_input()
    size = count(copy.stat().st_size, "byte")
    emit(Advised((f"{copy}: copy of standard input, {size}, to resume and evaluate the run",)))
    paths = (str(copy.absolute()) if path == "-" else path for path in config.corpus.paths)
    try:
        yield config.replace(corpus={"paths": tuple(paths)})
    finally:
        run.discard_unless_begun()


def check_text_can_be_read_again(config: Config, reader: str) -> None:
    """Raise `ConfigError` if the text comes from standard input; `reader` reads it repeatedly."""
    if "-" in config.corpus.paths:
        raise ConfigError(
            f"{reader} reads the text more than once: save it in a file, such as with "
            "`cat > text.txt`, and give --text text.txt instead of -"
        )
