"""Choose the device that computes a model, and wait for it."""

import torch

from charlm.errors import ConfigError


def choose_device(name: str) -> torch.device:
    """Return a device by name; `auto` is CUDA, else MPS, else the CPU. Raises `ConfigError`."""
    present = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    if name == "auto":
        name = next(device for device, is_present in present.items() if is_present)
    if not present.get(name):
        raise ConfigError(
            f"device {name}: not on this machine; set training.device or --device to auto"
        )
    return torch.device(name)


def wait_for(device: torch.device) -> None:
    """Wait until a device has computed what it was given; a CPU always has.

    A GPU computes while Python goes on, so a time is measured only after waiting.
    """
    if device.type != "cpu":
        torch.accelerator.synchronize()
