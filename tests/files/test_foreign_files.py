"""Files that charlm did not make stay as they are, byte for byte, whatever their names."""

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.foreign_files import SMALL, TEXT, list_the_tale
from typer.testing import CliRunner

from charlm.bench import benchmark, model_benchmark, timing
from charlm.bench.plain_loop import PlainLoop
from charlm.cli.clearing import clear_cache
from charlm.cli.main import app
from charlm.config.schema import Config, CorpusConfig, ModelConfig
from charlm.corpus import catalogue
from charlm.corpus.builder import build_corpus
from charlm.corpus.vocabulary import Vocabulary
from charlm.errors import CorpusError, RunError
from charlm.files import measurements
from charlm.files.atomic import write_whole
from charlm.files.build_folder import RESERVED, building_folder
from charlm.kernels import compiler
from charlm.models.language_model import LanguageModel
from charlm.runs.checkpoint import Checkpoint
from charlm.runs.creation import create_run_folder
from charlm.runs.finding import newest_run
from charlm.training import auto

FOLDERS = (
    *(".", "runs", "runs/other", "runs/other/checkpoints", "runs/member-1", "cache"),
    *("cache/texts", "cache/corpora", "cache/kernels", "cache/kernels-0"),
    *(f"runs/{RESERVED}", f"cache/{RESERVED}", f"cache/{RESERVED}/1-abandoned"),
    *(f"cache/building-{name}" for name in ("plans", "x/corpus")),
    *("runs/building-blocks", "runs/building-blocks/checkpoints", "building-plans"),
)
NAMES = (
    *("notes", "texts", "corpora", "measurements.json", "file-digests.json", "y.so"),
    *("measurements.json.1", ".charlm-lock"),
    *("step-10.safetensors", "step-00000010.safetensors", "last.safetensors", "foo.partial"),
    *(
        "last.safetensors.partial",
        "config.yaml",
        "config.yaml.partial",
        ".lock",
        "lock",
        "tale.txt",
    ),
    *(
        "python-docs-0123456789ab.txt",
        "0123456789abcdef0123456789abcdef",
        "member-1",
        ".charlm-made",
    ),
    *("made-by-charlm.json", "building-abc", "good.safetensors"),
    *("metrics.jsonl", "samples.txt", "environment.json", "best.safetensors"),
    *("0123456789abcdef0123.json", "generated.txt"),
)
IN_A_RUN = set(NAMES) - {"good.safetensors", "metrics.jsonl", "samples.txt", "environment.json"}
"""Names of files in a run folder that do not take the place of one of the run."""
trees = st.sets(
    st.tuples(st.sampled_from(FOLDERS), st.sampled_from(NAMES)), min_size=25, max_size=60
)


def plant(folder: Path, tree: set[tuple[str, str]]) -> dict[Path, bytes]:
    """Write files of long ago below a folder, where nothing has their names yet."""
    planted: dict[Path, bytes] = {}
    for place, name in sorted(tree):
        path = folder / place / name
        if os.path.lexists(path) or not all(p.is_dir() or not p.exists() for p in path.parents):
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(planted.setdefault(path, f"what stands in {place}/{name}".encode()))
        for made in (path, path.parent):
            os.utime(made, (0, 0))
    return planted


def be_killed_while_building(parent: Path) -> None:
    """Leave behind what a process leaves that is killed while it builds."""
    child = os.fork()
    if child == 0:
        with building_folder(parent) as folder:
            (folder / "half").write_text("half of it")
            os._exit(0)
    os.waitpid(child, 0)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], Path]]:
    """Make an empty folder to work in, with its runs and its cache."""
    compiler.library()  # in the cache that all tests share
    (tmp_path / "text.txt").write_text(TEXT)
    list_the_tale(monkeypatch)
    monkeypatch.setattr(
        "charlm.corpus.file_digests._REST_NS", -(10**18)
    )  # digests are remembered at once

    def make() -> Path:
        folder = tmp_path / "work"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        monkeypatch.chdir(folder)
        monkeypatch.setenv("CHARLM_CACHE", str(folder / "cache"))
        return folder

    yield make


def small_bench(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let `charlm bench` measure little, in this process."""
    monkeypatch.setattr(
        model_benchmark, "in_own_process", lambda sizes: nullcontext(PlainLoop(**sizes).take_step)
    )
    monkeypatch.setattr(model_benchmark, "_PRODUCT_SIZE", 16)
    monkeypatch.setattr(timing, "_NUM_TURNS", 2)
    monkeypatch.setattr(benchmark, "_TEXT_BYTES", 1)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no fork")
@pytest.mark.parametrize(("runs", "cache"), [("runs", "cache"), (".", ".")], ids=["apart", "one"])
def test_commands_leave_foreign_files_alone(
    runs: str,
    cache: str,
    place: Callable[[], Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """No command touches a foreign file; it may refuse, in one line, to work beside it.

    One folder may be the working, the runs and the cache folder.
    """
    text, below = str(tmp_path / "text.txt"), ["--runs", runs]
    train = ["train", "quickstart", "--quiet", *below, "--text", text, *SMALL]
    train += ["--set=training.steps=2", "--name"]
    small_bench(monkeypatch)
    monkeypatch.setattr(auto, "measured_speed", lambda *sizes: 1e5)
    one = ["--set=ensemble.members=1", "--set=ensemble.ngram_order=null", "--budget=0.2s"]
    commands = (
        [*train, "own"],
        [*train[:-2], "--auto", *one, "--name=auto", "--set=training.log_every=1"],
        ["bench", "--no-cells", "--seconds=0.001", "--text", text, *SMALL],
        [*train, "both", "--set=ensemble.members=2"],
        ["train", "--quiet", "--resume", f"{runs}/own", "--set=training.steps=3"],
        ["train", "--quiet", "--resume", f"{runs}/both"],
        ["eval", f"{runs}/own"],
        ["eval", f"{runs}/own", "--dynamic", "--save", "saved"],
        ["eval", f"{runs}/own", "--dynamic", "--save", "lock"],
        ["generate", *below, "--length", "3"],
        ["generate", *below, "--length", "3", "--output", "generated.txt"],
        ["train", "quickstart", "--print-config", "--text", text, *SMALL],
        ["data", "list"],
        ["data", "get", "tale", "--from", text],
        ["data", "clear"],
    )

    @given(trees)
    @settings(max_examples=1, deadline=None, database=None)
    def attempt(tree: set[tuple[str, str]]) -> None:
        folder = place()
        monkeypatch.setenv("CHARLM_CACHE", str(folder / cache))
        planted = plant(folder, tree)
        for arguments in commands:
            for parent in (runs, cache):
                be_killed_while_building(folder / parent)
            result = CliRunner().invoke(app, arguments)
            assert result.exit_code in (0, 1), (arguments, result.output)
            assert isinstance(result.exception, SystemExit | None), (arguments, result.exception)
            for run in (
                folder / runs / "own",
                folder / runs / "auto",
                *(folder / runs / "both").glob("member-*"),
            ):
                if run.is_dir():
                    inside = (f"{run}", f"{run}/checkpoints")
                    planted |= plant(folder, {(i, n) for i in inside for n in IN_A_RUN})
            changed = [
                p for p, data in planted.items() if not p.is_file() or p.read_bytes() != data
            ]
            assert not changed, (arguments, changed)

    attempt()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no fork")
def test_only_marked_leftovers_are_deleted(tmp_path: Path) -> None:
    """What a killed process left is deleted, and nothing beside it.

    Only a marker that names its own folder shows that charlm made it.
    """
    be_killed_while_building(tmp_path)
    (left,) = (tmp_path / RESERVED).iterdir()
    copy, forged, mine = (left.with_name(name) for name in ("copy", "1-forged", "mine"))
    shutil.copytree(left, copy)
    shutil.copytree(left, forged)
    (forged / "made-by-charlm.json").write_text('{"folder": "1-forged"}')
    mine.mkdir()
    link = left.with_name("link")
    link.symlink_to(mine)
    with building_folder(tmp_path):
        assert not left.exists()
    assert set(left.parent.iterdir()) == {copy, forged, mine, link}
    assert (copy / "half").exists()


@pytest.mark.parametrize("kind", ["file", "link"])
def test_reserved_name_of_others_is_refused(tmp_path: Path, kind: str) -> None:
    """If the reserved name is a file or a link, charlm refuses to build there."""
    (tmp_path / "mine").mkdir()
    reserved = tmp_path / RESERVED
    reserved.symlink_to(tmp_path / "mine") if kind == "link" else reserved.write_text("mine")
    with pytest.raises(RunError, match=f"{RESERVED}.*move it away"):
        create_run_folder(tmp_path, "run", "stem", Config())
    assert sorted(path.name for path in tmp_path.iterdir()) == [RESERVED, "mine"]
    assert list((tmp_path / "mine").iterdir()) == []


def test_no_run_has_a_hidden_name(tmp_path: Path) -> None:
    """No run has a name that begins with a dot, and a hidden folder is never the newest run."""
    for name in (RESERVED, ".x"):
        with pytest.raises(RunError, match="must not begin with a dot"):
            create_run_folder(tmp_path, name, "stem", Config())
    assert create_run_folder(tmp_path, None, ".hidden", Config()).path == tmp_path / "hidden-1"
    hidden = tmp_path / ".x" / "checkpoints"
    hidden.mkdir(parents=True)
    (hidden / "last.safetensors").write_text("newest of all")
    with pytest.raises(RunError, match="no run with a checkpoint"):
        newest_run(tmp_path)


def test_writing_a_file_leaves_neighbours(tmp_path: Path) -> None:
    """Writing a file changes no file beside it; a new file replaces neither a file nor a link."""
    neighbours = [tmp_path / f"x{suffix}" for suffix in (".partial", "~", ".tmp")]
    for path in neighbours:
        path.write_text("mine")
    write_whole(tmp_path / "x", b"new")
    assert (tmp_path / "x").read_bytes() == b"new"
    assert sorted(tmp_path.iterdir()) == sorted([tmp_path / "x", *neighbours])
    with pytest.raises(FileExistsError):
        write_whole(tmp_path / "x", b"newer", is_new=True)
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    with pytest.raises(FileExistsError):
        write_whole(tmp_path / "link", b"newer", is_new=True)
    assert (tmp_path / "x").read_bytes() == b"new"
    assert (tmp_path / "link").is_symlink()


def checkpoint() -> Checkpoint:
    config = Config(model=ModelConfig(hidden_size=3, embedding_size=2))
    vocabulary = Vocabulary((10, 97, 98))
    model = LanguageModel(config.model, len(vocabulary))
    model.initialize(torch.Generator().manual_seed(0))
    return Checkpoint(config, vocabulary, "0", model.state_dict())


def test_run_replaces_only_its_checkpoints(tmp_path: Path) -> None:
    """A run deletes and replaces no file that is not a checkpoint of charlm."""
    run, saved = create_run_folder(tmp_path, "run", "stem", Config()), checkpoint()
    for step in (1, 2, 3):
        run.save_last(saved, step, keep=2)
    foreign = [run.numbered(9), run.checkpoints / "step-8.safetensors", run.rollback]
    for path in foreign:
        path.write_text("mine")
    run.discard_after(2, {})
    assert sorted(path.name for path in run.checkpoints.iterdir()) == sorted(
        [run.numbered(1).name, run.numbered(2).name, run.last.name, *(p.name for p in foreign)]
    )
    actions: list[Callable[[], None]] = [
        lambda: run.save_last(saved, 9, keep=2),
        run.copy_last_to_rollback,
        run.delete_rollback,
        run.rename_rollback_to_last,
    ]
    for action in actions:
        with pytest.raises(RunError, match="not a checkpoint of charlm; move it away"):
            action()
    assert [path.read_text() for path in foreign] == ["mine"] * 3


def test_member_replaces_no_foreign_folder(place: Callable[[], Path], tmp_path: Path) -> None:
    """A member of an ensemble is not begun in a folder that holds something else."""
    folder = place()
    arguments = [*SMALL, "--set=training.steps=1", "--set=ensemble.members=2"]
    text = ["--text", str(tmp_path / "text.txt")]
    begun = CliRunner().invoke(
        app, ["train", "quickstart", "--quiet", *text, "--name", "both", *arguments]
    )
    assert begun.exit_code == 0, begun.output
    second = folder / "runs" / "both" / "member-2"
    shutil.rmtree(second)
    second.mkdir()
    (second / "notes").write_text("mine")
    for what_is_left in (["notes"], []):  # an empty folder may be somebody's, too
        refused = CliRunner().invoke(app, ["train", "--quiet", "--resume", "runs/both"])
        assert refused.exit_code == 1
        assert "member-2: not a run of charlm; move it away" in refused.stderr
        assert [path.name for path in second.iterdir()] == what_is_left
        (second / "notes").unlink(missing_ok=True)
    second.rmdir()
    assert CliRunner().invoke(app, ["train", "--quiet", "--resume", "runs/both"]).exit_code == 0


@pytest.mark.parametrize("log", ["metrics.jsonl", "samples.txt"])
def test_foreign_log_is_neither_cut_nor_extended(
    log: str, place: Callable[[], Path], tmp_path: Path
) -> None:
    """The message says to move it away; then the run resumes."""
    run = place() / "runs" / "own"
    arguments = ["--text", str(tmp_path / "text.txt"), *SMALL, "--set=training.steps=2"]
    begun = CliRunner().invoke(app, ["train", "quickstart", "--quiet", "--name", "own", *arguments])
    assert begun.exit_code == 0, begun.output
    resume = ["train", "--quiet", "--resume", "runs/own", "--set=training.steps=4"]
    own = (run / log).read_text("utf-8")
    step = next(iter(own.splitlines()))
    for mine in ("x", "mine\n" * 999, '{"mine": 1}\n', f"mine\n{own}", step.replace("step", "m")):
        (run / log).write_text(mine, "utf-8")
        refused = CliRunner().invoke(app, resume)
        assert refused.exit_code == 1
        assert f"{log}: not a file that charlm wrote; move it away" in refused.stderr
        assert (run / log).read_text("utf-8") == mine
    (run / log).rename(tmp_path / log)
    resumed = CliRunner().invoke(app, resume)
    assert resumed.exit_code == 0, resumed.output


def test_foreign_folder_is_no_run(place: Callable[[], Path], tmp_path: Path) -> None:
    """A config and logs without checkpoints are somebody's own: nothing resumes or cuts them."""
    folder = place() / "runs" / "mine"
    folder.mkdir(parents=True)
    text = ["--text", str(tmp_path / "text.txt")]
    config = CliRunner().invoke(app, ["train", "--print-config", *text, *SMALL]).stdout
    files = {
        "config.yaml": f"# mine\n{config}",
        "metrics.jsonl": '{"step": 1}\n',
        "samples.txt": "",
    }
    for name, content in files.items():
        (folder / name).write_text(content, "utf-8")
    for arguments in (["--resume", "runs/mine"], ["--name", "mine", *text, *SMALL]):
        refused = CliRunner().invoke(app, ["train", *arguments])
        assert refused.exit_code == 1
        assert "runs/mine" in refused.stderr
        assert {path.name: path.read_text("utf-8") for path in folder.iterdir()} == files


def bytes_below(folder: Path) -> int:
    """Return how much lies in a cache besides the record of what is charlm's."""
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != ".charlm-made"]
    return sum(path.stat().st_size for path in files)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no fork")
@pytest.mark.parametrize("has_foreign", [False, True])
def test_clearing_deletes_all_charlm_made(
    has_foreign: bool, place: Callable[[], Path], tmp_path: Path
) -> None:
    """Clearing deletes all that charlm made and nothing else, and returns the freed bytes."""
    cache = place() / "cache"
    built = build_corpus(CorpusConfig(paths=(str(tmp_path / "text.txt"),)))
    catalogue.get("tale", tmp_path / "text.txt")
    catalogue.files_of("python-docs")
    measurements.remember("x", 1)
    be_killed_while_building(cache)
    foreign = []
    if has_foreign:
        corpus = cache / "corpora" / built.fingerprint
        places = (cache, cache / "texts", cache / "corpora", corpus, cache / RESERVED)
        foreign = [place / "notes" for place in places]
    for path in foreign:
        path.write_text("mine")
    before = bytes_below(cache)
    freed = clear_cache()
    assert freed == before - bytes_below(cache) > 10_000
    assert bytes_below(cache) == sum(path.stat().st_size for path in foreign)
    if not has_foreign:
        assert list(cache.iterdir()) == []
    assert clear_cache() == 0
    assert all(path.read_text() == "mine" for path in foreign)
    build_corpus(CorpusConfig(paths=(str(tmp_path / "text.txt"),)))


def test_charlm_replaces_no_foreign_file(place: Callable[[], Path], tmp_path: Path) -> None:
    """charlm replaces no foreign file: not for a download, for measurements or for its record."""
    cache = place() / "cache"
    mine = cache / "texts" / "tale.txt"
    mine.parent.mkdir(parents=True)
    mine.write_text("mine")
    with pytest.raises(CorpusError, match="charlm did not make; move it away"):
        catalogue.get("tale", tmp_path / "text.txt")
    (cache / "measurements.json").write_text("mine")
    measurements.remember("x", 1)
    assert measurements.remembered("x") is None
    (cache / ".charlm-made").write_text("texts\ntexts/tale.txt\nmeasurements.json\n")
    assert clear_cache() == 0
    with pytest.raises(CorpusError, match="not charlm's record; move it away"):
        build_corpus(CorpusConfig(paths=(str(tmp_path / "text.txt"),)))
    assert [path.read_text() for path in (mine, cache / "measurements.json")] == ["mine"] * 2


def test_forged_record_deletes_nothing_else(place: Callable[[], Path]) -> None:
    """A forged record does not make charlm delete anything outside its cache."""
    folder = place()
    (folder / "mine").write_text("mine")
    (folder / "cache" / "texts").mkdir(parents=True)
    (folder / "cache" / "texts" / "link.txt").symlink_to(folder / "mine")
    names = ["../mine", str(folder / "mine"), "texts/../../mine", "texts/link.txt", "texts/\0.txt"]
    lines = ["charlm has put these here, and `charlm data clear` deletes them:", *names, ""]
    (folder / "cache" / ".charlm-made").write_text("\n".join(lines))
    assert clear_cache() == 0
    assert (folder / "mine").read_text() == "mine"
