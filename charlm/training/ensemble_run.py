"""Train an ensemble: its members one after another, each in a run folder of its own."""

import hashlib
import os
from collections.abc import Callable, Iterator
from typing import Any

from charlm.config.load import make_config
from charlm.config.schema import Config
from charlm.corpus.builder import build_corpus
from charlm.distributed.processes import Processes
from charlm.errors import RunError, file_errors
from charlm.runs.checkpoint import read_checkpoint
from charlm.runs.creation import create_run_folder
from charlm.runs.folder import RunFolder
from charlm.training import network_run
from charlm.training.command_clock import CommandClock
from charlm.training.determinism import environment
from charlm.training.events import (
    Advised,
    Event,
    Finished,
    NetworkBegins,
    Started,
    Stepped,
    Stopping,
    StopRequested,
)
from charlm.training.member_logs import member_folder, merge_logs
from charlm.training.mixing import corpus_of_members, mix_members
from charlm.training.mixing_time import EnsembleTime
from charlm.training.resume_rules import changeable_settings, check_not_begun
from charlm.training.time_budget import KeptTime

_FIRST_DERIVED_SEED = 2**61
"""Half of the largest seed that a config takes."""


def train_members(
    folder: RunFolder,
    config: Config,
    processes: Processes,
    emit: Callable[[Event], None],
    clock: CommandClock,
) -> Finished:
    """Train or resume each member in a run folder of its own, then mix them.

    On Ctrl-C it emits `Stopping`, unless no step was taken, and raises `KeyboardInterrupt`.
    """
    member_events = _MemberEvents(folder, emit)
    try:
        time = EnsembleTime(config, clock)
        if division := time.begin(is_new=not _is_begun(member_folder(folder, 1))):
            emit(Advised((division,)))
        finished = _finish_members(folder, config, processes, emit, member_events, time)
        return mix_members(
            folder,
            config,
            finished,
            emit,
            clock,
            time.end(),
            have_trained=member_events.have_steps,
        )
    except KeyboardInterrupt:
        if not member_events.is_requested:  # a second request stops without saving
            member_events.report_stop()
        raise


def _finish_members(
    folder: RunFolder,
    config: Config,
    processes: Processes,
    emit: Callable[[Event], None],
    member_events: "_MemberEvents",
    time: EnsembleTime,
) -> list[Finished]:
    finished: list[Finished] = []
    for number, (member, member_config) in enumerate(planned_members(folder, config)):
        merge_logs(folder)
        is_student = number == config.ensemble.members
        budget = config.training.budget
        emit(NetworkBegins(folder, number + 1, config.ensemble.size, is_student, budget))
        if _is_begun(member):
            with member.locked():
                own_teachers = config.ensemble.members if is_student else 0
                finished.append(
                    _resume(
                        member,
                        member_config,
                        processes,
                        member_events,
                        time.clock,
                        time.kept(number),
                        own_teachers,
                    )
                )
        else:

            def make_folder(resolved: Config, member: RunFolder = member) -> RunFolder:
                create_run_folder(folder.path, member.path.name, "", resolved)
                return member

            finished.append(
                network_run.train_network(
                    member_config,
                    make_folder,
                    processes,
                    member_events,
                    time.clock,
                    scores_at_end=False,
                    kept=time.kept(number),
                )
            )
    merge_logs(folder)
    return finished


class _MemberEvents:
    """Emits the events of members as those of the ensemble; records the machine at the first."""

    def __init__(self, folder: RunFolder, emit: Callable[[Event], None]) -> None:
        self._folder, self._emit = folder, emit
        self.have_steps = False
        """Whether a member has taken a step."""
        self.is_requested = False
        """Whether a member in training was asked to stop; it emits `Stopping` once it is saved."""
        self._is_noted = False
        self._is_stopping = False

    def __call__(self, event: Event) -> None:
        if isinstance(event, Started) and not self._is_noted:
            training, fingerprint = event.config.training, event.corpus.fingerprint
            self._folder.note_environment(environment(training, event.model, fingerprint))
            self._is_noted = True
        self.is_requested = self.is_requested or isinstance(event, StopRequested)
        self.have_steps = self.have_steps or isinstance(event, Stepped)
        if isinstance(event, Stopping):
            self.report_stop()
        elif not isinstance(event, Finished):
            self._emit(event)

    def report_stop(self) -> None:
        """Emit `Stopping` once, if a member has taken a step and has a checkpoint."""
        may_stop = self.have_steps and not self._is_stopping
        if may_stop and any(self._folder.path.glob("member-*/checkpoints/*.safetensors")):
            self._is_stopping = True
            self._emit(Stopping(self._folder))


def planned_members(folder: RunFolder, config: Config) -> Iterator[tuple[RunFolder, Config]]:
    """Yield the folder of each member, which may not exist, and the config that it gets."""
    for number in range(config.ensemble.size):
        yield member_folder(folder, number + 1), _member_config(folder, config, number)


def check_text(folder: RunFolder, config: Config) -> None:
    """Raise `CorpusError` if the text is not the one that the members were trained on."""
    members = [member_folder(folder, number + 1) for number in range(config.ensemble.size)]
    last = next((member.last for member in members if member.last.exists()), None)
    if last is None:
        build_corpus(config.corpus)
    else:
        corpus_of_members(config, read_checkpoint(last))


def _is_begun(member: RunFolder) -> bool:
    """Return whether the member can be resumed; raises `RunError` for a folder that is no run's."""
    path = member.path
    with file_errors("be read", path, "check the folder"):
        if member.last.exists() or member.config_file.exists():
            return True
        check_not_begun(member)
        if os.path.lexists(path):  # an empty folder, too: charlm leaves none
            raise RunError(f"{path}: not a run of charlm; move it away, and resume")
    return False


def _resume(
    member: RunFolder,
    config: Config,
    processes: Processes,
    emit: Callable[[Event], None],
    clock: CommandClock,
    kept: KeptTime,
    own_teachers: int,
) -> Finished:
    """Resume a member; the last `own_teachers` teachers of a student are members, too."""
    return network_run.resume_network(
        member,
        network_run.checkpoint_to_resume(member),
        processes,
        emit,
        clock,
        settings=changeable_settings(config),
        scores_at_end=False,
        kept=kept,
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
