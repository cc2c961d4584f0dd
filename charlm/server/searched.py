"""The training texts in which the server searches: sorted when they are first asked for."""

import asyncio
import threading
from dataclasses import dataclass, field

from charlm.analysis.copy_marker import TextIndex
from charlm.config.settings import TextPaths
from charlm.errors import CharlmError, CorpusError, memory_errors
from charlm.runs.training_text import searched_corpus
from charlm.server.api_error import ApiError
from charlm.server.served import Served


@dataclass
class SearchedTexts:
    """Sorted training texts of models, by name."""

    paths: TextPaths
    """Where the training text of a model is, if it has moved."""
    most_characters: int
    """A longer text is not searched: sorted, it takes 5 to 8 bytes for each character."""
    _indexes: dict[str, "asyncio.Future[TextIndex | None]"] = field(default_factory=dict)

    async def of(self, served: Served) -> TextIndex:
        """Return the training text of a model; raises `ApiError` if it is not available.

        The message names no path of this machine, which is nothing for clients.
        """
        if served.name not in self._indexes:
            self._indexes[served.name] = self._begin(served)
        index = await asyncio.shield(self._indexes[served.name])
        if index is None:
            message = (
                f"the training text of {served.name} cannot be searched: it is missing, has "
                f"changed, or is longer than {self.most_characters:,} characters; "
                "`charlm originality` says which"
            )
            raise ApiError(409, message, "model", "training_text_unavailable")
        return index

    def _begin(self, served: Served) -> "asyncio.Future[TextIndex | None]":
        """Sort a text in a thread of its own, which does not keep the process from ending."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[TextIndex | None] = loop.create_future()

        def sort() -> None:
            index = None
            try:
                index = self._sorted(served)
            except CharlmError:
                pass
            finally:  # also after a bug, whose traceback Python prints: nobody waits for ever
                if not loop.is_closed():
                    loop.call_soon_threadsafe(_set, future, index)

        threading.Thread(target=sort, name="charlm-sort", daemon=True).start()
        return future

    def _sorted(self, served: Served) -> TextIndex:
        checkpoint = served.predictor.checkpoint
        if checkpoint is None:
            raise CorpusError("a model in training has no training text to search")
        training = searched_corpus(checkpoint, self.paths).splits["train"]
        if len(training.ids) > self.most_characters:
            raise CorpusError("the training text is too long")
        with memory_errors("the search takes 8 bytes a character of the text", CorpusError):
            return TextIndex(training.ids, served.predictor.vocabulary.unknown_id)


def _set(future: "asyncio.Future[TextIndex | None]", index: TextIndex | None) -> None:
    if not future.done():
        future.set_result(index)
