"""Define the config of a run: its sections, and the rules across sections."""

from pydantic import model_validator

from charlm.config.sections.batches import BatchesConfig
from charlm.config.sections.corpus import CorpusConfig
from charlm.config.sections.ensemble import EnsembleConfig
from charlm.config.sections.generation import GenerationConfig
from charlm.config.sections.model import ModelConfig
from charlm.config.sections.section import Section
from charlm.config.sections.training import TrainingConfig

__all__ = [
    "BatchesConfig",
    "Config",
    "CorpusConfig",
    "EnsembleConfig",
    "GenerationConfig",
    "ModelConfig",
    "Section",
    "TrainingConfig",
]


class Config(Section):
    """All settings of one run."""

    corpus: CorpusConfig = CorpusConfig()
    batches: BatchesConfig = BatchesConfig()
    model: ModelConfig = ModelConfig()
    training: TrainingConfig = TrainingConfig()
    ensemble: EnsembleConfig = EnsembleConfig()
    generation: GenerationConfig = GenerationConfig()

    @property
    def cells(self) -> str:
        """The cell for display, with the number of networks and the n-grams of an ensemble."""
        networks = f"{self.ensemble.size} × " if self.ensemble.size > 1 else ""
        ngrams = " + n-grams" if self.ensemble.ngram_order else ""
        return f"{networks}{self.model.cell}{ngrams}"

    @model_validator(mode="after")
    def _check_extension(self) -> "Config":
        if self.corpus.vocabulary == "extend" and self.training.start_from is None:
            raise ValueError(
                "corpus.vocabulary: extend is for fine-tuning; set training.start_from, or use keep"
            )
        return self
