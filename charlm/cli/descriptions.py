"""Describe the events of training in a line each."""

import torch

from charlm.cli.limits import describe_rest
from charlm.cli.meaning import too_few
from charlm.cli.status_line import Field
from charlm.config.schema import Config
from charlm.corpus.corpus import Corpus
from charlm.formatting import count, duration
from charlm.training.determinism import engine
from charlm.training.events import (
    Mixing,
    NetworkBegins,
    Paused,
    RolledBack,
    Started,
    Validated,
)


def describe_event(event: RolledBack | Paused) -> str:
    """Say that training rolled back, or that the process was stopped."""
    if isinstance(event, Paused):
        return f"paused for {duration(event.seconds)}; this time does not count"
    return (
        f"{event.reason}; rolled back to step {event.step:,}, with the learning rate multiplied "
        f"by {event.learning_rate_scale:g}"
    )


def describe_phase(event: NetworkBegins | Mixing) -> str:
    """Say which network of an ensemble begins, or that the ensemble is built."""
    if isinstance(event, NetworkBegins):
        role = ", the student of the others" if event.is_student else ""
        return f"network {event.number} of {event.size}{role}"
    networks = "the network" if event.size == 1 else f"{event.size} networks"
    if event.ngram_order is None:
        return f"building the ensemble of {networks}"
    return f"building the ensemble of {networks} and n-grams up to order {event.ngram_order}"


def describe_start(event: Started, *, tells_small_split: bool) -> list[str]:
    """Describe a training that begins or resumes, in lines: text, network, warnings, limits."""
    training = event.config.training
    few = describe_small_split(event.corpus) if tells_small_split else ""
    where = f"at step {event.resumed_at} " if event.resumed_at else ""
    where += f"in {event.folder.path}"
    if training.epochs is not None or training.steps is not None:
        where += f", for at most {describe_rest(event)}"  # another line divides a budget
    lines = [
        describe_corpus(event.corpus, event.config),
        few,
        describe_model(event),
        *event.warnings,
        f"training {where}",
    ]
    if training.deterministic and training.budget is not None:
        lines.append(
            "training.budget makes the number of steps depend on the clock, so another run may "
            "differ; set it to null, and set training.epochs or training.steps"
        )
    return [line for line in lines if line]


def validation_fields(event: Validated, unit: str, *, tells_precision: bool) -> list[Field]:
    """Describe a validation in fields, of which a narrow terminal shows the most important."""
    score = event.score
    return [
        Field(f"step {event.step:>6,}", 0),
        Field(f"validation loss {score.bits_per_character:.3f} bits/{unit}", 1),
        Field(f"perplexity {score.perplexity:.3f}", 3),
        Field(f"{score.bits_per_byte:.3f} bits/byte" if score.unknown_characters else "", 4),
        Field(f"products in {score.precision}" if tells_precision else "", 5),
        Field("(best)" if event.is_best else "", 2),
    ]


def describe_corpus(corpus: Corpus, config: Config) -> str:
    """Describe the sizes of the splits and of the vocabulary, and what is not in it."""
    splits = corpus.splits
    sizes = [f"{len(splits[name]):,} {name}" for name in splits if len(splits[name])]
    unknown = sum(split.num_unknown for split in splits.values())
    reason = f"absent or too rare in the {_vocabulary_source(config)}"
    symbols = count(unknown, "character")
    remark = f"; read as the unknown symbol: {symbols}, {reason}" if unknown else ""
    return f"text: {', '.join(sizes)}; vocabulary of {len(corpus.vocabulary):,}{remark}"


def _vocabulary_source(config: Config) -> str:
    """Name the text that the vocabulary was counted in."""
    if config.training.start_from is not None and config.corpus.vocabulary == "keep":
        return "text of the initial model"
    return "text" if config.corpus.vocabulary_from == "all" else "training split"


def describe_small_split(corpus: Corpus) -> str:
    """Say that the split that will be scored at the end is too small to measure, or return ""."""
    for name in ("test", "validation"):
        if size := len(corpus.splits[name]):
            few = too_few(size - 1, corpus.vocabulary.unit)
            return few and f"{name} split: {few}; a longer text gives a score to compare"
    return ""


def describe_model(event: Started) -> str:
    """Describe the network, and the device that it runs on."""
    config, model = event.config.model, event.model
    return (
        f"model: {config.cell}, {count(config.num_layers, 'layer')} of {config.hidden_size}, "
        f"{model.num_parameters:,} parameters on {describe_engine(event)}"
    )


def describe_engine(event: Started) -> str:
    """Describe the device, the precision and the number of threads."""
    model = event.model
    precision: str = model.precision
    if event.compute.precision != precision:
        precision += " (instead of bfloat16, which needs the compiled kernels on a CPU)"
    if model.device.type != "cpu":
        return f"{model.device.type}: {engine(model)}, {precision}"
    return f"the CPU: {engine(model)}, {precision}, {count(torch.get_num_threads(), 'thread')}"
