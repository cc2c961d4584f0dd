"""An ensemble's folder has one log of all its members, which follows from theirs."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.provenance import TINY, words

from charlm import resume, train
from charlm.errors import ConfigError, RunError
from charlm.runs.folder import RunFolder
from charlm.training import member_logs
from charlm.training.events import Event, NetworkBegins, Validated
from charlm.training.member_logs import merge_logs

SETTINGS = (
    *TINY,
    "ensemble.members=2",
    "training.steps=6",
    "training.validate_every=2",
    "training.save_every=3",
    "training.log_every=1",
)


class Killed(BaseException):
    """Ends a run at once: no code of it expects this."""


def after(member: int, validations: int) -> Callable[[Event], None]:
    """Return what ends a run in a member, once it has validated so often."""
    counts = {"member": 0, "validations": 0}

    def on_event(event: Event) -> None:
        if isinstance(event, NetworkBegins):
            counts.update(member=event.number, validations=0)
        counts["validations"] += isinstance(event, Validated)
        if (counts["member"], counts["validations"]) == (member, validations):
            raise Killed

    return on_event


def lines_of(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def check_logs(folder: Path) -> None:
    """Check that the whole's logs are those of its members, each line with the member's number."""
    members = sorted(folder.glob("member-*"))
    numbers = [int(member.name.removeprefix("member-")) for member in members]
    lines = [
        {"member": number} | line
        for number, member in zip(numbers, members, strict=True)
        for line in lines_of(member)
    ]
    assert lines_of(folder) == lines
    samples = [
        (member / "samples.txt").read_text().replace("--- step", f"--- member {number}, step")
        for number, member in zip(numbers, members, strict=True)
        if (member / "samples.txt").exists()
    ]
    log = folder / "samples.txt"
    assert (log.read_text() if log.exists() else "") == "".join(samples)


def steps_of(folder: Path) -> list[tuple[int, int, bool]]:
    return [(one["member"], one["step"], "loss" in one) for one in lines_of(folder)]


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("text") / "o.txt"
    path.write_text(words(1), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def whole(text: Path) -> Path:
    """A run that nothing has ended."""
    train("quickstart", text=text, name="whole", runs=text.parent, settings=SETTINGS)
    return text.parent / "whole"


def test_ensemble_logs_have_all_members(whole: Path) -> None:
    """The logs of an ensemble contain those of all members."""
    check_logs(whole)
    assert {line["member"] for line in lines_of(whole)} == {1, 2}
    assert (whole / "samples.txt").read_text().count("--- member 2, step") == 3


@pytest.mark.parametrize(("member", "validations"), [(1, 1), (1, 3), (2, 2)])
def test_logs_are_the_same_after_a_crash(
    text: Path, whole: Path, tmp_path: Path, member: int, validations: int
) -> None:
    """The logs grow during training; after a crash and resuming, each line is there once."""
    with pytest.raises(Killed):
        about: Any = {"name": "cut", "runs": tmp_path, "settings": SETTINGS}
        train("quickstart", text=text, on_event=after(member, validations), **about)
    check_logs(tmp_path / "cut")
    resume(tmp_path / "cut")
    check_logs(tmp_path / "cut")
    assert steps_of(tmp_path / "cut") == steps_of(whole)


@pytest.mark.parametrize("log", ["metrics.jsonl", "samples.txt"])
def test_crash_between_two_logs(whole: Path, tmp_path: Path, log: str) -> None:
    """The ensemble's log is written again, whatever a crash left in it."""
    run = tmp_path / "run"
    shutil.copytree(whole, run)
    data = (run / log).read_bytes()
    (run / log).write_bytes(data[: len(data) // 2 + 3])
    (run / f"{log}.partial").write_bytes(b"{")
    resume(run)
    assert (run / log).read_bytes() == data


def test_extended_ensemble_is_logged(whole: Path, tmp_path: Path) -> None:
    """An extended ensemble logs its further steps."""
    shutil.copytree(whole, tmp_path / "run")
    resume(tmp_path / "run", settings=["training.steps=8"])
    check_logs(tmp_path / "run")
    assert max(line["step"] for line in lines_of(tmp_path / "run")) == 8


@pytest.mark.parametrize("number", [1, 2])
def test_lone_member_logs_for_the_ensemble(whole: Path, tmp_path: Path, number: int) -> None:
    """A member that is resumed by itself logs for the ensemble, also if it is killed."""
    run = Path(shutil.copytree(whole, tmp_path / "run"))
    member = run / f"member-{number}"
    with pytest.raises(Killed):
        resume(member, settings=["training.steps=8"], on_event=after(0, 1))
    check_logs(run)
    resume(member, settings=["training.steps=8"])
    check_logs(run)
    assert {line["member"] for line in lines_of(run) if line["step"] == 8} == {number}


def test_lone_member_logs_at_once(whole: Path, tmp_path: Path) -> None:
    """The ensemble's log gets a line of a lone member at once."""
    run = Path(shutil.copytree(whole, tmp_path / "run"))
    seen: list[bool] = []

    def on_event(event: Event) -> None:
        if isinstance(event, Validated):
            last = lines_of(run / "member-1")[-1]
            seen.append({"member": 1} | last in lines_of(run))

    resume(run / "member-1", settings=["training.steps=8"], on_event=on_event)
    assert seen and all(seen)


def test_member_of_a_locked_ensemble(whole: Path, tmp_path: Path) -> None:
    """A member is not resumed while its ensemble trains: both would write the same logs."""
    run = Path(shutil.copytree(whole, tmp_path / "run"))
    with RunFolder(run).locked(), pytest.raises(RunError, match="another process trains in it"):
        resume(run / "member-1")


def test_folder_named_like_a_member(whole: Path, tmp_path: Path) -> None:
    """A folder that is only named like a member is an ordinary run folder."""
    alone = Path(shutil.copytree(whole / "member-1", tmp_path / "member-1"))
    before = set(tmp_path.iterdir())
    resume(alone, settings=["training.steps=8"])
    assert set(tmp_path.iterdir()) == before


def test_logs_after_a_missing_member(whole: Path, tmp_path: Path) -> None:
    """The logs of members after a missing one are kept."""
    run = Path(shutil.copytree(whole, tmp_path / "run"))
    shutil.rmtree(run / "member-1")
    merge_logs(RunFolder(run))
    assert {line["member"] for line in lines_of(run)} == {2}
    check_logs(run)


def test_each_start_is_recorded(whole: Path, tmp_path: Path) -> None:
    """environment.json of an ensemble has an entry for each start, with facts of its members."""
    run = Path(shutil.copytree(whole, tmp_path / "run"))
    resume(run, settings=["training.steps=8"])
    first, second = json.loads((run / "environment.json").read_text("utf-8"))
    members = [json.loads((run / f"member-{n}" / "environment.json").read_text()) for n in (1, 2)]
    for start in (first, second, *members[0], *members[1]):
        del start["result"]
        start.pop("resumed_at", None)  # of members only: an ensemble has no step of its own
    for own, of_members in zip((first, second), zip(*members, strict=True), strict=True):
        for one in of_members:
            assert {**own, "began": "", "seed": 0} == {**one, "began": "", "seed": 0}
    assert first["seed"] == members[0][0]["seed"]
    resume(run / "member-1")
    assert len(json.loads((run / "environment.json").read_text("utf-8"))) == 2


@pytest.mark.parametrize("log", ["metrics.jsonl", "samples.txt"])
@pytest.mark.parametrize("place", ["", "member-1"])
def test_a_foreign_log_is_left(whole: Path, tmp_path: Path, log: str, place: str) -> None:
    """The message says to move it; then charlm merges the logs again."""
    run = Path(shutil.copytree(whole, tmp_path / "run"))
    for text in ("mine", '{"mine": 1}\n', (run / log).read_text("utf-8") * (log[0] == "m") + "x\n"):
        (run / log).write_text(text, "utf-8")
        with pytest.raises(RunError, match=f"{log}: not a file that charlm wrote; move it away"):
            resume(run / place, settings=["training.steps=8"])
        assert (run / log).read_text("utf-8") == text
    (run / log).rename(tmp_path / log)
    resume(run / place, settings=["training.steps=8"])
    check_logs(run)


def test_the_error_in_flight_stays(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Logs that cannot be merged, on a full disk, do not replace what ended the training."""
    run = Path(shutil.copytree(whole, tmp_path / "run"))

    def fail(*arguments: object) -> None:
        raise RunError("the disk is full")

    def stop(event: Event) -> None:
        monkeypatch.setattr(member_logs, "merge_logs", fail)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        resume(run / "member-1", settings=["training.steps=8"], on_event=stop)


def test_a_damaged_config_is_an_error(whole: Path, tmp_path: Path) -> None:
    """A member does not train apart from its ensemble because the ensemble's config is damaged."""
    run = Path(shutil.copytree(whole, tmp_path / "run"))
    (run / "config.yaml").write_text("ensemble: {members: many}")
    with pytest.raises(ConfigError, match=r"ensemble\.members"):
        resume(run / "member-1", settings=["training.steps=8"])


@pytest.mark.parametrize("config", ["model: [", "ensemble: {members: 2}"])
def test_a_run_may_be_named_like_a_member(config: str, tmp_path: Path) -> None:
    """It lies beside a config, of charlm or not, and in no run folder."""
    (text := tmp_path / "o.txt").write_text(words(1), "utf-8")
    (tmp_path / "config.yaml").write_text(config)
    run = train("quickstart", text=text, name="member-1", runs=tmp_path, settings=TINY).folder.path
    assert resume(run, settings=["training.steps=4"]).step == 4
    assert not (tmp_path / "metrics.jsonl").exists()
