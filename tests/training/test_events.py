"""What the events of training tell beside the step: time, the best loss, epochs."""

import json
from pathlib import Path

from support.training import TINY, train

import charlm
from charlm.training.events import Event, Sampled, Started, Stepped


def test_a_resumed_run_tells_its_time_and_best(text_file: Path, tmp_path: Path) -> None:
    """A resumed run starts with the time that it has taken and the best loss that it has reached.

    The clock of its steps continues from there.
    """
    run = train(text_file, tmp_path, "training.steps=6", "training.validate_every=2")
    log = [json.loads(line) for line in run.metrics.read_text("utf-8").splitlines()]
    losses = [line["validation_loss"] for line in log if "validation_loss" in line]
    events: list[Event] = []
    charlm.resume(run.path, settings=["training.steps=9"], on_event=events.append)
    (started,) = [event for event in events if isinstance(event, Started)]
    assert started.best_loss == min(losses)
    trained = max(line["seconds"] for line in log)
    assert trained <= started.elapsed
    clock = [event.elapsed for event in events if isinstance(event, Stepped)]
    assert started.elapsed < clock[0] and clock == sorted(clock)


def test_a_new_run_has_no_time_and_no_best(text_file: Path, tmp_path: Path) -> None:
    events: list[Event] = []
    train(text_file, tmp_path, "training.steps=1", on_event=events.append)
    (started,) = [event for event in events if isinstance(event, Started)]
    assert (started.elapsed, started.best_loss) == (0.0, None)


def test_a_sample_tells_the_loss_of_its_epoch(text_file: Path, tmp_path: Path) -> None:
    """At the end of an epoch, a sample has the mean loss of that epoch, as the log has."""
    events: list[Event] = []
    settings = [*TINY, "training.epochs=2", "batches.random_offset=false"]
    settings += ["batches.batch_size=16", "training.validate_every=1", "corpus.split=[1,0,0]"]
    run = charlm.train(
        "quickstart", text=text_file, runs=tmp_path, settings=settings, on_event=events.append
    )
    log = [json.loads(line) for line in run.folder.metrics.read_text("utf-8").splitlines()]
    expected = [line["epoch_loss"] for line in log if "epoch_loss" in line]
    samples = [event for event in events if isinstance(event, Sampled)]
    assert [x.training_loss for x in samples if x.epochs.is_integer()] == expected
    assert len(expected) == 2 and len(samples) > 2


def test_events_can_be_printed(text_file: Path, tmp_path: Path) -> None:
    """With `on_event=print`, no event prints the text, the config or the weights."""
    events: list[Event] = []
    settings = ["training.steps=2", "training.validate_every=1", "ensemble.members=1"]
    run = train(text_file, tmp_path, *settings, "ensemble.ngram_order=2", on_event=events.append)
    assert len({type(event) for event in events}) > 6
    assert repr(run) == f"RunFolder({str(run.path)!r})"
    assert {type(event): len(repr(event)) for event in events if len(repr(event)) > 700} == {}
