"""Deterministic algorithms, and a record of the environment that bits depend on."""

import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import numpy as np
import torch

from charlm.config.schema import TrainingConfig
from charlm.distributed.launch import launched
from charlm.environment.processor import processor_name
from charlm.environment.version import charlm_version
from charlm.errors import ConfigError
from charlm.kernels import compiler
from charlm.models.language_model import LanguageModel

_CUBLAS_VARIABLE = "CUBLAS_WORKSPACE_CONFIG"
_ERROR_TEXT = "torch.use_deterministic_algorithms(True)"
"""Text in PyTorch's error for an operation without a deterministic algorithm."""


@contextmanager
def deterministic(is_enabled: bool) -> Iterator[None]:
    """Let PyTorch use only deterministic algorithms in the block.

    A process selects the algorithms of CUDA's matrix products when it first uses them. Raises
    `ConfigError` if an operation has no deterministic algorithm on its device.
    """
    if not is_enabled:
        yield
        return
    was_set = _CUBLAS_VARIABLE in os.environ
    os.environ.setdefault(_CUBLAS_VARIABLE, ":4096:8")
    cudnn = torch.backends.cudnn
    was_enabled = torch.are_deterministic_algorithms_enabled()
    only_warned = torch.is_deterministic_algorithms_warn_only_enabled()
    cudnn_settings = cudnn.deterministic, cudnn.benchmark
    torch.use_deterministic_algorithms(True)
    cudnn.deterministic, cudnn.benchmark = True, False
    try:
        yield
    except RuntimeError as reason:
        if _ERROR_TEXT not in str(reason):
            raise
        raise ConfigError(
            f"training.deterministic: this device has no deterministic algorithm ({reason!s:.80}); "
            "set training.device=cpu, or training.deterministic=false"
        ) from None
    finally:
        torch.use_deterministic_algorithms(was_enabled, warn_only=only_warned)
        cudnn.deterministic, cudnn.benchmark = cudnn_settings
        if not was_set:
            del os.environ[_CUBLAS_VARIABLE]


def engine(model: LanguageModel) -> str:
    """Return the name of the engine that computes a model's cells on its device."""
    is_requested = model.config.implementation == "equations"
    has_gate = any(layer.has_hidden_gate for layer in model.layers)  # PyTorch has no kernel for it
    if is_requested or (has_gate and not model.is_compiled()):
        return "the equations, step by step"
    return compiler.description() if model.device.type == "cpu" else "PyTorch's kernels"


def environment(training: TrainingConfig, model: LanguageModel, fingerprint: str) -> dict[str, Any]:
    """Return the time, and everything but the config that can change the bits of the results.

    `fingerprint` is the digest of the text.
    """
    device, on_gpu = model.device, model.device.type == "cuda"
    return {
        "began": datetime.now(UTC).isoformat(timespec="seconds"),
        "charlm": charlm_version(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "system": platform.platform(),
        "processor": processor_name(),
        "device": torch.cuda.get_device_name(device) if on_gpu else device.type,
        "kernels": engine(model),
        "processes": launched().size,
        "threads": torch.get_num_threads(),
        "precision": model.precision,
        "deterministic": training.deterministic,
        "seed": training.seed,
        "fingerprint": fingerprint,
    }
