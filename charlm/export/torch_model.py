"""A character-level recurrent language model that needs only PyTorch: load(".").generate("The")."""

import json
import unicodedata
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from charlm.export.torch_mogrifier import Mogrifier


class CharacterModel(nn.Module):
    """Embedding or one-hot vectors, recurrent layers, and a softmax layer."""

    def __init__(self, config: dict[str, Any], vocabulary: dict[str, Any]) -> None:
        super().__init__()
        network, self.boundary = config["model"], config["boundary_id"]
        self.vocabulary, symbols = vocabulary, vocabulary["symbols"]
        self.ids = {symbol: number for number, symbol in enumerate(symbols)}
        size, width, cell = len(symbols), network["embedding_size"], network["cell"]
        self.embedding = nn.Embedding(size, width) if width else None
        kind = Mogrifier if cell == "mogrifier" else getattr(nn, cell.upper())
        options = {"nonlinearity": network["nonlinearity"]} if cell == "rnn" else {}
        self.rnn = kind(width or size, network["hidden_size"], network["num_layers"], **options)
        self.zeros = torch.zeros(network["num_layers"], 1, network["hidden_size"])
        self.num_states = 2 if cell in ("lstm", "mogrifier") else 1
        self.output = nn.Linear(network["hidden_size"], size)
        if self.embedding is not None and network["tie_weights"]:
            self.output.weight = self.embedding.weight

    def forward(
        self, ids: Tensor, state: tuple[Tensor, ...] | None = None
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Read ids (time, batch); return logits (time, batch, vocabulary) and the new state.

        A state is (h,) or (h, c), each (layers, batch, hidden): zeros at first and at a boundary.
        """
        if self.embedding is not None:
            vectors = self.embedding(ids)
        else:
            vectors = nn.functional.one_hot(ids, len(self.ids)).to(self.output.weight)
        state = state or (self.zeros.to(vectors).repeat(1, ids.shape[1], 1),) * self.num_states
        begins = ids == (-1 if self.boundary is None else self.boundary)
        cuts = [0, *(begins[1:].any(1).nonzero().flatten() + 1).tolist(), len(ids)]
        pieces = []
        for first, end in pairwise(cuts):
            state = tuple(s.masked_fill(begins[first].unsqueeze(1), 0.0) for s in state)
            hidden, new = self.rnn(vectors[first:end], state if len(state) == 2 else state[0])
            state = new if len(state) == 2 else (new,)
            pieces.append(hidden)
        return self.output(torch.cat(pieces)), state

    def encode(self, text: str) -> Tensor:
        """Return the ids of a text; raises `KeyError` for what the vocabulary does not have."""
        if (form := self.vocabulary["normal_form"]) != "none":
            text = unicodedata.normalize(form, text)
        symbols = text.encode() if self.vocabulary["unit"] == "byte" else map(ord, text)
        return torch.tensor([self.ids[symbol] for symbol in symbols], dtype=torch.int64)

    def decode(self, ids: list[int]) -> str:
        """Return the text of ids."""
        symbols = [self.vocabulary["symbols"][number] for number in ids]
        if self.vocabulary["unit"] == "byte":
            return bytes(symbols).decode("utf-8", "replace")
        return "".join("\ufffd" if symbol is None else chr(symbol) for symbol in symbols)

    @torch.no_grad()
    def generate(self, prefix: str = "", length: int = 500, temperature: float = 1.0) -> str:
        """Return the continuation of a prefix; temperature 0 takes the likeliest characters."""
        start = next(one for one in (10, 32, *self.ids) if one in self.ids and one is not None)
        first = [self.ids[start]] * (not prefix) if self.boundary is None else [self.boundary]
        ids, state, generated = [*first, *self.encode(prefix).tolist()], None, list[int]()
        for _ in range(length):
            logits, state = self(torch.tensor(ids).unsqueeze(1), state)
            if None in self.ids:  # the unknown symbol
                logits[-1, 0, 0] = -torch.inf
            ids = [int(logits[-1, 0].argmax())]
            if temperature:
                ids = torch.multinomial((logits[-1, 0] / temperature).softmax(0), 1).tolist()
            generated += ids
        return self.decode(generated)


def load(folder: str | Path) -> CharacterModel:
    """Return the model in a folder, ready to predict."""
    names = ("config.json", "vocabulary.json", "model.safetensors")
    config, vocabulary, data = ((Path(folder) / name).read_bytes() for name in names)
    model, tensors = CharacterModel(json.loads(config), json.loads(vocabulary)), dict[str, Any]()
    start = 8 + int.from_bytes(data[:8], "little")  # the header's size, the header, the tensors
    for name, entry in json.loads(data[8:start]).items():
        if name != "__metadata__":
            first, end = (start + offset for offset in entry["data_offsets"])
            numbers = torch.frombuffer(bytearray(data[first:end]), dtype=torch.float32)
            tensors[name] = numbers.view(entry["shape"])
    tensors.setdefault("output.weight", tensors.get("embedding.weight"))  # tied
    model.load_state_dict(tensors)
    return model.eval()
