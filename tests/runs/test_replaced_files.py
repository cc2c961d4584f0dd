"""A file that another process replaces at any moment is read whole: as it was, or as it is now."""

import os
import threading
from pathlib import Path
from typing import Any

import pytest
import torch

from charlm.config.schema import Config, CorpusConfig, ModelConfig
from charlm.corpus import cache_files
from charlm.corpus.builder import build_corpus
from charlm.corpus.cache import cached_corpus
from charlm.corpus.corpus import SPLITS
from charlm.corpus.vocabulary import Vocabulary
from charlm.errors import CheckpointError
from charlm.models.language_model import LanguageModel
from charlm.runs.checkpoint import Checkpoint, read_checkpoint, write_checkpoint
from charlm.runs.creation import create_run_folder
from charlm.runs.finding import newest_run


def checkpoint_of(hidden_size: int) -> Checkpoint:
    """The size of the file depends on the hidden size."""
    config = Config(model=ModelConfig(hidden_size=hidden_size, embedding_size=2))
    vocabulary = Vocabulary((10, 97, 98))
    model = LanguageModel(config.model, len(vocabulary))
    model.initialize(torch.Generator().manual_seed(0))
    return Checkpoint(config, vocabulary, "0", model.state_dict())


def test_reading_while_replaced(tmp_path: Path) -> None:
    """Every one of many reads gives one of the two checkpoints that a writer writes in turn."""
    path, other = tmp_path / "last.safetensors", tmp_path / "other.safetensors"
    write_checkpoint(path, checkpoint_of(3))
    write_checkpoint(other, checkpoint_of(9))
    contents = path.read_bytes(), other.read_bytes()
    ends = threading.Event()

    def replace() -> None:
        number = 0
        while not ends.is_set():
            other.write_bytes(contents[number % 2])
            other.replace(path)
            number += 1

    writer = threading.Thread(target=replace)
    writer.start()
    try:
        sizes = {read_checkpoint(path).config.model.hidden_size for _ in range(400)}
    finally:
        ends.set()
        writer.join()
    assert sizes == {3, 9}


def test_a_checkpoint_is_opened_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is checked and read belongs to one file, even if it is replaced in between."""
    path = tmp_path / "last.safetensors"
    write_checkpoint(path, checkpoint_of(3))
    new = tmp_path / "new"
    write_checkpoint(new, checkpoint_of(9))
    true_fstat = os.fstat

    def fstat(number: int) -> os.stat_result:
        if new.exists():
            new.replace(path)
        return true_fstat(number)

    monkeypatch.setattr(os, "fstat", fstat)
    read = read_checkpoint(path)
    assert not new.exists(), "it was replaced while it was read"
    assert read.config.model.hidden_size == 3
    assert read_checkpoint(path).config.model.hidden_size == 9


def test_a_folder_is_no_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=str(tmp_path)):
        read_checkpoint(tmp_path)


def test_checked_ids_are_mapped(
    text_file: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A file of ids that replaces the checked one is not mapped."""
    monkeypatch.setenv("CHARLM_CACHE", str(tmp_path / "cache"))
    built = build_corpus(CorpusConfig(paths=(str(text_file),)))
    expected = {name: built.splits[name].ids.tolist() for name in SPLITS}
    folder = tmp_path / "cache" / "corpora" / built.fingerprint
    true_digest = cache_files.digest_of_file

    def digest_of_file(file: Any, *see: Any) -> str | None:
        digest = true_digest(file, *see)
        path = folder / Path(getattr(file, "name", file)).name
        if path.suffix == ".ids":
            path.rename(tmp_path / f"old-{path.name}")
            path.write_bytes(bytes(len(expected[path.stem])))  # type: ignore[index]
        return digest

    monkeypatch.setattr(cache_files, "digest_of_file", digest_of_file)
    cached = cached_corpus(built.fingerprint)
    assert cached is not None
    assert {name: cached.splits[name].ids.tolist() for name in SPLITS} == expected


def test_newest_run_while_files_vanish(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The newest run is found while checkpoints are deleted."""
    made = create_run_folder(tmp_path, "run", "stem", Config())
    for path in (made.last, made.numbered(1)):
        write_checkpoint(path, checkpoint_of(3))
    true_stat = Path.stat

    def stat(path: Path, **options: Any) -> os.stat_result:
        if path == made.numbered(1):
            path.unlink(missing_ok=True)
        return true_stat(path, **options)

    monkeypatch.setattr(Path, "stat", stat)
    assert newest_run(tmp_path).path == made.path
