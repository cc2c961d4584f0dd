"""The rule that one of several processes writes the files of a run folder: the first one."""

from collections.abc import Callable
from functools import wraps
from typing import Any, Concatenate, ParamSpec

Parameters = ParamSpec("Parameters")


def by_writer(
    write: Callable[Concatenate[Any, Parameters], None],
) -> Callable[Concatenate[Any, Parameters], None]:
    """Make a method that writes files do nothing where its object's `is_writer` is false."""

    @wraps(write)
    def guarded(owner: Any, /, *args: Parameters.args, **kwargs: Parameters.kwargs) -> None:
        if owner.is_writer:
            write(owner, *args, **kwargs)

    return guarded
