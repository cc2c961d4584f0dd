"""Train an ensemble: its networks one after another, then their mixture with n-grams."""

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from charlm.config.load import make_config
from charlm.config.schema import Config
from charlm.corpus.builder import build_corpus
from charlm.corpus.corpus import Corpus, Part
from charlm.corpus.provenance import fitted, merged
from charlm.distributed.processes import Processes
from charlm.errors import CorpusError, RunError, file_errors
from charlm.models.ensemble import AnyModel, Ensemble
from charlm.models.language_model import LanguageModel, choose_device
from charlm.models.openings import Opening, choose_passages
from charlm.prediction.evaluation import final_score
from charlm.prediction.generation import generate
from charlm.prediction.ngram_text import stored_characters, tensors_to_save, text_to_count
from charlm.prediction.predictor import Predictor
from charlm.prediction.scoring import evaluate_part
from charlm.runs.checkpoint import Checkpoint, read_checkpoint
from charlm.runs.creation import create_run_folder
from charlm.runs.finding import checkpoint_to_use
from charlm.runs.folder import RunFolder
from charlm.runs.training_text import training_corpus
from charlm.training import network_run
from charlm.training.determinism import environment
from charlm.training.events import Event, Finished, Mixing, NetworkBegins, Started, Stopping
from charlm.training.fine_tuning import NETWORK_LOSSES
from charlm.training.member_logs import member_folder, merge_logs
from charlm.training.resume_rules import MAY_CHANGE, check_not_begun

_FIRST_DERIVED_SEED = 2**61
"""Half of the largest seed that a config takes."""


def train_members(
    folder: RunFolder, config: Config, processes: Processes, emit: Callable[[Event], None]
) -> Finished:
    """Train or resume each member in a run folder of its own, then mix them."""
    member_events = _MemberEvents(folder, emit)
    finished = []
    for number in range(config.ensemble.size):
        merge_logs(folder)
        member, is_student = member_folder(folder, number + 1), number == config.ensemble.members
        emit(NetworkBegins(number + 1, config.ensemble.size, is_student))
        member_config = _member_config(folder, config, number)
        if _is_begun(member):
            with member.locked():
                own_teachers = config.ensemble.members if is_student else 0
                finished.append(
                    _resume(member, member_config, processes, member_events, own_teachers)
                )
        else:

            def make_folder(resolved: Config, member: RunFolder = member) -> RunFolder:
                create_run_folder(folder.path, member.path.name, "", resolved)
                return member

            finished.append(
                network_run.train_network(
                    member_config, make_folder, processes, member_events, scores_at_end=False
                )
            )
    merge_logs(folder)
    return _mix(folder, config, finished, emit)


class _MemberEvents:
    """Emits the events of members as those of the ensemble; records the machine at the first."""

    def __init__(self, folder: RunFolder, emit: Callable[[Event], None]) -> None:
        self._folder, self._emit = folder, emit
        self._is_noted = False

    def __call__(self, event: Event) -> None:
        if isinstance(event, Started) and not self._is_noted:
            training, fingerprint = event.config.training, event.corpus.fingerprint
            self._folder.note_environment(environment(training, event.model, fingerprint))
            self._is_noted = True
        if isinstance(event, Stopping):
            self._emit(Stopping(self._folder))
        elif not isinstance(event, Finished):
            self._emit(event)


def check_text(folder: RunFolder, config: Config) -> None:
    """Raise `CorpusError` if the text is not the one that the members were trained on."""
    members = [member_folder(folder, number + 1) for number in range(config.ensemble.size)]
    last = next((member.last for member in members if member.last.exists()), None)
    if last is None:
        build_corpus(config.corpus)
    else:
        _corpus_at(config, read_checkpoint(last))


def _corpus_at(config: Config, checkpoint: Checkpoint) -> Corpus:
    """Return the corpus of a member's checkpoint, read from the paths of the ensemble's config."""
    moved = checkpoint.config.replace(corpus=config.corpus)
    return training_corpus(replace(checkpoint, config=moved))


def _is_begun(member: RunFolder) -> bool:
    """Return whether the member can be resumed; raises `RunError` for a folder that is no run's."""
    path = member.path
    with file_errors("be read", path, "check the folder"):
        if member.last.exists() or member.config_file.exists():
            return True
        check_not_begun(member)
        if not os.path.lexists(path):
            return False
        try:
            path.rmdir()  # an empty one
        except OSError:
            raise RunError(f"{path}: not a run of charlm; move it away, and resume") from None
    return False


def _resume(
    member: RunFolder,
    config: Config,
    processes: Processes,
    emit: Callable[[Event], None],
    own_teachers: int,
) -> Finished:
    """Resume a member; the last `own_teachers` teachers of a student are members, too."""
    settings = [
        f"{section}.{key}={json.dumps(value, ensure_ascii=False)}"
        for section, keys in MAY_CHANGE.items()
        for key, value in getattr(config, section).model_dump(include=keys).items()
        if (key, value) != ("threads", "auto")  # a member keeps the number that it began with
    ]
    written = member.read_config()
    return network_run.resume_network(
        member,
        written,
        processes,
        emit,
        settings=settings,
        scores_at_end=False,
        replaceable_teachers=own_teachers,
    )


def member_seed(seed: int, number: int) -> int:
    """Return the seed of a member: that of the ensemble for the first, else a derived one.

    Derived seeds are at least 2⁶¹ and come from SHA-256, so that no ensemble with another seed and
    no run of one network shares a network with this one.
    """
    if number == 0:
        return seed
    digest = hashlib.sha256(f"seed {seed}, member {number}".encode()).digest()
    return _FIRST_DERIVED_SEED + int.from_bytes(digest[:8], "big") % _FIRST_DERIVED_SEED


def _member_config(folder: RunFolder, config: Config, number: int) -> Config:
    """Return the config of a member, with its share of the time; a student comes last."""
    training, num_members = config.training, config.ensemble.members
    changes: dict[str, Any] = {"seed": member_seed(training.seed, number)}
    if training.budget:
        changes["budget"] = training.budget * config.ensemble.share(number)
    if number == num_members:  # the student
        members = [member_folder(folder, teacher + 1) for teacher in range(num_members)]
        paths = [str(member.path.resolve()) for member in members]
        changes["teachers"] = (*training.teachers, *paths)
    keys = {"training": training.model_dump() | changes, "ensemble": {}}
    return make_config(config.model_dump() | keys, "a member of the ensemble")


def _mix(
    folder: RunFolder, config: Config, finished: list[Finished], emit: Callable[[Event], None]
) -> Finished:
    """Mix the best of each member, save the mixture as the best checkpoint, and score it.

    The mixture weights are fitted on the validation split, which also chose the members. Raises
    `CorpusError` if the members have different texts.
    """
    emit(Mixing(config.ensemble.size, config.ensemble.ngram_order))
    checkpoints = [read_checkpoint(checkpoint_to_use(member.folder.path)) for member in finished]
    vocabulary = checkpoints[0].vocabulary
    fingerprint = checkpoints[0].fingerprint
    if others := [
        member.folder.path.name
        for member, checkpoint in zip(finished, checkpoints, strict=True)
        if checkpoint.fingerprint != fingerprint
    ]:
        raise CorpusError(
            f"{folder.path}: its members were trained on different texts; restore the text of "
            f"{finished[0].folder.path.name}, move {', '.join(others)} to another folder, where "
            "each remains a run, and resume"
        )
    corpus = _corpus_at(config, checkpoints[0])
    device = choose_device(config.training.device)
    models = [checkpoint.make_model(device) for checkpoint in checkpoints]
    members = [model for model in models if isinstance(model, LanguageModel)]
    train, validation = corpus.parts["train"].ids, corpus.parts["validation"]
    ensemble = Ensemble(members, config.ensemble.ngram_order or 0, text_to_count(corpus))
    if is_fitted := len(validation) > 1:
        preceding = train if config.corpus.validation_follows_training else train[:0]
        ensemble.fit(preceding, np.array(validation.ids))
    # The shape (that of `start_from`), precision and threads were resolved for the members.
    trained = checkpoints[0].config
    decided = {"precision": trained.training.precision, "threads": trained.training.threads}
    config = config.replace(model=trained.model, training=decided)
    folder.write_config(config)
    opening = Opening.of_passages(
        ensemble, choose_passages(train, vocabulary, config.training.seed)
    )
    records = merged(*(one.provenance for one in checkpoints))
    records = fitted(records) if is_fitted else records
    ensemble.precision = config.training.product_precision
    *network_losses, ensemble_loss = _validation_losses([*members, ensemble], validation, config)
    checkpoint = Checkpoint(
        config,
        vocabulary,
        corpus.fingerprint,
        {},
        training_counters={NETWORK_LOSSES: network_losses},
        opening_tensors=opening.tensors() if opening else {},
        provenance=records,
    )
    checkpoint = replace(checkpoint, weights=tensors_to_save(ensemble, checkpoint))
    folder.save_best(checkpoint)
    held_out, protocol = final_score(ensemble, corpus, config.training, records)
    predictor = Predictor(ensemble, vocabulary, config, opening=opening)
    sample = "".join(generate(predictor, seed=config.training.seed))
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
        sample=predictor.prefix + sample,
        networks=tuple(
            replace(member, best_loss=loss)
            for member, loss in zip(finished, network_losses, strict=True)
        ),
        kept_characters=stored_characters(checkpoint),
    )
    emit(event)
    return event


def _validation_losses(
    models: Sequence[AnyModel], validation: Part, config: Config
) -> list[float | None]:
    """Score models on the same characters of the validation split; None where there is none."""
    rows, characters = config.training.validation_rows, config.training.validation_characters
    return [
        evaluate_part(model, validation, rows, characters=characters).nats_per_character
        if len(validation) > 1
        else None
        for model in models
    ]
