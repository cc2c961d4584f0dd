"""Generate continuations of a prefix for `generate`, and write them."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING

from charlm.cli.text_output import TextOutput

if TYPE_CHECKING:
    from charlm.config.sections.generation import GenerationSettings
    from charlm.corpus.vocabulary import Ids
    from charlm.portable.network import IntegerNetwork
    from charlm.prediction.predictor import Predictor


@dataclass(frozen=True)
class GeneratedTexts:
    """Continuations of a prefix."""

    loaded: "Predictor"
    prefix: "Ids"
    number: int
    seed: int | None
    stop: bytes | None
    settings: "GenerationSettings"
    network: "IntegerNetwork | None"
    """The network of `--portable`."""

    @property
    def prefix_read(self) -> bytes:
        """The prefix as the model reads it."""
        return self.loaded.vocabulary.decode_bytes(self.prefix)

    def pieces(self) -> Iterator[bytes]:
        """Yield the first text as it is generated, without its prefix."""
        return self._generate(self.seed)

    def write_one(self, target: TextOutput) -> None:
        """Write a single text as it is generated, with its prefix."""
        try:
            for piece in chain([self.prefix_read], self.pieces()):
                target.write(piece)
        finally:  # also when the text is interrupted
            target.finish()

    def write_all(self, target: TextOutput) -> None:
        """Write each text below a heading, with its prefix."""
        for number, sample in enumerate(self._samples(self.seed), 1):
            target.write_plain(f"--- sample {number} ---\n")
            target.write(self.prefix_read + sample)
            target.finish()
            target.write_plain("\n")

    def print_json(self) -> None:
        """Print an object with the texts, without their prefix, and what generates them again."""
        from charlm.prediction.generation import generation_config, random_seed

        seed = random_seed() if self.seed is None else self.seed
        config = generation_config(self.loaded, self.settings)
        result = {
            "checkpoint": str(self.loaded.path),
            "prefix": self.prefix_read.decode("utf-8", "replace"),
            "texts": [sample.decode("utf-8", "replace") for sample in self._samples(seed)],
            "seed": seed,
            "settings": config.model_dump(exclude={"prefix"}),
        }
        print(json.dumps(result, allow_nan=False))

    def _generate(self, seed: int | None) -> Iterator[bytes]:
        """Yield one text as it is generated."""
        from charlm.portable.sampling import generate_with_integers
        from charlm.prediction import generation

        generate_bytes = generation.generate_bytes
        if self.network is not None:
            generate_bytes = partial(generate_with_integers, self.network)
        return generate_bytes(self.loaded, self.prefix, seed=seed, stop=self.stop, **self.settings)

    def _samples(self, seed: int | None) -> list[bytes]:
        from charlm.prediction import generation

        if self.network is not None:
            first = generation.random_seed() if seed is None else seed
            return [b"".join(self._generate(first + number)) for number in range(self.number)]
        return generation.generate_samples(
            self.loaded,
            self.prefix,
            num_samples=self.number,
            seed=seed,
            stop=self.stop,
            **self.settings,
        )
