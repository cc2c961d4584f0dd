"""Hostile input: it works or is refused in one line; and nothing else ever comes of it.

The short form runs with all tests. The long form, `pytest -m long tests/fuzz -s`, tries as many
inputs as `CHARLM_FUZZ_INPUTS` says, and prints how many it tried.
"""

import ctypes
import gc
import gzip
import hashlib
import json
import math
import os
import re
import shutil
import signal
import struct
import sys
import time
import tracemalloc
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from threading import current_thread, main_thread
from typing import Any

import pytest
import torch
import yaml
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st
from safetensors.torch import load, save
from typer.testing import CliRunner

from charlm.cli.main import app
from charlm.config.load import load_config, make_config, to_yaml
from charlm.config.schema import Config, CorpusConfig, EnsembleConfig, ModelConfig
from charlm.corpus import catalogue as texts
from charlm.corpus.builder import build_corpus
from charlm.corpus.corpus import FILES, PARTS, SKETCHES, Corpus
from charlm.corpus.provenance import records_of
from charlm.corpus.vocabulary import Vocabulary
from charlm.errors import CharlmError, CheckpointError, DivergenceError, RunError, file_errors
from charlm.files import measurements
from charlm.files.locations import cache_folder
from charlm.kernels import compiler
from charlm.kernels.store import KernelStore
from charlm.models.ensemble import Ensemble
from charlm.models.language_model import LanguageModel
from charlm.models.openings import Opening, choose_passages
from charlm.prediction import evaluation, generation, predictor
from charlm.prediction.perplexity import Score
from charlm.runs.checkpoint import FORMAT_VERSION, Checkpoint, read_checkpoint, write_checkpoint
from charlm.runs.creation import create_run_folder
from charlm.runs.folder import RunFolder
from charlm.training import start as experiment

TRIED: Counter[str] = Counter()
"""How many inputs each target was given."""
MEMORY = 64 << 20
"""Bytes that Python may take to refuse a small hostile input."""
MOST_TO_SAY = 1000
"""Characters of a message for one mistake, or of its remedy."""
MOST_SECONDS = 10
"""For one input; a busy machine takes a while for the first training step."""
TEXT = "the rain came in, and nobody on the platform said a word. " * 20

characters = st.characters(exclude_categories=())  # surrogates and controls, too
any_text = st.text(characters, max_size=60)
names = any_text | st.lists(
    st.sampled_from(["..", ".", "/", "\\", "a", "~", "*", "**", "\0", "\x1b[2J", "\n", "é" * 200]),
    max_size=4,
).map("".join)
leaves = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | names
    | st.sampled_from([2**62, 10**400, -1, 1e-320, "1e999h", "9" * 400, "punycode", "rot13"])
)
trees = st.recursive(
    leaves, lambda t: st.lists(t, max_size=3) | st.dictionaries(names, t), max_leaves=6
)
digests = st.sampled_from(["\ud800", "", "0" * 64, "é" * 64, None])
sections = {
    name: st.sampled_from(sorted(field.annotation.model_fields))  # type: ignore[union-attr]
    for name, field in Config.model_fields.items()
}
config_trees = (
    st.fixed_dictionaries(
        {},
        optional={
            name: st.dictionaries(keys, trees, max_size=4) for name, keys in sections.items()
        },
    )
    | trees
)
YAML = [
    *("corpus", "model:", "paths: ", "&a ", "*a", "[", "]", "{", "? ", "- ", "\n  ", "<<: ", ": "),
    *(
        "!!python/object/apply:os.system [touch exploded]",
        "'",
        '"\\ud800"',
        "1e9",
        "%YAML 9",
        "---\n",
    ),
]
yaml_texts = any_text | st.lists(st.sampled_from(YAML), max_size=12).map("".join)
settings_given = st.tuples(
    st.sampled_from([f"{s}.{k}" for s in sections for k in ("paths", "length", "cell", "x")])
    | names,
    names | yaml_texts,
).map("=".join)


@st.composite
def damages(draw: st.DrawFn, whole: bytes) -> bytes:
    """Cut, flip, replace or lengthen."""
    data = bytearray(whole)
    for _ in range(draw(st.integers(1, 3))):
        place = draw(st.integers(0, len(data)))
        kind = draw(st.sampled_from(["cut", "flip", "replace", "insert"]))
        if kind == "cut":
            del data[place:]
        elif kind == "flip" and place < len(data):
            data[place] ^= 1 << draw(st.integers(0, 7))
        else:
            end = place + draw(st.integers(0, 9)) if kind == "replace" else place
            data[place:end] = draw(
                st.binary(max_size=9) | st.sampled_from([b"-1", b"9" * 30, b"[]"])
            )
    return bytes(data)


class HangError(BaseException):
    """No `Exception`, which charlm may catch, and hypothesis would wait for again and again."""


@contextmanager
def timed() -> Iterator[None]:
    """Stop what takes more than MOST_SECONDS, with a traceback of where it is."""
    if not hasattr(signal, "setitimer") or current_thread() is not main_thread():
        yield
        return

    def stop(*_: object) -> None:
        raise HangError(f"still busy after {MOST_SECONDS} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, MOST_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def lawful(action: Callable[[], object]) -> bool:
    """Hold an action to the law, and say whether it worked."""
    start = time.monotonic()
    try:
        with timed():
            action()
    except CharlmError as error:
        mistakes = str(error).split("; ")
        assert len(str(error)) > 20 and len(mistakes) <= 50, "it says what is wrong, and not all"
        assert max(map(len, mistakes)) < MOST_TO_SAY, str(error)
        worked = False
    else:
        worked = True
    assert time.monotonic() - start < MOST_SECONDS  # where nothing stops it
    return worked


def sealed(about: dict[str, Any], tensors: dict[str, torch.Tensor]) -> bytes:
    """Make a checkpoint's bytes with a right digest: whoever forges one computes it, too."""
    data = save(tensors, {"charlm": json.dumps(about | {"sha256": "0" * 64})})
    return data.replace(b"0" * 64, hashlib.sha256(data).hexdigest().encode(), 1)


def about_of(data: bytes) -> dict[str, Any]:
    header = json.loads(data[8 : 8 + struct.unpack("<Q", data[:8])[0]])
    about: dict[str, Any] = json.loads(header["__metadata__"]["charlm"])
    return about


def whole_checkpoint(folder: Path, ensemble: bool) -> Checkpoint:
    config = Config(model=ModelConfig(hidden_size=3, embedding_size=2))
    vocabulary = Vocabulary((10, 97, 98))
    model = LanguageModel(config.model, len(vocabulary))
    model.initialize(torch.Generator().manual_seed(0))
    weights = model.state_dict()
    if ensemble:
        config = config.model_copy(update={"ensemble": EnsembleConfig(ngram_order=1)})
        ids = vocabulary.encode_text("abba\n")
        weights = Ensemble([model], 1, ids).tensors()
    whole = Checkpoint(config, vocabulary, "0", weights)
    made, ids = whole.make_model(), vocabulary.encode_text("abba\nabab\n" * 9)
    opening = Opening.of_passages(made, choose_passages(ids, vocabulary, 0))
    assert opening is not None
    whole = replace(whole, opening_tensors=opening.tensors())
    write_checkpoint(folder / "whole", whole)
    return whole


def use(path: Path, text: Path) -> None:
    """Read a checkpoint, write with it, and score a text with it."""
    loaded = predictor.load(path, device="cpu")
    score = evaluation.evaluate(loaded, text=text)
    about = [overlap.to_json() for overlap in score.overlaps]
    json.dumps([score.to_json(), score.protocol, about], allow_nan=False)
    list(generation.generate(loaded, length=3, seed=0, greedy=False, top_k=2))


def change(data: st.DataObject, about: dict[str, Any]) -> None:
    """Put any tree in the place of one thing of a tree, or of none."""
    at: Any = about
    while data.draw(st.booleans()) and isinstance(at, dict) and at:
        key = data.draw(st.sampled_from(sorted(at)))
        if not isinstance(at[key], dict) or data.draw(st.booleans()):
            at[key] = data.draw(trees)
        at = at[key]


def forge(data: st.DataObject, about: dict[str, Any], tensors: dict[str, torch.Tensor]) -> None:
    """Change one thing of what a checkpoint says, or none, and one of its tensors, or none."""
    change(data, about)
    shapes = st.lists(st.integers(0, 5), max_size=3)
    dtypes = st.sampled_from([torch.float32, torch.float64, torch.int8, torch.complex64])
    name = data.draw(st.sampled_from(sorted(tensors)))
    value = data.draw(st.sampled_from([1.0, 3e38, float("nan")]))
    odd = torch.full(data.draw(shapes), 1.0).to(data.draw(dtypes))
    tensors[name] = data.draw(
        st.sampled_from([odd, torch.full_like(tensors[name].float(), value), tensors[name]])
    )


FOLDER = Path("two", "levels", "down")


class Targets:
    """Everything that reads what others may have written, in one folder, a few levels down."""

    def __init__(self, top: Path) -> None:
        self.top = top
        self.folder = folder = top / FOLDER
        (folder.parent / "file").write_text("of somebody else")
        self.path = folder / "input"
        self.whole = {kind: whole_checkpoint(folder, kind) for kind in (False, True)}
        self.bytes = (folder / "whole").read_bytes()
        self.text = folder / "text"
        self.text.write_text(TEXT)
        self.loaded = predictor.Predictor(
            self.whole[False].make_model(), Vocabulary((10, 97, 98)), Config(), None
        )
        (folder / "runs").mkdir()
        small = Config(model=ModelConfig(hidden_size=3, embedding_size=2))
        limits = [f"training.{key}" for key in ("steps=3", "average=0.5", "device=cpu")]
        sizes = ["batches.batch_size=4", "batches.sequence_length=8", "generation.length=2"]
        about: Any = {"text": self.text, "settings": [*limits, *sizes], "runs": folder / "runs"}
        self.trained = experiment.train(small, **about, name="trained").folder
        self.before = self.written_by_nobody()

    def written_by_nobody(self) -> dict[str, Any]:
        """Return all that must stay as it is: what lies outside of runs, cache and input."""
        inside = {"runs", "forged", "cache", "shelf"}
        inputs = {f"input{suffix}" for suffix in ("", ".yaml", ".txt", ".gz")}
        found: dict[str, Any] = dict.fromkeys(map(str, Path("/").iterdir()))
        for folder, folders, files in os.walk(self.top):
            if Path(folder) == self.folder:
                folders[:] = set(folders) - inside
                files = [name for name in files if name not in inputs]  # noqa: PLW2901
            for name in (*folders, *files):
                about = (path := Path(folder) / name).lstat()
                found[str(path)] = path.is_file() and (about.st_size, about.st_mtime_ns)
        return found

    def try_config_text(self, data: st.DataObject) -> None:
        self.path.with_suffix(".yaml").write_text(
            data.draw(yaml_texts), encoding="utf-8", errors="surrogatepass"
        )
        lawful(lambda: load_config(self.path.with_suffix(".yaml")))

    def try_config_tree(self, data: st.DataObject) -> None:
        keys = data.draw(config_trees)
        lawful(lambda: to_yaml(make_config(keys, "hostile")))

    def try_setting(self, data: st.DataObject) -> None:
        given = data.draw(st.lists(settings_given, max_size=3))
        lawful(lambda: load_config("quickstart", given))

    def try_corpus(self, data: st.DataObject) -> None:
        path = self.path.with_suffix(data.draw(st.sampled_from([".txt", ".gz"])))
        content = data.draw(st.binary(max_size=200) | damages(gzip.compress(TEXT.encode())))
        path.write_bytes(content)
        encoding = data.draw(st.sampled_from(["utf-8", "utf-16", "utf-7", "punycode", "cp037"]))
        unit = data.draw(st.sampled_from(["character", "byte"]))
        split = data.draw(st.sampled_from([(1.0, 0.0, 0.0), (0.8, 0.1, 0.1)]))
        form = data.draw(
            st.sampled_from(["none", "NFC", "NFKD"]) if unit != "byte" else st.just("none")
        )
        about = {"encoding": encoding, "unit": unit, "split": split, "normal_form": form}
        config = CorpusConfig.model_validate({"paths": [str(path)], **about})
        lawful(lambda: build_corpus(config))

    def try_path(self, data: st.DataObject) -> None:
        # Absolute names are those of this folder: what all of the machine holds may be endless.
        name = data.draw(names.filter(lambda name: name.count("..") < 3 and name != "-"))
        inside = self.folder / data.draw(st.sampled_from(["none", "shelf", ""]))
        config = CorpusConfig(paths=(f"{inside}/{name}",))
        lawful(lambda: build_corpus(config))

    def try_cache(self, data: st.DataObject) -> None:
        config = CorpusConfig(paths=(str(self.text),), unit="character")
        folder = cache_folder() / "corpora" / (whole := build_corpus(config)).fingerprint
        expected = texts_of(whole)  # now: its ids are mapped, not read
        sketches = [one.sketch.hashes.tolist() for one in records_of(whole, config)]
        names = [*FILES, *SKETCHES.values()]
        path = folder / data.draw(st.sampled_from(names))
        path.write_bytes(data.draw(damages(path.read_bytes())))
        assert texts_of(again := build_corpus(config)) == expected
        assert [one.sketch.hashes.tolist() for one in records_of(again, config)] == sketches
        (folder / "corpus.json").unlink()

    def try_forged_cache(self, data: st.DataObject) -> None:
        """Change an entry and compute its digests anew: it is refused, or of use."""
        config = CorpusConfig(paths=(str(self.text),), unit="character", split=(0.5, 0.2, 0.3))
        folder = cache_folder() / "corpora" / build_corpus(config).fingerprint
        about = json.loads((folder / "corpus.json").read_text())
        del about["sha256"]
        change(data, about)
        names = [f"{name}.{kind}" for name in PARTS for kind in ("ids", "unknown")]
        path = folder / data.draw(st.sampled_from(names))
        path.write_bytes(data.draw(damages(path.read_bytes()) | st.just(path.read_bytes())))
        if isinstance(digests := about.get("digests"), dict):
            digests[path.name] = hashlib.sha256(path.read_bytes()).hexdigest()
        if isinstance(written := about.get("written"), dict):
            written[path.name] = path.stat().st_mtime_ns
        about["sha256"] = hashlib.sha256(json.dumps(about).encode()).hexdigest()
        (folder / "corpus.json").write_text(json.dumps(about))
        try:
            lawful(lambda: use_corpus(build_corpus(config)))
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def try_memory(self, data: st.DataObject) -> None:
        """What charlm remembers of files and of the machine."""
        config = CorpusConfig(paths=(str(self.text),))
        expected = texts_of(build_corpus(config))
        measurements.remember("x", 1.0)
        for name in ("measurements.json", "corpora/file-digests.json"):
            honest = {"x": 1.5, str(self.text): [[1, 2, 3, 4], "00"]}
            content = json.dumps(data.draw(trees | st.just(honest))).encode()
            (cache_folder() / name).write_bytes(data.draw(damages(content) | st.just(content)))
        lawful(lambda: measurements.remembered("x"))
        measurements.remember("x", 1.5)
        assert measurements.remembered("x") == 1.5
        assert texts_of(build_corpus(config)) == expected

    def try_kernels(self, data: st.DataObject) -> None:
        """Whatever lies in the folder of kernels: what charlm built there is read, or nothing."""
        honest, store = b"what charlm has built", KernelStore("0123456789abcdef0123")
        shutil.rmtree(store.folder, ignore_errors=True)
        store.keep(honest)
        library, note = sorted(store.folder.iterdir(), key=lambda path: path.suffix == ".json")
        path = data.draw(st.sampled_from([library, note]))
        change(data, about := json.loads(note.read_text()))
        content = data.draw(damages(path.read_bytes()) | st.just(json.dumps(about).encode()))
        kind = data.draw(
            st.sampled_from(["content", "another's", "mode", "link", "folder", "none"])
        )
        if kind == "content":
            path.write_bytes(content)
        elif kind == "another's" and os.name != "nt" and os.geteuid() == 0:
            os.chown(data.draw(st.sampled_from([path, store.folder])), 65534, -1)
        elif kind == "mode":
            data.draw(st.sampled_from([path, store.folder])).chmod(0o777)
        elif kind == "link":
            path.rename(self.path)
            path.symlink_to(self.path)
        elif kind == "folder":
            path.unlink()
            path.mkdir()
        assert store.read() in (honest, None)
        assert store.read() == honest or kind != "none"
        if kind in ("mode", "link", "folder"):
            assert store.read() is None
        lawful(store.failure)
        with suppress(OSError):
            store.keep(honest)
            assert store.read() in (honest, None)

    def try_damaged_checkpoint(self, data: st.DataObject) -> None:
        self.path.write_bytes(damaged := data.draw(damages(self.bytes)))
        worked = lawful(lambda: read_checkpoint(self.path))
        assert worked == (damaged == self.bytes)

    def try_header(self, data: st.DataObject) -> None:
        """Any tree in the place of a checkpoint's header, or of what stands in it."""
        about = {"format_version": st.just(FORMAT_VERSION), "sha256": digests}
        inner = data.draw(st.fixed_dictionaries(about) | trees)
        header = data.draw(st.just({"__metadata__": {"charlm": json.dumps(inner)}}) | trees)
        written = json.dumps(header, ensure_ascii=data.draw(st.booleans()))
        self.path.write_bytes(with_size(written.encode(errors="surrogatepass")))
        assert not lawful(lambda: read_checkpoint(self.path))

    def try_forged_checkpoint(self, data: st.DataObject) -> None:
        whole = self.whole[data.draw(st.booleans())]
        about = about_of(self.bytes) | {"config": whole.config.model_dump(mode="json")}
        named = {"model": whole.weights, "opening": whole.opening_tensors}
        tensors = {f"{kind}.{n}": t for kind, group in named.items() for n, t in group.items()}
        forge(data, about, tensors)
        self.path.write_bytes(sealed(about, tensors))
        if about["config"] == whole.config.model_dump(mode="json"):
            lawful(lambda: use(self.path, self.text))
        else:  # what an honest config may ask for, such as a text of 2**62 characters, is no fault
            lawful(lambda: read_checkpoint(self.path).make_model())

    def try_forged_run(self, data: st.DataObject) -> None:
        run = RunFolder(self.folder / "forged")
        shutil.rmtree(run.path, ignore_errors=True)
        shutil.copytree(self.trained.path, run.path)
        whole = run.last.read_bytes()
        about, tensors = about_of(whole), load(whole)
        within = data.draw(st.sampled_from(["config", "counters", "trainer", "run", "tensors"]))
        counters = about["counters"]
        forge(data, {"tensors": {}, **about, **counters}[within], tensors)
        run.last.write_bytes(sealed(about, tensors))
        lawful(lambda: experiment.resume(run.path, settings=["training.steps=4"]))
        lawful(lambda: use(run.best, self.text))

    def try_prefix(self, data: st.DataObject) -> None:
        prefix, stop = data.draw(any_text), data.draw(any_text)
        how: Any = data.draw(st.sampled_from(["error", "skip", "map"]))
        vocabulary = data.draw(st.sampled_from([Vocabulary((10, 97)), Vocabulary.of_bytes()]))
        lawful(lambda: vocabulary.encode_text(prefix, how))
        options: dict[str, Any] = {"unknown": how, "stop": stop, "length": 2}
        lawful(lambda: "".join(generation.generate(self.loaded, prefix, **options)))

    def try_run_name(self, data: st.DataObject) -> None:
        beginnings = ["", "../", "../../", "/", f"{self.top}/", f"{self.folder.parent}/"]
        name = data.draw(st.sampled_from(beginnings)) + data.draw(names)
        lawful(lambda: create_run_folder(self.folder / "runs", name, "stem", Config()))

    def try_catalogue(self, data: st.DataObject) -> None:
        name = data.draw(names | st.just("tale"))
        with zipfile.ZipFile(self.path, "w") as archive:
            for member in data.draw(st.sets(names.filter(encodable), max_size=2)):
                archive.writestr(member, "tale")
            inside = archive.namelist()
        member = data.draw(st.sampled_from([*inside, "no such", "arrived"]))
        entry = self.entry_for(member, data.draw(st.sampled_from([len("tale"), 3, 0])))
        odd_keys = st.sampled_from(["size", "member", "member_size", "sha256", "x"])
        entry |= data.draw(st.dictionaries(odd_keys, trees, max_size=1))
        odd = data.draw(st.just(name) | st.integers() | st.none())
        listed = yaml.safe_dump({odd: entry} if data.draw(st.booleans()) else data.draw(trees))
        written = data.draw(st.just(listed) | yaml_texts).encode(errors="surrogatepass")
        self.get(name, data.draw(st.just(written) | damages(written)))

    def try_download(self, data: st.DataObject) -> None:
        """A damaged archive whose digest is the right one."""
        methods = [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA]
        with zipfile.ZipFile(self.path, "w", data.draw(st.sampled_from(methods))) as archive:
            archive.writestr("tale", TEXT)
        self.path.write_bytes(data.draw(damages(self.path.read_bytes())))
        listed = yaml.safe_dump({"tale": self.entry_for("tale", len(TEXT.encode()))})
        self.get("tale", listed.encode())

    def entry_for(self, member: str, member_size: int) -> dict[str, Any]:
        """Return what a catalogue says of the archive in `path`."""
        content = self.path.read_bytes()
        about = {"title": "t", "address": "a", "licence": "l", "size": len(content)}
        digest = hashlib.sha256(content).hexdigest()
        return about | {"sha256": digest, "member": member, "member_size": member_size}

    def get(self, name: str, catalogue: bytes) -> None:
        (shelf := self.folder / "shelf").mkdir(exist_ok=True)
        (shelf / "corpora.yaml").write_bytes(catalogue)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(texts, "shipped", lambda kind: shelf)
            if lawful(lambda: texts.get(name, self.path)):
                lawful(lambda: texts.files_of(name))


def encodable(name: str) -> bool:
    try:
        return bool(name.encode()) and name[0] != "\0"  # zipfile cuts it there
    except UnicodeEncodeError:
        return False


def texts_of(corpus: Corpus) -> list[str]:
    return [corpus.vocabulary.decode(part.ids) for part in corpus.parts.values()]


def use_corpus(corpus: Corpus) -> None:
    """Read all ids, teach the unknown sign as training does, and score."""
    texts_of(corpus)
    assert all(0 < int(one) < len(corpus.vocabulary) for one in corpus.hapaxes)
    for part in corpus.parts.values():
        if len(part) > 1:  # as whoever scores one asks
            size, unknown = part.measure(1, len(part))
            assert Score(1.0, len(part) - 1, size, unknown).bits_per_byte > 0


@pytest.fixture
def targets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Targets]:
    compiler.library()  # in the cache that all tests share
    monkeypatch.setenv("CHARLM_CACHE", str(tmp_path / FOLDER / "cache"))
    (tmp_path / FOLDER).mkdir(parents=True)
    monkeypatch.chdir(tmp_path / FOLDER)
    yield Targets(tmp_path)


NAMES = [name for name in dir(Targets) if name.startswith("try_")]


def attempts(targets: Targets, name: str, inputs: int, start: int) -> Any:
    """Return a test of hypothesis that tries so many inputs on a target."""

    @seed(start)
    @given(st.data())
    @settings(
        max_examples=inputs, database=None, deadline=None, suppress_health_check=list(HealthCheck)
    )
    def attempt(data: st.DataObject) -> None:
        getattr(targets, name)(data)
        TRIED[name] += 1  # now: a draw that came to nothing was no input
        assert targets.written_by_nobody() == targets.before

    return attempt


def try_out(targets: Targets, name: str, inputs: int, start: int = 0) -> None:
    attempts(targets, name, inputs, start)()


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="Windows has no such timer")
def test_what_hangs_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "MOST_SECONDS", 0.1)
    before = signal.getsignal(signal.SIGALRM)
    with pytest.raises(HangError):
        lawful(lambda: time.sleep(60))
    assert signal.getsignal(signal.SIGALRM) is before


@pytest.mark.parametrize("name", NAMES)
def test_hostile_input_works_or_is_refused(name: str, targets: Targets) -> None:
    """Hostile input works or is refused in one line, in little time and memory."""
    try_out(targets, name, 25)


@pytest.mark.long
@pytest.mark.parametrize("name", NAMES)
def test_hostile_input_at_length(name: str, targets: Targets) -> None:
    inputs = int(os.environ.get("CHARLM_FUZZ_INPUTS", "110000")) // len(NAMES)
    try_out(targets, name, 100, start=-1)  # what is loaded once
    grown = 0
    for start in range(0, inputs, 250):  # few: hypothesis remembers them, and that is counted, too
        forget_the_most()
        before = most_memory()
        try_out(targets, name, min(250, inputs - start), start)
        grown = max(grown, most_memory() - before)
    total = TRIED.total()
    print(f"\n{name}: {TRIED[name]:,} inputs, {total:,} in all; {grown} MB more at the peak")
    assert grown < 64


def forget_the_most() -> None:
    """Let the peak be what is resident now, so that no target hides behind an earlier one."""
    if sys.platform != "linux":
        return
    gc.collect()
    libc = ctypes.CDLL(None)
    if hasattr(libc, "malloc_trim"):  # charlm has glibc keep what is freed
        libc.malloc_trim(0)
    with suppress(OSError):  # of a kernel without it
        Path("/proc/self/clear_refs").write_text("5")


def most_memory() -> int:
    """Return the most megabytes that were resident at once so far."""
    if sys.platform == "win32":
        return 0
    if sys.platform == "linux":
        status = Path("/proc/self/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0]) >> 10
    import resource

    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most >> (20 if sys.platform == "darwin" else 10)


def peak_of(action: Callable[[], object]) -> int:
    tracemalloc.start()
    try:
        action()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def with_size(header: bytes) -> bytes:
    return struct.pack("<Q", len(header)) + header


@pytest.mark.parametrize("number", [math.nan, math.inf])
def test_mixture_not_finite_is_refused(number: float, tmp_path: Path) -> None:
    """A checkpoint whose mixture weights are not finite is refused."""
    whole = whole_checkpoint(tmp_path, True)
    weights = {**whole.weights, "mixture": torch.full_like(whole.weights["mixture"], number)}
    with pytest.raises(CheckpointError, match="mixture should hold finite numbers"):
        replace(whole, weights=weights).make_model()


SPARSE = 1 << 40
"""Bytes of a file that takes no room on the disk."""


def of_size(path: Path, beginning: bytes) -> Path:
    path.write_bytes(beginning)
    try:
        os.truncate(path, SPARSE)
    except OSError as reason:
        pytest.skip(f"this file system has no files of {SPARSE} bytes ({reason})")
    return path


@pytest.mark.parametrize("beginning", ["nothing", "a checkpoint", "a header that says so"])
def test_huge_non_checkpoint_is_not_read(beginning: str, tmp_path: Path) -> None:
    """A huge file that is not a checkpoint is refused without being read whole."""
    whole_checkpoint(tmp_path, False)
    data = (tmp_path / "whole").read_bytes() if beginning != "nothing" else b""
    if beginning == "a header that says so":
        header = json.loads(data[8 : 8 + struct.unpack("<Q", data[:8])[0]])
        header["b_q"] = {"dtype": "F32", "shape": [1 << 38], "data_offsets": [0, SPARSE]}
        data = with_size(json.dumps(header).encode())
        header["b_q"]["data_offsets"][1] -= len(data)
        data = with_size(json.dumps(header).encode())
    path = of_size(tmp_path / "huge.safetensors", data)
    words = "not enough memory" if "header" in beginning else "not a charlm checkpoint"

    def refuse() -> None:
        with pytest.raises(CheckpointError, match=f"huge.*{words}"):
            read_checkpoint(path)

    assert peak_of(refuse) < MEMORY


def test_a_config_and_a_prefix_have_a_size(tmp_path: Path) -> None:
    config, prefix = (of_size(tmp_path / name, b"") for name in ("huge.yaml", "huge.txt"))

    def refuse() -> None:
        with pytest.raises(CharlmError, match=r"huge\.yaml.*larger than 1 MB"):
            load_config(config)
        result = CliRunner().invoke(app, ["generate", "--prefix-file", str(prefix)])
        assert result.exit_code == 1
        assert re.fullmatch(r"charlm: .*huge\.txt.*larger than 16 MB.*\n", result.stderr)

    assert peak_of(refuse) < MEMORY


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such file")
def test_a_pipe_is_no_checkpoint(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(CheckpointError, match="not a charlm checkpoint"):
        read_checkpoint(tmp_path / "pipe")


def test_a_lack_of_memory_is_one_line() -> None:
    line = r"^a file: could not be read \(not enough memory\); wait$"
    with pytest.raises(RunError, match=line), file_errors("be read", "a file", "wait"):
        raise MemoryError


def test_claimed_weights_take_no_memory(
    tmp_path: Path,
) -> None:
    """A config that claims more weights than the file holds is refused and takes no memory."""
    whole = whole_checkpoint(tmp_path, False)
    config = whole.config.model_copy(
        update={"model": ModelConfig(hidden_size=2**24 - 1, num_layers=100)}
    )
    greedy = Checkpoint(config, whole.vocabulary, "0", whole.weights)
    with pytest.raises(CheckpointError, match="do not match"):
        greedy.make_model()


@pytest.mark.parametrize("top_p", [1.0, 0.5])
def test_overflowing_weights_give_an_error(top_p: float, tmp_path: Path) -> None:
    """Weights that overflow give an error that says so, in the kernels and in the equations.

    Where they close every gate, both give the same text: biases alone are a distribution.
    """
    compiler.library()  # what is built once is no part of an input's time
    whole = whole_checkpoint(tmp_path, False)
    weights = {name: torch.full_like(tensor, 3e38) for name, tensor in whole.weights.items()}
    path = tmp_path / "overflow"

    def text(implementation: str) -> str:
        config = whole.config.replace(model={"implementation": implementation})
        write_checkpoint(path, Checkpoint(config, whole.vocabulary, "0", weights))
        loaded = predictor.load(path, device="cpu")
        return "".join(generation.generate(loaded, length=50, seed=0, top_k=2, top_p=top_p))

    for implementation in ("fused", "equations"):
        with pytest.raises(DivergenceError, match="output is not finite"):
            text(implementation)
    weights["embedding"].fill_(-3e38)
    weights["b_q"] = torch.arange(len(weights["b_q"])).float()  # without ties
    assert len(text("fused")) == 50
    assert text("fused") == text("equations")


def test_many_mistakes_take_one_short_line(tmp_path: Path) -> None:
    """Thousands of mistakes in a config give one line of bounded length in little time."""
    path = tmp_path / "many.yaml"
    path.write_text("training:\n" + "".join(f"  key{n}: 1\n" for n in range(20_000)))
    assert not lawful(lambda: load_config(path))


@pytest.mark.parametrize("link", ["metrics.jsonl", "config.partial", "checkpoints/x.partial"])
def test_run_writes_through_no_link(link: str, tmp_path: Path) -> None:
    """A run does not write through a symbolic link in its folder."""
    run = create_run_folder(tmp_path / "runs", "run", "stem", Config())
    (tmp_path / "mine").write_text("mine")
    (run.path / link).symlink_to(tmp_path / "mine")
    with pytest.raises(RunError, match="symbolic link"), run.locked():
        raise AssertionError("it was opened")
    assert (tmp_path / "mine").read_text() == "mine"


@pytest.mark.parametrize("name", ["..", "", "a/b", "../x", "/x", "a\0b", "\ud800"])
def test_a_run_stays_in_its_folder(name: str, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="name"):
        create_run_folder(tmp_path / "runs", name, "stem", Config())
    assert {path.name for path in tmp_path.rglob("*")} <= {"runs"}


@pytest.mark.parametrize("name", ["\0/*", "\ud800/*", "a\0*"])
def test_impossible_pattern_is_an_error(name: str, tmp_path: Path) -> None:
    """A pattern that no file name can match gives an error, not a crash."""
    with pytest.raises(CharlmError, match="no such file"):
        build_corpus(CorpusConfig(paths=(str(tmp_path / name),)))
