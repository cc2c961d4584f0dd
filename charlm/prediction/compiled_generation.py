"""Generation in the compiled kernels: they choose a character, read it, and repeat.

The kernels do what `next_character.choose` and the model do step by step in Python, for the cells
that they support, in float32. The weights are packed once, and a character costs little more than
reading them. An ensemble is mixed by the function that mixes it in Python, too (`NGrams.mix`).
"""

import ctypes

import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor

from charlm.config.schema import GenerationConfig
from charlm.kernels.checks import check
from charlm.kernels.loading import address, loaded
from charlm.models.ensemble import AnyModel, Ensemble
from charlm.models.ngrams import KernelNGrams
from charlm.models.states import AnyState, ModelState
from charlm.prediction.compiled_network import (
    CompiledNetwork,
    NetworkStructure,
    contiguous_copy,
    is_network_supported,
)
from charlm.prediction.sample_generator import SampleGenerator


class _Sampling(ctypes.Structure):
    """`Sampling` in sampling.hpp."""

    _fields_ = (
        ("temperature", ctypes.c_double),
        ("top_k", ctypes.c_int64),
        ("top_p", ctypes.c_double),
        ("min_p", ctypes.c_double),
        ("forbidden", ctypes.c_int64),
    )


class _Generator(ctypes.Structure):
    """`Generator` in generation.hpp."""

    _fields_ = (
        ("num_networks", ctypes.c_int64),
        ("samples", ctypes.c_int64),
        ("vocabulary", ctypes.c_int64),
        ("threads", ctypes.c_int64),
        ("networks", ctypes.c_void_p),
        ("ids", ctypes.c_void_p),
        ("logits", ctypes.c_void_p),
        ("ngrams", ctypes.c_void_p),
        ("weights", ctypes.c_void_p),
        ("history", ctypes.c_void_p),
        ("sampling", _Sampling),
    )


def is_supported(model: AnyModel) -> bool:
    """Return whether the kernels generate with a model."""
    if isinstance(model, Ensemble):
        is_mixed = isinstance(model.ngrams, KernelNGrams)
        return is_mixed and all(map(is_network_supported, model.members))
    return is_network_supported(model)


class CompiledGenerator(SampleGenerator):
    """Samples that the kernels generate."""

    def __init__(
        self,
        model: AnyModel,
        logits: Float[Tensor, "samples vocabulary"],
        state: ModelState,
        config: GenerationConfig,
        forbidden: int | None,
    ) -> None:
        """Start with the `logits` of the first characters and the `state` before these are read."""
        vocabulary = model.vocabulary_size
        check("logits", logits, (None, vocabulary))
        if forbidden is not None and not 0 <= forbidden < vocabulary:
            raise IndexError(f"forbidden: outside the {vocabulary} symbols")
        samples = len(logits)
        self._ids, self.logits = torch.zeros(samples, dtype=torch.long), contiguous_copy(logits)
        self._generator = _Generator(
            samples=samples,
            vocabulary=vocabulary,
            threads=torch.get_num_threads(),
            ids=address(self._ids),
            logits=address(self.logits),
            sampling=_Sampling(
                temperature=0.0 if config.greedy else config.temperature,
                top_k=min(config.top_k or 0, vocabulary),
                top_p=config.top_p,
                min_p=config.min_p,
                forbidden=-1 if forbidden is None else forbidden,
            ),
        )
        self._ensemble = model if isinstance(model, Ensemble) else None
        if isinstance(model, Ensemble):
            self._add_mixture(model, state)
        else:
            self._add_networks([CompiledNetwork(model, state, self._ids, self.logits)])

    def generate(
        self, uniforms: Float64[Tensor, "steps samples"]
    ) -> Int64[Tensor, "steps samples"]:
        check("uniforms", uniforms, (None, self._generator.samples), (torch.float64,))
        uniforms = uniforms.contiguous()
        ids = torch.empty(uniforms.shape, dtype=torch.long)
        loaded().charlm_generate(
            ctypes.byref(self._generator), len(uniforms), address(uniforms), address(ids)
        )
        return ids

    def restart(
        self,
        columns: Int64[Tensor, " columns"],
        logits: Float[Tensor, "columns vocabulary"],
        state: AnyState,
    ) -> None:
        self.logits[columns] = logits
        if self._ensemble is None:
            self._networks[0][0].restart(columns, state)
            return
        *states, history = state
        members = self._ensemble.with_states(tuple(states))
        for network, (_, own) in zip(self._networks[0], members, strict=True):
            network.restart(columns, own)
        self._history[columns] = history[0].long() - 1

    def state(self, columns: Int64[Tensor, " columns"]) -> AnyState:
        states = [layer for network in self._networks[0] for layer in network.state(columns)]
        if self._ensemble is None:
            return tuple(states)
        return (*states, ((self._history[columns] + 1).float(),))

    def _add_networks(self, networks: list[CompiledNetwork]) -> None:
        structures = [network.structure for network in networks]
        self._networks = networks, (NetworkStructure * len(networks))(*structures)
        self._generator.num_networks = len(networks)
        self._generator.networks = ctypes.addressof(self._networks[1])

    def _add_mixture(self, ensemble: Ensemble, state: ModelState) -> None:
        """Add the members, each with its own states, the counts and the mixture weights."""
        ngrams, (*states, history) = ensemble.ngrams, state
        if not isinstance(ngrams, KernelNGrams):
            raise ValueError("model: n-grams in the kernels were expected (is_supported)")
        if ngrams.vocabulary_size != ensemble.vocabulary_size:
            raise ValueError("model: its n-grams are over another vocabulary")
        networks = [
            CompiledNetwork(member, own, self._ids, torch.zeros_like(self.logits))
            for member, own in ensemble.with_states(tuple(states))
        ]
        check("history", history[0], (len(self._ids), ngrams.window))
        self._history = contiguous_copy(history[0]).long() - 1
        self._weights = torch.from_numpy(ensemble.weights).clone()
        check("weights", self._weights, ngrams.weights_shape(len(networks)), (torch.float64,))
        self._add_networks(networks)
        self._counts = ngrams  # its counts are freed when nothing refers to it
        self._generator.ngrams = ngrams.address
        self._generator.weights = address(self._weights)
        self._generator.history = address(self._history)
