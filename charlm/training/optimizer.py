"""Gradient clipping, the optimiser, and the learning-rate schedule."""

import math
from collections.abc import Iterable
from inspect import unwrap

import torch
from jaxtyping import Float
from torch import Tensor, nn

from charlm.config.schema import TrainingConfig


def clip_gradients(parameters: Iterable[nn.Parameter], max_norm: float | None) -> Float[Tensor, ""]:
    """Scale all gradients g by min(θ / ‖g‖, 1), in place; return ‖g‖, their global L2 norm.

    Pascanu, Mikolov and Bengio, "On the difficulty of training recurrent neural networks", 2013.
    """
    gradients = [p.grad for p in parameters if p.grad is not None]
    norm: Tensor = torch.linalg.vector_norm(
        torch.stack([torch.linalg.vector_norm(g) for g in gradients])
    )
    if max_norm is not None and norm > max_norm:
        for gradient in gradients:
            gradient.mul_(max_norm / norm)
    return norm


class _Uncompiled(torch.optim.Optimizer):
    """Methods without PyTorch's wrappers for `torch.compile`.

    Each wrapper imports the compiler, which takes about a second at the start of a training.
    """

    add_param_group = unwrap(torch.optim.Optimizer.add_param_group)
    load_state_dict = unwrap(torch.optim.Optimizer.load_state_dict)
    state_dict = unwrap(torch.optim.Optimizer.state_dict)
    zero_grad = unwrap(torch.optim.Optimizer.zero_grad)


class _AdamW(_Uncompiled, torch.optim.AdamW):
    step = torch.no_grad()(unwrap(torch.optim.AdamW.step))  # the wrapper also turned gradients off


class _SGD(_Uncompiled, torch.optim.SGD):
    step = torch.no_grad()(unwrap(torch.optim.SGD.step))


def make_optimizer(model: nn.Module, config: TrainingConfig) -> torch.optim.Optimizer:
    """Return the optimiser of the config; weight decay applies to matrices, not to biases."""
    parameters = list(model.parameters())
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": config.weight_decay},
        {"params": [p for p in parameters if p.ndim == 1], "weight_decay": 0.0},
    ]
    if config.optimizer == "sgd":
        return _SGD(groups, lr=config.learning_rate, momentum=config.momentum)
    fused = parameters[0].device.type in ("cpu", "cuda")
    return _AdamW(groups, lr=config.learning_rate, betas=config.betas, fused=fused)


def learning_rate(config: TrainingConfig, step: int, progress: float) -> float:
    """Return the learning rate of a step (the first is 0).

    It rises linearly over `warmup_steps`. From there, it follows the curve of the schedule down to
    `final_learning_rate` times its peak, while `progress` goes from 0 to 1 (as a fraction of
    epochs, steps or time).
    """
    warmup = min(1.0, (step + 1) / (config.warmup_steps + 1))
    lowest = config.final_learning_rate
    progress = min(1.0, progress)
    match config.schedule:
        case "constant":
            shape = 1.0
        case "linear":
            shape = 1 - (1 - lowest) * progress
        case "cosine":
            shape = lowest + (1 - lowest) * (1 + math.cos(math.pi * progress)) / 2
    return config.learning_rate * warmup * shape
