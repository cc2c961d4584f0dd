"""Build the graph of a network in ONNX: ids and states in, logits and new states out.

| name           | type and shape                  | content                                    |
|----------------|---------------------------------|--------------------------------------------|
| `ids`          | int64 (time, batch)             | characters to read                         |
| `H_1`, `C_1`   | float (batch, hidden)           | state before them, of each layer           |
| `logits`       | float (time, batch, vocabulary) | of the next character after each one       |
| `new_H_1`, …   | float (batch, hidden)           | state after the last one, of each layer    |

Only LSTMs and Mogrifiers have C. Each call may have another time and batch; a step has time 1.
"""

from typing import Any

import numpy as np
import onnx
from jaxtyping import Float32
from onnx import TensorProto, helper

from charlm.export.onnx_nodes import Constants, Nodes, array_of, value
from charlm.models.cells import Cell
from charlm.models.language_model import LanguageModel

OPSET = 17
"""Version of the operators; each runtime since 2022 has it."""
_IR_VERSION = 8
"""Version of the file format that came with this opset."""
_GATES = {"rnn": (0,), "gru": (1, 0, 2), "lstm": (0, 3, 1, 2), "mogrifier": (0, 3, 1, 2)}
"""The order of ONNX's gates among charlm's: zrh among R, Z, H̃; iofc among I, F, C̃, O."""
_OPERATORS = {"rnn": "RNN", "gru": "GRU", "lstm": "LSTM", "mogrifier": "LSTM"}


class _Builder:
    """Builds the graph of one network."""

    def __init__(self, network: LanguageModel) -> None:
        self._network = network
        self._config = network.config
        self._constants = Constants()
        self._graph = Nodes()

    def build(self) -> onnx.GraphProto:
        network, graph = self._network, self._graph
        vectors = self._vectors()
        resets = None
        if network.boundary is not None:
            boundary = self._constants.add("boundary", np.array(network.boundary, np.int64))
            resets = self._unsqueeze(graph, graph.add("Equal", "ids", boundary), 2)
        inputs, outputs = [value("ids", ("time", "batch"), TensorProto.INT64)], []
        shape = ("batch", self._config.hidden_size)
        for number, layer in enumerate(network.layers, 1):
            states = [f"{name}_{number}" for name in "HC"[: layer.num_states]]
            inputs += [value(name, shape) for name in states]
            outputs += [value(f"new_{name}", shape) for name in states]
            vectors = self._layer(number, layer, vectors, states, resets)
        weights = (
            graph.add("Transpose", "embedding", perm=[1, 0])
            if network.W_hq is None
            else self._constants.add("W_hq", array_of(network.W_hq))
        )
        product = graph.add("MatMul", vectors, weights)
        graph.add("Add", product, self._constants.add("b_q", array_of(network.b_q)), name="logits")
        logits = value("logits", ("time", "batch", network.vocabulary_size))
        return helper.make_graph(
            graph.nodes, "charlm", inputs, [logits, *outputs], [*self._constants.tensors.values()]
        )

    def _vectors(self) -> str:
        """Return the input of the lowest layer: (time, batch, input)."""
        if self._network.embedding is not None:
            embedding = self._constants.add("embedding", array_of(self._network.embedding))
            return self._graph.add("Gather", embedding, "ids")
        size = self._constants.add(
            "vocabulary_size", np.array(self._network.vocabulary_size, np.int64)
        )
        values = self._constants.add("off_and_on", np.array([0, 1], np.float32))
        return self._graph.add("OneHot", "ids", size, values)

    def _layer(
        self, number: int, layer: Cell, vectors: str, states: list[str], resets: str | None
    ) -> str:
        """Add a layer; return its hidden states (time, batch, hidden)."""
        weights = self._cell_weights(number, layer)
        if resets is None and not layer.has_hidden_gate:
            hidden, new_states = self._operator(self._graph, vectors, weights, states)
        else:
            scanned = [vectors]
            if layer.has_hidden_gate:
                scanned.append(self._hidden_gate(number, layer, vectors))
            if resets is not None:
                scanned.append(resets)
            step = self._step(number, layer, weights, resets is not None)
            *new_states, hidden = self._graph.add_all(
                "Scan",
                [*states, *scanned],
                [""] * (len(states) + 1),
                body=step,
                num_scan_inputs=len(scanned),
            )
        for state, new_state in zip(states, new_states, strict=True):
            self._graph.add("Identity", new_state, name=f"new_{state}")
        return hidden

    def _step(
        self, number: int, layer: Cell, weights: list[str], has_resets: bool
    ) -> onnx.GraphProto:
        """Return one step of a layer, for a Scan: states and scanned inputs in, states out.

        Where a record begins, the state is zero before the step; a gate scales the hidden state.
        """
        nodes = Nodes(f"layer_{number}_")
        prefix, shape = f"layer_{number}_before_", ("batch", layer.hidden_size)
        names = [f"{prefix}{name}" for name in "HC"[: layer.num_states]]
        inputs = [value(name, shape) for name in names]
        inputs.append(value(f"{prefix}X", ("batch", len(layer.W_xh))))
        if layer.has_hidden_gate:
            inputs.append(value(f"{prefix}gate", shape))
        states = names
        if has_resets:
            inputs.append(value(f"{prefix}reset", ("batch", 1), TensorProto.BOOL))
            zero = self._constants.add("zero", np.array(0, np.float32))
            states = [nodes.add("Where", f"{prefix}reset", zero, state) for state in states]
        if layer.has_hidden_gate:
            states[0] = nodes.add("Mul", f"{prefix}gate", states[0])
        vectors = self._unsqueeze(nodes, f"{prefix}X", 0)
        _, new_states = self._operator(nodes, vectors, weights, states)
        hidden = nodes.add("Identity", new_states[0])
        outputs = [value(name, shape) for name in (*new_states, hidden)]
        return helper.make_graph(nodes.nodes, f"step_of_layer_{number}", inputs, outputs)

    def _operator(
        self, nodes: Nodes, vectors: str, weights: list[str], states: list[str]
    ) -> tuple[str, list[str]]:
        """Add ONNX's operator of the cell; return its hidden states, and the states at the end."""
        operator = _OPERATORS[self._config.cell]
        options: dict[str, Any] = {"hidden_size": self._config.hidden_size}
        if operator == "GRU":
            options["linear_before_reset"] = 1
        elif operator == "RNN":
            options["activations"] = [self._config.nonlinearity.capitalize()]
        before = [self._unsqueeze(nodes, state, 0) for state in states]
        hidden, *ends = nodes.add_all(
            operator, [vectors, *weights, "", *before], [""] * (1 + len(states)), **options
        )
        return self._squeeze(nodes, hidden, 1), [self._squeeze(nodes, end, 0) for end in ends]

    def _cell_weights(self, number: int, layer: Cell) -> list[str]:
        """Return the names of W, R and B as ONNX's operators take them."""
        blocks = {"W": layer.W_xh.t(), "R": layer.W_hh.t(), "B": layer.b_h}
        arrays = {name: self._gates(array_of(tensor)) for name, tensor in blocks.items()}
        arrays["B"] = np.concatenate([arrays["B"], np.zeros_like(arrays["B"])])
        return [
            self._constants.add(f"{name}_{number}", array[np.newaxis])
            for name, array in arrays.items()
        ]

    def _gates(self, rows: Float32[np.ndarray, "gates *columns"]) -> Float32[np.ndarray, "..."]:
        """Return rows of charlm's gates in ONNX's order."""
        order = _GATES[self._config.cell]
        blocks = np.split(rows, len(order))
        return np.concatenate([blocks[place] for place in order])

    def _hidden_gate(self, number: int, layer: Cell, vectors: str) -> str:
        """Add G = 2σ(X W_xg + b_g) of a Mogrifier for the whole sequence."""
        parameters = dict(layer.named_parameters())
        W_xg = self._constants.add(f"W_xg_{number}", array_of(parameters["W_xg"]))
        b_g = self._constants.add(f"b_g_{number}", array_of(parameters["b_g"]))
        projected = self._graph.add("Add", self._graph.add("MatMul", vectors, W_xg), b_g)
        two = self._constants.add("two", np.array(2, np.float32))
        return self._graph.add("Mul", two, self._graph.add("Sigmoid", projected))

    def _unsqueeze(self, nodes: Nodes, name: str, axis: int) -> str:
        return nodes.add(
            "Unsqueeze", name, self._constants.add(f"axis_{axis}", np.array([axis], np.int64))
        )

    def _squeeze(self, nodes: Nodes, name: str, axis: int) -> str:
        return nodes.add(
            "Squeeze", name, self._constants.add(f"axis_{axis}", np.array([axis], np.int64))
        )


def onnx_model(network: LanguageModel, metadata: dict[str, str]) -> onnx.ModelProto:
    """Return a network as an ONNX model with this metadata."""
    model = helper.make_model(
        _Builder(network).build(),
        producer_name="charlm",
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=_IR_VERSION,
    )
    helper.set_model_props(model, metadata)
    return model
