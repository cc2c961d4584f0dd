"""Mix the trained members of an ensemble with n-grams, and save and score the mixture."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from charlm.config.schema import Config
from charlm.corpus.corpus import Corpus, Split
from charlm.corpus.provenance import mark_fitted, merge
from charlm.errors import CorpusError
from charlm.models.device import choose_device
from charlm.models.ensemble import AnyModel, Ensemble
from charlm.models.language_model import LanguageModel
from charlm.models.openings import Opening, choose_passages
from charlm.prediction.evaluation import final_score
from charlm.prediction.ngram_text import (
    COUNT_LIMIT_CHARACTERS,
    COUNTED,
    stored_characters,
    tensors_to_save,
    text_to_count,
)
from charlm.prediction.predictor import Predictor
from charlm.prediction.scoring import evaluate_split
from charlm.prediction.timed_scoring import TimeLimit
from charlm.runs.checkpoint import Checkpoint, read_checkpoint
from charlm.runs.finding import checkpoint_to_use
from charlm.runs.folder import RunFolder
from charlm.runs.training_text import training_corpus
from charlm.training.command_clock import CommandClock
from charlm.training.events import Event, Finished, Mixing
from charlm.training.fine_tuning import NETWORK_LOSSES
from charlm.training.mixing_time import MixingPlan, measured_rates, plan_mixing
from charlm.training.results import result_of
from charlm.training.validation import sample_text


def mix_members(
    folder: RunFolder,
    config: Config,
    finished: list[Finished],
    emit: Callable[[Event], None],
    clock: CommandClock,
    end: float,
) -> Finished:
    """Mix the best of each member, save the mixture as the best checkpoint, and score it.

    `end` is the reading of the clock at which the score should be complete.

    The mixture weights are fitted on the validation split, which also chose the members. Raises
    `CorpusError` if the members have different texts.
    """
    emit(Mixing(config.ensemble.size, config.ensemble.ngram_order))
    checkpoints = _best_checkpoints(folder, finished)
    vocabulary = checkpoints[0].vocabulary
    corpus = corpus_of_members(config, checkpoints[0])
    device = choose_device(config.training.device)
    models = [checkpoint.make_model(device) for checkpoint in checkpoints]
    members = [model for model in models if isinstance(model, LanguageModel)]
    train, validation = corpus.splits["train"].ids, corpus.splits["validation"]
    plan = MixingPlan()
    if end < math.inf:
        rates = measured_rates(members, config, corpus, clock)
        plan = plan_mixing(rates, config, corpus, end - clock.seconds())
    counted = text_to_count(corpus, plan.counted)
    ensemble = Ensemble(members, config.ensemble.ngram_order or 0, counted)
    if is_fitted := len(validation) > 1:
        preceding = train if config.corpus.validation_follows_training else train[:0]
        ensemble.fit(preceding, np.array(validation.ids), plan.fitted)
    config = config.replace(model=checkpoints[0].config.model)  # may be that of `start_from`
    folder.write_config(config)
    opening = Opening.of_passages(
        ensemble, choose_passages(train, vocabulary, config.training.seed)
    )
    records = merge(*(one.provenance for one in checkpoints))
    records = mark_fitted(records) if is_fitted else records
    ensemble.precision = checkpoints[0].compute.precision
    *network_losses, ensemble_loss = _validation_losses(
        [*members, ensemble],
        validation,
        config.training.validation_rows,
        plan.validated or config.training.validation_characters,
    )
    counters: dict[str, Any] = {
        "step": sum(member.best_step for member in finished),
        NETWORK_LOSSES: network_losses,
    }
    if plan.counted < min(len(train), COUNT_LIMIT_CHARACTERS):
        counters[COUNTED] = plan.counted
    checkpoint = Checkpoint(
        config,
        vocabulary,
        corpus.fingerprint,
        {},
        training_counters=counters,
        opening_tensors=opening.tensors() if opening else {},
        compute=checkpoints[0].compute,
        provenance=records,
    )
    checkpoint = replace(checkpoint, weights=tensors_to_save(ensemble, checkpoint))
    folder.save_best(checkpoint)
    predictor = Predictor(ensemble, vocabulary, config, opening=opening)
    sample = sample_text(predictor, config.training.seed)
    limit = None
    if end < math.inf:
        limit = TimeLimit(end - plan.tail_seconds, clock.seconds, folder.path)
    held_out, protocol = final_score(ensemble, corpus, config.training, records, limit=limit)
    event = Finished(
        folder,
        step=sum(member.step for member in finished),
        epochs=sum(member.epochs for member in finished),
        characters=sum(member.characters for member in finished),
        seconds=sum(member.seconds for member in finished),
        num_parameters=ensemble.num_parameters,
        training_loss=None,
        best_step=sum(member.best_step for member in finished),
        best_loss=ensemble_loss,
        held_out=held_out,
        protocol=protocol,
        sample=sample,
        networks=tuple(
            replace(member, best_loss=loss)
            for member, loss in zip(finished, network_losses, strict=True)
        ),
        kept_characters=stored_characters(checkpoint),
    )
    emit(event)
    folder.note_result(result_of(event))
    return event


def _best_checkpoints(folder: RunFolder, finished: list[Finished]) -> list[Checkpoint]:
    """Read the best checkpoint of each member; raises `CorpusError` for different texts."""
    checkpoints = [read_checkpoint(checkpoint_to_use(member.folder.path)) for member in finished]
    if others := [
        member.folder.path.name
        for member, checkpoint in zip(finished, checkpoints, strict=True)
        if checkpoint.fingerprint != checkpoints[0].fingerprint
    ]:
        raise CorpusError(
            f"{folder.path}: its members were trained on different texts; restore the text of "
            f"{finished[0].folder.path.name}, move {', '.join(others)} to another folder, where "
            "each remains a run, and resume"
        )
    return checkpoints


def corpus_of_members(config: Config, checkpoint: Checkpoint) -> Corpus:
    """Return the corpus of a member's checkpoint, read from the paths of the ensemble's config."""
    moved = checkpoint.config.replace(corpus=config.corpus)
    return training_corpus(replace(checkpoint, config=moved))


def _validation_losses(
    models: Sequence[AnyModel], validation: Split, rows: int, characters: int | None
) -> list[float | None]:
    """Score models on the same characters of the validation split; None where there is none."""
    return [
        evaluate_split(model, validation, rows, characters=characters).nats_per_character
        if len(validation) > 1
        else None
        for model in models
    ]
