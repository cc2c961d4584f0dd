"""Nodes, constants and values of a graph in ONNX."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from jaxtyping import Float32
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor


class Nodes:
    """The nodes of a graph in their order; each result has a name of its own."""

    def __init__(self, prefix: str = "") -> None:
        self.nodes: list[onnx.NodeProto] = []
        self._prefix = prefix

    def add(self, operator: str, *inputs: str, name: str = "", **attributes: Any) -> str:
        """Add a node with one result; return the name of the result."""
        (result,) = self.add_all(operator, inputs, [name], **attributes)
        return result

    def add_all(
        self, operator: str, inputs: Sequence[str], names: Sequence[str], **attributes: Any
    ) -> list[str]:
        """Add a node with a result for each name; return their names, with new ones for ""."""
        node = f"{self._prefix}{operator}_{len(self.nodes)}"
        names = [name or f"{node}_{number}" for number, name in enumerate(names)]
        self.nodes.append(helper.make_node(operator, inputs, names, node, **attributes))
        return names


class Constants:
    """The constants of a model by name, each stored once."""

    def __init__(self) -> None:
        self.tensors: dict[str, onnx.TensorProto] = {}

    def add(self, name: str, content: np.ndarray) -> str:
        """Add a constant unless one with this name is there; return the name."""
        if name not in self.tensors:
            self.tensors[name] = numpy_helper.from_array(np.ascontiguousarray(content), name)
        return name


def value(
    name: str, shape: Sequence[str | int], kind: int = TensorProto.FLOAT
) -> onnx.ValueInfoProto:
    """Return the type and shape of an input or output; a name in a shape is a free size."""
    return helper.make_tensor_value_info(name, kind, shape)


def array_of(tensor: Tensor) -> Float32[np.ndarray, "..."]:
    """Return a parameter as an array."""
    return tensor.detach().cpu().numpy()
