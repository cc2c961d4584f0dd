"""Check the annotations of charlm in each call, shapes included."""

import functools
import inspect
import typing
from collections.abc import Callable
from types import CodeType
from typing import Any

import jaxtyping
import numpy as np
from jaxtyping import install_import_hook
from torch import Tensor
from torch.nn import Parameter

_check_shapes = jaxtyping.jaxtyped
_decorated_before: set[CodeType] = set()
"""The code of functions within functions that have their checks."""


def check_annotations() -> None:
    """Let beartype check all functions of charlm, and jaxtyping those with shapes.

    jaxtyping's hook checks every call, which takes most of the time of a small training.
    To be called before charlm is imported.
    """
    jaxtyping.jaxtyped = _checked  # type: ignore[assignment]
    install_import_hook("charlm", "beartype.beartype")


def _checked(*, typechecker: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def decorate(decorated: Any) -> Any:
        # A function within a function is made at each call, and making its checks takes longer
        # than most calls: the first one that is made has them.
        if inspect.isfunction(decorated) and "<locals>" in decorated.__qualname__:
            if decorated.__code__ in _decorated_before:
                return decorated
            _decorated_before.add(decorated.__code__)
        if inspect.isfunction(decorated) and not _may_have_shapes(decorated):
            return typechecker(decorated)
        checked = _check_shapes(decorated, typechecker=typechecker)
        return _check_new_shapes(decorated, checked) if inspect.isfunction(decorated) else checked

    return decorate


def _check_new_shapes(function: Callable[..., Any], checked: Callable[..., Any]) -> Any:
    """Check calls whose arguments have types and shapes not seen before.

    Every step of a training has the same, and the checks take longer than the step.
    """
    seen = set()

    @functools.wraps(function)
    def call(*arguments: Any, **options: Any) -> Any:
        shapes = (*map(_shape, arguments), *options, *map(_shape, options.values()))
        if shapes in seen:
            return function(*arguments, **options)
        result = checked(*arguments, **options)
        seen.add(shapes)
        return result

    return call


def _shape(argument: Any) -> object:
    kind = type(argument)
    if kind in (Tensor, Parameter, np.ndarray):
        return kind, argument.dtype, argument.shape
    if kind in (tuple, list):
        return kind, *map(_shape, argument)
    return argument if kind is str else kind


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
