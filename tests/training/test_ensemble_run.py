"""The runs of an ensemble's members: their seeds, and their one text."""

import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.properties import examples
from support.provenance import TINY, words

from charlm import load, resume, train
from charlm.config.load import override
from charlm.config.schema import Config, TrainingConfig
from charlm.errors import CorpusError
from charlm.kernels import compiler
from charlm.kernels.compute import Compute
from charlm.runs.checkpoint import read_checkpoint
from charlm.runs.folder import RunFolder
from charlm.training import calibration
from charlm.training.ensemble_run import _member_config
from charlm.training.events import Event, NetworkBegins

RUN = RunFolder(Path("runs/ensemble"))


def seeds_of(seed: int, members: int = 3) -> list[int]:
    """Return the seeds of all members of an ensemble, a student included."""
    wanted = [f"training.seed={seed}", f"ensemble.members={members}", "ensemble.student=0.3"]
    config = override(Config(), wanted)
    return [_member_config(RUN, config, number).training.seed for number in range(members + 1)]


def test_neighbouring_seeds_share_no_network() -> None:
    """No member of seeds 0 to 19 has the seed of another member, or of a run of one network."""
    firsts = list(range(20))
    others = [seed for first in firsts for seed in seeds_of(first)[1:]]
    assert len({*firsts, *others}) == len(firsts) + len(others)


@given(st.integers(0, 2**62 - 1), st.integers(-3, 3).filter(bool))
@examples(20)
def test_seeds_of_members_are_distinct(seed: int, distance: int) -> None:
    """No two ensembles of near seeds share a network; a config accepts every derived seed."""
    neighbour = (seed + distance) % 2**62
    ours, theirs = seeds_of(seed), seeds_of(neighbour)
    assert not {*ours} & {*theirs}
    assert all(TrainingConfig(seed=one).seed == one for one in ours)


def test_first_member_is_that_of_one_network() -> None:
    """An ensemble of one network and n-grams has the network of a run without n-grams."""
    assert seeds_of(7)[0] == 7


def test_members_of_different_texts_are_kept(tmp_path: Path) -> None:
    """The error of a text that changed during training names what to restore and what to move."""
    text, first = tmp_path / "o.txt", words(1, 1500)
    text.write_text(first, encoding="utf-8")

    def change(event: Event) -> None:
        if isinstance(event, NetworkBegins) and event.number == 2:
            text.write_text(words(2, 1500), encoding="utf-8")

    wanted = (*TINY, "ensemble.members=2")
    run = tmp_path / "run"
    with pytest.raises(CorpusError, match=r"restore the text of member-1, move member-2 to "):
        train("quickstart", text=text, name="run", runs=tmp_path, settings=wanted, on_event=change)
    text.write_text(first, encoding="utf-8")
    shutil.move(run / "member-2", tmp_path / "moved")
    assert resume(run).step == 4
    assert load(tmp_path / "moved").model


@pytest.mark.parametrize(
    ("implementation", "expected"), [("fused", 2), ("equations", 1)], ids=["fused", "equations"]
)
def test_members_and_their_threads(
    implementation: str, expected: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A resumed member computes with the machine's threads; with the equations it keeps its own."""
    (text := tmp_path / "text").write_text(words(0))
    settings = [*TINY, "ensemble.members=2", "training.threads=auto", "training.precision=float32"]
    settings.append(f"model.implementation={implementation}")
    if compiler.library() is None:
        expected = 1
    for threads, steps in ((1, 2), (2, 4)):
        monkeypatch.setattr(calibration, "most_threads", lambda wanted, threads=threads: threads)
        limit = f"training.steps={steps}"
        if steps == 2:
            run = train(
                "quickstart", text=text, runs=tmp_path, settings=[*settings, limit]
            ).folder.path
        else:
            (run / "checkpoints" / "best.safetensors").unlink()
            resume(run, settings=[limit])
    for number in (1, 2):
        member = read_checkpoint(RunFolder(run / f"member-{number}").last)
        assert member.compute == Compute("float32", expected)
        assert member.training_counters["trainer"]["step"] == 4
    assert read_checkpoint(RunFolder(run).best).compute == Compute("float32", expected)
