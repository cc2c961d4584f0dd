"""Check the annotations of charlm in each call, shapes included."""

import inspect
import typing
from collections.abc import Callable
from typing import Any

import jaxtyping
from jaxtyping import install_import_hook

_check_shapes = jaxtyping.jaxtyped


def check_annotations() -> None:
    """Let beartype check all functions of charlm, and jaxtyping those with shapes.

    jaxtyping's hook wraps every function, which takes most of the time of a small training.
    To be called before charlm is imported.
    """
    jaxtyping.jaxtyped = _checked  # type: ignore[assignment]
    install_import_hook("charlm", "beartype.beartype")


def _checked(*, typechecker: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def decorate(decorated: Any) -> Any:
        if inspect.isfunction(decorated) and not _may_have_shapes(decorated):
            return typechecker(decorated)
        return _check_shapes(decorated, typechecker=typechecker)

    return decorate


def _may_have_shapes(function: Callable[..., Any]) -> bool:
    try:
        hints = typing.get_type_hints(function)
    except Exception:  # of a name that is not yet defined: jaxtyping ignores it
        return True
    return any(map(_has_shape, hints.values()))


def _has_shape(hint: Any) -> bool:
    if inspect.isclass(hint) and issubclass(hint, jaxtyping.AbstractArray):
        return True
    return any(map(_has_shape, typing.get_args(hint)))
