"""The optimisers compute what PyTorch's do, without importing its compiler."""

from pathlib import Path
from typing import Any, Literal

import pytest
import torch
from support.processes import python
from torch import nn

from charlm.config.schema import TrainingConfig
from charlm.training.optimizer import make_optimizer

OPTIMIZERS: tuple[Literal["adamw", "sgd"], ...] = ("adamw", "sgd")


def _trained(optimizer: torch.optim.Optimizer, model: nn.Module) -> list[torch.Tensor]:
    """Take some steps, the last of them from the saved state."""
    for number in range(6):
        optimizer.zero_grad()
        model(torch.full((2, 3), float(number))).square().sum().backward()
        optimizer.step()
        optimizer.load_state_dict(optimizer.state_dict())
    state: list[dict[str, Any]] = list(optimizer.state_dict()["state"].values())
    return [*model.parameters(), *(value for values in state for value in values.values())]


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_steps_are_those_of_pytorch(name: Literal["adamw", "sgd"]) -> None:
    """Weights and state are equal, bit for bit."""
    config = TrainingConfig(optimizer=name, learning_rate=0.01, momentum=0.9, weight_decay=0.1)
    models = [nn.Linear(3, 2) for _ in range(2)]
    models[1].load_state_dict(models[0].state_dict())
    ours = make_optimizer(models[0], config)
    kind: Any = {"adamw": torch.optim.AdamW, "sgd": torch.optim.SGD}[name]
    assert isinstance(ours, kind)
    weight, bias = models[1].parameters()
    groups = [{"params": [weight]}, {"params": [bias], "weight_decay": 0.0}]
    others = {"fused": True, "betas": config.betas} if name == "adamw" else {"momentum": 0.9}
    theirs = kind(groups, lr=0.01, weight_decay=0.1, **others)
    for left, right in zip(_trained(ours, models[0]), _trained(theirs, models[1]), strict=True):
        assert torch.equal(left, right)


def test_optimizers_import_no_compiler(tmp_path: Path) -> None:
    """`torch._dynamo` takes about a second, and charlm never calls `torch.compile`."""
    code = f"""
import sys, torch
from charlm.config.schema import TrainingConfig
from charlm.training.optimizer import make_optimizer
for name in {OPTIMIZERS}:
    model = torch.nn.Linear(3, 2)
    optimizer = make_optimizer(model, TrainingConfig(optimizer=name))
    optimizer.zero_grad()
    model(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    optimizer.load_state_dict(optimizer.state_dict())
print("torch._dynamo" in sys.modules)
"""
    assert python(code, tmp_path) == "False"
