"""Discard the folder of a run that ends before its first step."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from charlm.environment.memory import is_out_of_memory
from charlm.runs.folder import RunFolder


@contextmanager
def discarded_before_first_step(
    folder: RunFolder, num_steps: Callable[[], int] = lambda: 0
) -> Iterator[None]:
    """Discard a new run folder if the block ends before the first step, for a usual reason.

    These are a stop, a lack of memory, and a reader of the events that has closed its pipe. After
    any other error the run can be resumed. A folder that contains a member is kept, too.
    """
    try:
        yield
    except (Exception, KeyboardInterrupt) as error:
        if num_steps() == 0 and _is_usual(error):
            folder.discard()
        raise


def _is_usual(error: BaseException) -> bool:
    """Return whether an error is no reason to keep a run folder without a step."""
    reasons = (error, error.__cause__)
    is_stopped = any(isinstance(one, KeyboardInterrupt | BrokenPipeError) for one in reasons)
    return is_stopped or is_out_of_memory(error)
