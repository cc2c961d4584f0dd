"""Everything of charlm that reads what others may have written."""

import gzip
import hashlib
import io
import json
import os
import shutil
import zipfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from forgeries import about_of, sealed, use, whole_checkpoint, with_size
from hypothesis import strategies as st
from inputs import (
    any_text,
    change,
    config_trees,
    damages,
    digests,
    forge,
    forged_block,
    names,
    settings_given,
    trees,
    yaml_texts,
)
from law import lawful
from safetensors.torch import load
from support.integer_networks import SHAPES, random_network

from charlm.config.load import load_config, make_config, to_yaml
from charlm.config.schema import Config, CorpusConfig, ModelConfig
from charlm.corpus import catalogue as texts
from charlm.corpus.builder import build_corpus
from charlm.corpus.cache import FILES, SKETCHES
from charlm.corpus.corpus import SPLITS, Corpus
from charlm.corpus.provenance import records_of
from charlm.corpus.vocabulary import Vocabulary
from charlm.files import measurements
from charlm.files.locations import cache_folder
from charlm.files.untrusted import InvalidDataError
from charlm.kernels.store import KernelStore
from charlm.portable.compiled_steps import steps_of
from charlm.portable.compression import compress, decompress
from charlm.portable.model_bytes import from_bytes, to_bytes
from charlm.prediction import generation, predictor
from charlm.prediction.perplexity import Score
from charlm.runs.checkpoint import read_checkpoint
from charlm.runs.checkpoint_header import FORMAT_VERSION
from charlm.runs.creation import create_run_folder
from charlm.runs.folder import RunFolder
from charlm.training import start as experiment

TEXT = "the rain came in, and nobody on the platform said a word. " * 20
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
        """Return all that must not change: everything outside of runs, cache and input."""
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
        """Change an entry and recompute its digests: it is refused, or usable."""
        config = CorpusConfig(paths=(str(self.text),), unit="character", split=(0.5, 0.2, 0.3))
        folder = cache_folder() / "corpora" / build_corpus(config).fingerprint
        about = json.loads((folder / "corpus.json").read_text())
        del about["sha256"]
        change(data, about)
        names = [f"{name}.{kind}" for name in SPLITS for kind in ("ids", "unknown")]
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

    def try_compressed(self, data: st.DataObject) -> None:
        """A damaged file, or a forged block, is refused; nothing hangs."""
        network = random_network("gru")
        whole = io.BytesIO()
        with_model = data.draw(st.booleans())
        list(compress(io.BytesIO(TEXT.encode()), whole, network, with_model=with_model))
        if data.draw(st.booleans()):
            damaged = forged_block(data, whole.getvalue())
        else:
            damaged = data.draw(damages(whole.getvalue()))
        source, target = io.BytesIO(damaged), io.BytesIO()
        worked = lawful(lambda: list(decompress(source, target, lambda _: network)))
        assert worked == (damaged == whole.getvalue())

    def try_integers(self, data: st.DataObject) -> None:
        """A forged model is refused, or predicts."""
        whole = to_bytes(random_network(data.draw(st.sampled_from(sorted(SHAPES)))))
        try:
            network = from_bytes(data.draw(damages(whole)))
        except InvalidDataError:
            return
        lawful(lambda: steps_of(network).read(np.zeros(3, np.int64)))

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
    return [corpus.vocabulary.decode(part.ids) for part in corpus.splits.values()]


def use_corpus(corpus: Corpus) -> None:
    """Read all ids, teach the unknown sign as training does, and score."""
    texts_of(corpus)
    assert all(0 < int(one) < len(corpus.vocabulary) for one in corpus.hapaxes)
    for part in corpus.splits.values():
        if len(part) > 1:  # as whoever scores one asks
            size, unknown = part.measure(1, len(part))
            assert Score(1.0, len(part) - 1, size, unknown).bits_per_byte > 0
