"""Draw the initial weights of a model, and check weights that were read from a file."""

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from charlm.config.schema import ModelConfig
from charlm.files.untrusted import InvalidDataError


def unset_weights(rows: int, columns: int) -> nn.Parameter:
    """Return a matrix of weights that are NaN until they are drawn or loaded.

    Whatever is computed with it before then is NaN, too, instead of a number that depends on what
    the memory contained.
    """
    return nn.Parameter(torch.full((rows, columns), math.nan))


def draw_weights(
    name: str, parameter: nn.Parameter, config: ModelConfig, generator: torch.Generator
) -> None:
    """Draw the initial values of a parameter in place; those of a bias are zero."""
    bound = 1 / math.sqrt(config.hidden_size)
    if parameter.ndim == 1:
        nn.init.zeros_(parameter)
    elif config.initialization == "normal":
        nn.init.normal_(parameter, std=0.01, generator=generator)
    elif name == "embedding":
        std = bound if config.tie_weights else 1.0
        nn.init.normal_(parameter, std=std, generator=generator)
    elif name.endswith("W_hh") and config.initialization == "orthogonal":
        with torch.no_grad():
            for gate in parameter.chunk(parameter.shape[1] // parameter.shape[0], dim=1):
                gate.copy_(nn.init.orthogonal_(torch.empty_like(gate), generator=generator))
    else:
        nn.init.uniform_(parameter, -bound, bound, generator=generator)


def checked_weights(model: nn.Module, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Copy weights that were read from a file; raises `InvalidDataError` if they do not match."""
    expected = {name: tensor.shape for name, tensor in model.state_dict().items()}
    for name in (*expected, *(name for name in weights if name not in expected)):
        if name not in weights:
            raise InvalidDataError(f"{name:.60} is in the config, but not in the file")
        if name not in expected:
            raise InvalidDataError(f"{name:.60} is in the file, but not in the config")
        tensor = weights[name]
        if tensor.shape != expected[name]:
            shapes = f"{tuple(expected[name])}, but has {tuple(tensor.shape)}"
            raise InvalidDataError(f"{name} should have the shape {shapes}")
        if tensor.dtype is not torch.float32 or not tensor.isfinite().all():
            raise InvalidDataError(f"{name} should hold finite numbers in float32")
    return {name: tensor.clone() for name, tensor in weights.items()}
