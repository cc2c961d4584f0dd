"""Mix the trained members of an ensemble with n-grams, and save and score the mixture."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from charlm.config.schema import Config
from charlm.corpus.corpus import Corpus, Split
from charlm.corpus.provenance import mark_fitted, merge
from charlm.errors import CorpusError, memory_errors
from charlm.models.device import choose_device
from charlm.models.ensemble import AnyModel, Ensemble
from charlm.models.language_model import LanguageModel
from charlm.models.mixture_fit import fit_mixture
from charlm.models.ngrams.parts import parts_for
from charlm.models.openings import Opening, choose_passages
from charlm.prediction.final_score import final_score
from charlm.prediction.ngram_text import (
    COUNTED,
    stored_characters,
    tensors_to_save,
    text_to_count,
)
from charlm.prediction.perplexity import Score
from charlm.prediction.predictor import Predictor
from charlm.prediction.scoring import evaluate_split
from charlm.prediction.timed_scoring import TimeLimit
from charlm.runs.checkpoint import Checkpoint, read_checkpoint
from charlm.runs.ensemble_age import TRAINED
from charlm.runs.finding import checkpoint_to_use
from charlm.runs.folder import RunFolder
from charlm.runs.network_choice import NETWORK_LOSSES
from charlm.runs.training_text import training_corpus
from charlm.training.command_clock import CommandClock
from charlm.training.events import Event, Finished, Mixing
from charlm.training.mixing_time import MixingPlan, measured_rates, plan_mixing
from charlm.training.results import last_reading, result_of
from charlm.training.saved_mixture import VALIDATED, saved_mixture
from charlm.training.validation import sample_text


def mix_members(
    folder: RunFolder,
    config: Config,
    finished: list[Finished],
    emit: Callable[[Event], None],
    clock: CommandClock,
    end: float,
    *,
    have_trained: bool,
) -> Finished:
    """Mix the best of each member, save the mixture as the best checkpoint, and score it.

    `end` is the reading of the clock at which the score should be complete. If the members have not
    trained since they were mixed, their mixture is only scored again, as before.

    The mixture weights are fitted on the validation split, which also selected the checkpoints.
    Raises `CorpusError` if the members have different texts.
    """
    checkpoints = _best_checkpoints(folder, finished)
    corpus = corpus_of_members(config, checkpoints[0])
    config = config.replace(model=checkpoints[0].config.model)  # may be that of `start_from`
    device = choose_device(config.training.device)
    saved = None if have_trained else saved_mixture(folder, config, checkpoints, device)
    limit = None
    if saved is not None:
        ensemble, checkpoint = saved
        validated = checkpoint.training_counters[VALIDATED]
        if end < math.inf:
            limit = TimeLimit(end, clock.seconds, folder.path, last_reading(folder))
    else:
        emit(Mixing(config.ensemble.size, config.ensemble.ngram_order))
        members = [one.make_model(device) for one in checkpoints]
        networks = [model for model in members if isinstance(model, LanguageModel)]
        plan = MixingPlan()
        if end < math.inf:
            rates = measured_rates(networks, config, corpus, clock)
            plan = plan_mixing(rates, config, corpus, end - clock.seconds())
            limit = TimeLimit(end - plan.tail_seconds, clock.seconds, folder.path)
        remedy = f"free some memory, and resume {folder.path}: its networks are saved"
        with memory_errors(remedy):
            ensemble, checkpoint = _mixture(networks, config, corpus, plan, checkpoints)
        validated = plan.validated or config.training.validation_characters
    folder.write_config(config)
    ensemble.precision = checkpoint.compute.precision
    *network_scores, ensemble_score = _validation_scores(
        [*ensemble.members, ensemble],
        corpus.splits["validation"],
        config.training.validation_rows,
        validated,
    )
    counters = checkpoint.training_counters | {
        NETWORK_LOSSES: [_loss(score) for score in network_scores],
        VALIDATED: validated,
        TRAINED: sum(member.step for member in finished),
    }
    checkpoint = replace(checkpoint, training_counters=counters)
    folder.save_best(checkpoint)
    opening = checkpoint.make_opening(ensemble)
    predictor = Predictor(ensemble, checkpoint.vocabulary, config, opening=opening)
    sample = sample_text(predictor, config.training.seed)
    held_out, protocol = final_score(
        ensemble, corpus, config.training, checkpoint.provenance, limit=limit
    )
    event = Finished(
        folder,
        step=sum(member.step for member in finished),
        epochs=sum(member.epochs for member in finished),
        characters=sum(member.characters for member in finished),
        seconds=sum(member.seconds for member in finished),
        num_parameters=ensemble.num_parameters,
        training_loss=None,
        best_step=sum(member.best_step for member in finished),
        best_loss=_loss(ensemble_score),
        validation=ensemble_score,
        held_out=held_out,
        protocol=protocol,
        sample=sample,
        networks=tuple(
            replace(member, best_loss=_loss(score), validation=score)
            for member, score in zip(finished, network_scores, strict=True)
        ),
        kept_characters=stored_characters(checkpoint),
    )
    emit(event)
    folder.note_result(result_of(event))
    return event


def _mixture(
    members: list[LanguageModel],
    config: Config,
    corpus: Corpus,
    plan: MixingPlan,
    checkpoints: list[Checkpoint],
) -> tuple[Ensemble, Checkpoint]:
    """Count n-grams and fit the mixture weights; return the ensemble and its checkpoint.

    `checkpoints` are those of the members.
    """
    train, validation = corpus.splits["train"].ids, corpus.splits["validation"]
    vocabulary = checkpoints[0].vocabulary
    counted = text_to_count(corpus, plan.counted)
    parts = parts_for(config.ensemble, vocabulary)
    ensemble = Ensemble(members, config.ensemble.ngram_order or 0, counted, parts=parts)
    if is_fitted := len(validation) > 1:
        preceding = train if config.corpus.validation_follows_training else train[:0]
        fit_mixture(ensemble, preceding, np.array(validation.ids), plan.fitted)
    opening = Opening.of_passages(
        ensemble, choose_passages(train, vocabulary, config.training.seed)
    )
    records = merge(*(one.provenance for one in checkpoints))
    steps = sum(one.step or 0 for one in checkpoints)
    counters: dict[str, Any] = {"step": steps, COUNTED: len(counted)}
    checkpoint = Checkpoint(
        config,
        vocabulary,
        corpus.fingerprint,
        {},
        training_counters=counters,
        opening_tensors=opening.tensors() if opening else {},
        compute=checkpoints[0].compute,
        provenance=mark_fitted(records) if is_fitted else records,
    )
    return ensemble, replace(checkpoint, weights=tensors_to_save(ensemble, checkpoint))


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


def _validation_scores(
    models: Sequence[AnyModel], validation: Split, rows: int, characters: int | None
) -> list[Score | None]:
    """Score models on the same characters of the validation split; None where there is none."""
    return [
        evaluate_split(model, validation, rows, characters=characters)
        if len(validation) > 1
        else None
        for model in models
    ]


def _loss(score: Score | None) -> float | None:
    return None if score is None else score.nats_per_character
