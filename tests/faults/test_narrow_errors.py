"""Only what is expected becomes a line for the user: a bug keeps its traceback."""

import ast
import errno
import re
import zipfile
from collections.abc import Callable
from itertools import cycle
from pathlib import Path
from typing import Any

import pytest
import torch
from support.training import train

import charlm
from charlm.config.schema import CorpusConfig
from charlm.corpus import cache, catalogue, downloads, file_digests
from charlm.corpus.batches import SequentialBatches
from charlm.corpus.builder import build_corpus
from charlm.corpus.ids_check import IdsCheck
from charlm.corpus.vocabulary import Vocabulary
from charlm.distributed import joining
from charlm.distributed.launch import Launch
from charlm.environment.memory import is_out_of_memory
from charlm.errors import CharlmError, CheckpointError, ConfigError, ProcessError, file_errors
from charlm.files import measurements
from charlm.kernels import store
from charlm.models import language_model
from charlm.models.dropout import Masks
from charlm.prediction import predictor
from charlm.runs import checkpoint, checkpoint_header, starts
from charlm.runs.checkpoint import read_checkpoint, write_checkpoint
from charlm.runs.folder import RunFolder
from charlm.training import determinism, saved_trainer, state
from charlm.training.counters import Counters
from charlm.training.events import Event, NetworkBegins

BUGS = [AttributeError, TypeError, RuntimeError, NameError, IndexError, KeyError, ValueError]
SAID = "no connection: memory, allocate, overflow, deterministic, gloo, too large"
"""Words that once made a user's mistake of any error."""


class Bug:
    """A function with a mistake in it."""

    def __init__(self, kind: type[Exception]) -> None:
        self._error = kind(SAID)

    def __call__(self, *_: object, **__: object) -> Any:
        raise self._error


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    (folder / "text").write_text("".join(f"{number} of many, " for number in range(500)))
    return train(folder / "text", folder, "training.steps=2", name="run").path


def resume(run: Path) -> object:
    return charlm.resume(run, settings=["training.steps=3"])


def build(run: Path) -> object:
    return build_corpus(CorpusConfig(paths=(str(run.parent / "text"),)))


def recall_note(run: Path) -> object:
    note = store.KernelStore("bug")
    note.remember_failure("none")
    return note.recall()


Place = tuple[Any, str, Callable[[Path], object]]
PLACES: dict[str, Place] = {
    "the state's restoring": (state.TrainingState, "_restore", resume),
    "the trainer's restoring": (saved_trainer, "_check_tensors", resume),
    "the counters": (Counters, "from_json", resume),
    "the batches": (SequentialBatches, "restore", resume),
    "the threads": (state, "make_batches", resume),
    "a step": (Masks, "__init__", resume),
    "a checkpoint's config": (checkpoint, "make_config", predictor.load),
    "a checkpoint's vocabulary": (Vocabulary, "from_json", predictor.load),
    "a checkpoint's tensors": (checkpoint, "_group", predictor.load),
    "a checkpoint's header": (checkpoint_header, "parse_json", predictor.load),
    "a model": (language_model.LanguageModel, "__init__", predictor.load),
    "a cached corpus": (cache, "map_file", build),
    "a cached vocabulary": (IdsCheck, "__call__", build),
    "what is known of files": (file_digests, "parse_json", build),
    "what is known of the machine": (
        measurements,
        "parse_json",
        lambda run: measurements.remembered("x"),
    ),
    "a note of kernels": (store, "parse_json", recall_note),
    "an environment's record": (
        starts,
        "parse_json",
        lambda run: RunFolder(run).note_environment({}),
    ),
    "the catalogue": (catalogue, "parse_yaml", lambda run: catalogue.catalogue()),
}


@pytest.mark.parametrize(("kind", "name"), list(zip(cycle(BUGS), PLACES, strict=False)))
def test_a_bug_keeps_its_traceback(
    name: str, kind: type[Exception], trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever it is, and whatever it says."""
    owner, function, action = PLACES[name]
    monkeypatch.setattr(file_digests, "_REST_NS", -(10**9))  # the text has just been written
    build(trained)
    measurements.remember("x", 1)
    monkeypatch.setattr(owner, function, Bug(kind))
    with pytest.raises(kind, match=SAID):
        action(trained)


@pytest.mark.parametrize("kind", BUGS)
def test_bug_in_observer_keeps_its_traceback(
    kind: type[Exception], trained: Path, tmp_path: Path
) -> None:
    """A bug in an observer, in a guarded block or in a download keeps its traceback."""
    with pytest.raises(kind, match=SAID):
        charlm.resume(trained, settings=["training.steps=4"], on_event=Bug(kind))
    with pytest.raises(kind, match=SAID), determinism.deterministic(True):
        raise kind(SAID)
    with pytest.raises(kind, match=SAID), file_errors("be read", "a file", "wait"):
        raise kind(SAID)
    with zipfile.ZipFile(tmp_path / "archive", "w") as archive:
        archive.writestr("tale", "tale")
    with pytest.MonkeyPatch.context() as patch, pytest.raises(kind, match=SAID):
        patch.setattr(downloads, "_copy", Bug(kind))
        downloads.unpack_member(tmp_path / "archive", "tale", 4, "here")
    with pytest.raises(kind, match=SAID):
        downloads.transfer(str(tmp_path / "archive"), tmp_path / "to", 4, Bug(kind))


def together_with(error: Exception, patch: pytest.MonkeyPatch) -> None:
    """Raise an error where two processes train."""
    patch.setattr(joining, "launched", lambda: Launch(1, 2, 1, 2))
    distributed: Any = torch.distributed
    patch.setattr(distributed, "rendezvous", lambda *_, **__: iter([(None, 1, 2)]))
    patch.setattr(distributed, "PrefixStore", lambda *_: None)
    patch.setattr(distributed, "init_process_group", lambda *_, **__: None)
    patch.setattr(distributed, "new_group", lambda **_: None)
    patch.setattr(joining, "_leave", lambda *_: None)
    with joining.joined_processes():
        raise error


@pytest.mark.parametrize("kind", BUGS)
def test_bug_among_processes_keeps_traceback(
    kind: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bug in one of several processes keeps its traceback."""
    with pytest.raises(kind, match=SAID):
        together_with(kind(SAID), monkeypatch)


LOST: list[Exception] = [
    RuntimeError("[/pytorch/third_party/gloo/gloo/transport/tcp/pair.cc:534] Connection closed"),
    RuntimeError("Gloo connectFullMesh failed with [../third_party/gloo/gloo/x/pair.cc:14] none"),
    torch.distributed.DistNetworkError("Connection reset by peer"),
]


@pytest.mark.parametrize("error", LOST)
def test_a_process_that_is_lost_is_a_line(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ProcessError, match="another process has ended"):
        together_with(error, monkeypatch)


def test_only_a_lack_of_memory_is_recognised() -> None:
    """Each kind of lack of memory is recognised, and no other error is taken for one."""
    with pytest.raises(RuntimeError) as of_torch:
        torch.empty(1 << 45)
    with pytest.raises(RuntimeError) as of_sizes:
        torch.empty(1 << 40, 1 << 40)
    lacks = [of_torch.value, of_sizes.value, MemoryError(), torch.OutOfMemoryError("CUDA")]
    assert all(map(is_out_of_memory, lacks))
    assert not any(is_out_of_memory(kind(SAID)) for kind in BUGS)
    assert not is_out_of_memory(OSError(errno.ENOMEM, "Cannot allocate memory"))
    line = r"not enough memory for [\d,]+\.\d GB more"
    with pytest.raises(CharlmError, match=line), file_errors("be read", "a file", "wait"):
        torch.empty(1 << 45)


LACKING = {
    "the state": ("charlm.training.state.LanguageModel.initialize", "none"),
    "the first save": ("charlm.training.rollback.Rollback.save", "none"),
    "a step": ("charlm.training.trainer.Trainer.take_step", "none"),
    "a validation": ("charlm.training.validation.evaluate_split", "kept"),
    "a sample": ("charlm.training.validation.generate_bytes", "kept"),
    "the final score": ("charlm.training.final_result.final_score", "kept"),
}


@pytest.mark.parametrize(("target", "left"), LACKING.values(), ids=LACKING.keys())
def test_lack_of_memory_leaves_no_empty_run(
    target: str, left: str, text_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Training without enough memory fails with one line and leaves no run without a step.

    A run with a step is kept and resumes.
    """
    monkeypatch.setattr(target, lambda *_, **__: torch.empty(1 << 45))
    with pytest.raises(ConfigError, match=r"not enough memory.*batches\.batch_size"):
        train(text_file, tmp_path / "runs", "training.steps=2", name="run")
    assert (tmp_path / "runs" / "run").exists() == (left == "kept")
    monkeypatch.undo()
    if left == "kept":
        assert charlm.resume(tmp_path / "runs" / "run").step == 2
    else:
        assert train(text_file, tmp_path / "runs", "training.steps=2", name="run").last.exists()


@pytest.mark.parametrize("name", ["the state", "the first save", "a step", "a validation"])
@pytest.mark.parametrize("member", [1, 2])
def test_ensemble_without_memory_is_one_line(
    member: int, name: str, text_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An ensemble without enough memory fails with one line.

    Its folder is deleted if it has no member with a step, and otherwise resumes.
    """
    target, left = LACKING[name]

    def lack(event: Event) -> None:
        if isinstance(event, NetworkBegins) and event.number == member:
            monkeypatch.setattr(target, lambda *_, **__: torch.empty(1 << 45))

    settings = ("training.steps=2", "ensemble.members=2")
    with pytest.raises(ConfigError, match=r"not enough memory.*batches\.batch_size"):
        train(text_file, tmp_path / "runs", *settings, name="run", on_event=lack)
    is_kept = left == "kept" or member == 2
    assert (tmp_path / "runs" / "run").exists() == is_kept
    monkeypatch.undo()
    if is_kept:
        assert charlm.resume(tmp_path / "runs" / "run").step == 4
    else:
        assert train(text_file, tmp_path / "runs", *settings, name="run").best.exists()


def test_run_with_other_files_is_kept(trained: Path, tmp_path: Path) -> None:
    """Discarding a new run deletes nothing if the folder holds anything else."""
    run = RunFolder(trained)
    before = {path: path.read_bytes() for path in trained.rglob("*") if path.is_file()}
    run.discard()
    assert {path: path.read_bytes() for path in trained.rglob("*") if path.is_file()} == before


def test_empty_vocabulary_is_refused(trained: Path, tmp_path: Path) -> None:
    """A checkpoint whose vocabulary has no symbols is refused."""
    whole = read_checkpoint(RunFolder(trained).best)
    for unit in ("character", "byte"):
        empty = Vocabulary((), unit)
        write_checkpoint(
            tmp_path / "empty.safetensors",
            checkpoint.Checkpoint(whole.config, empty, whole.fingerprint, whole.weights),
        )
        with pytest.raises(CheckpointError, match=r"vocabulary is invalid.*another checkpoint"):
            predictor.load(tmp_path / "empty.safetensors")


LOSING_WORK = re.compile(
    r"\btrain (it |them )?(anew|again)\b"
    r"|(^|; |, |\bor |\band )(remove|delete|discard|throw away) (it|one|them|those|the run)\b"
)
"""Words of a message that recommends to delete a file or to repeat a training."""


def test_no_message_says_to_delete_a_run(trained: Path) -> None:
    """No message recommends deleting a run.

    A run whose training state is damaged can still give its weights to another.
    """
    run = RunFolder(trained)
    whole = run.last.read_bytes()
    saved = read_checkpoint(run.last)
    try:
        tensors = {**saved.training_tensors, "state.0.0": torch.zeros(1)}
        parts = (saved.config, saved.vocabulary, saved.fingerprint, saved.weights)
        write_checkpoint(run.last, checkpoint.Checkpoint(*parts, tensors, saved.training_counters))
        with pytest.raises(CheckpointError, match=r"start_from=\S+last\.safetensors\b"):
            resume(trained)
        text, runs = trained.parent / "text", trained.parent
        again = train(text, runs, "training.steps=1", f"training.start_from={run.last}")
        assert again.last.exists()
    finally:
        run.last.write_bytes(whole)
    for path in Path(charlm.__file__).parent.rglob("*.py"):
        nodes = list(ast.walk(ast.parse(path.read_text("utf-8"))))
        docstrings = {id(node.value) for node in nodes if isinstance(node, ast.Expr)}
        for node in nodes:
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                is_message = id(node) not in docstrings
                assert not (is_message and LOSING_WORK.search(node.value)), (path, node.value)
