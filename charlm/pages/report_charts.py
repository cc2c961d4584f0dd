"""The charts of a report: the losses and speeds of the networks of one or several runs."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal, NamedTuple

from charlm.analysis.run_history import NetworkHistory, RunHistory
from charlm.pages.charts import Chart, Level, Mark, Series
from charlm.pages.scales import Kind

_SYMBOLS = {"rollback": "↩ rollback", "resumed": "▸ resumed", "paused": "‖ paused"}
_MOST_MARKS = 40
Axis = Literal["characters", "seconds"]


class _Network(NamedTuple):
    label: str
    """What distinguishes it: the names of its run and of its member, where there are several."""
    number: int
    history: NetworkHistory


def loss_charts(
    histories: Sequence[RunHistory], baselines: Mapping[str, float] | None = None
) -> dict[str, Chart]:
    """Return the losses against characters or bytes, against their logarithm, and against time.

    `baselines` are bits per character by name.
    """
    levels = dict(baselines or {})
    if not levels:
        sizes = {bits for one in histories if (bits := one.uniform_bits) is not None}
        levels = {"uniform": sizes.pop()} if len(sizes) == 1 else {}
    shown = [Level(name, bits) for name, bits in levels.items()]
    units = f"{unit_of(histories)}s"
    return {
        units: _losses("loss", histories, shown, "characters"),
        f"{units}, logarithmic": _losses("loss-log", histories, shown, "characters", log_x=True),
        "time": _losses("loss-time", histories, shown, "seconds"),
    }


def other_charts(histories: Sequence[RunHistory]) -> list[Chart]:
    """Return learning rate, gradient norm and speed."""
    speed = f"{unit_of(histories).capitalize()}s a second"
    return [
        _curves("learning-rate", "Learning rate", "learning_rate", histories),
        _curves(
            "gradient-norm", "Gradient norm before clipping", "gradient_norm", histories, log_y=True
        ),
        _curves("speed", speed, "characters_per_second", histories, y_kind="count"),
    ]


def _losses(
    name: str,
    histories: Sequence[RunHistory],
    levels: Sequence[Level],
    axis: Axis,
    *,
    log_x: bool = False,
) -> Chart:
    series, is_alone = [], len(_networks(histories)) == 1
    for label, number, network in _networks(histories):
        colours = (1, 0) if is_alone else (number, number)
        before = f"{label}, " if label else ""
        training, validation = network.training, network.validation
        bits = training["loss"] / math.log(2)
        series.append(Series(f"{before}training", training[axis], bits, colours[0], "faint"))
        bits = validation["validation_loss"] / math.log(2)
        series.append(Series(f"{before}validation", validation[axis], bits, colours[1]))
    unit = unit_of(histories)
    is_time = axis == "seconds"
    return Chart(
        name,
        "Loss and perplexity",
        "time in training steps" if is_time else f"{unit}s read in training",
        f"bits per {unit}",
        series,
        levels,
        list(_marks(histories, axis)),
        x_kind="seconds" if is_time else "count",
        log_x=log_x,
        right_label="perplexity",
        right=_perplexity,
    )


def _curves(
    name: str,
    title: str,
    key: str,
    histories: Sequence[RunHistory],
    *,
    log_y: bool = False,
    y_kind: Kind = "number",
) -> Chart:
    series = [
        Series(
            label or title.lower(), network.training["characters"], network.training[key], number
        )
        for label, number, network in _networks(histories)
    ]
    marks = list(_marks(histories, "characters"))
    unit = unit_of(histories)
    label = key.replace("_", " ").replace("characters", f"{unit}s")
    x_label = f"{unit}s read in training"
    return Chart(name, title, x_label, label, series, (), marks, y_kind=y_kind, log_y=log_y)


def unit_of(histories: Sequence[RunHistory]) -> str:
    """Return what all runs read; characters where they differ."""
    units = {one.config.corpus.unit for one in histories if one.config is not None}
    return units.pop() if len(units) == 1 else "character"


def _networks(histories: Sequence[RunHistory]) -> list[_Network]:
    """Return the networks of all runs, each with a label and a number of its own."""
    found: list[_Network] = []
    for history in histories:
        for network in history.networks:
            names = [history.name] if len(histories) > 1 else []
            if network.member is not None and len(history.networks) > 1:
                names.append(f"member {network.member}")
            found.append(_Network(" ".join(names), len(found), network))
    return found


def _marks(histories: Sequence[RunHistory], axis: Axis) -> Iterator[Mark]:
    """Yield where a single network rolled back or was resumed; with several nobody could tell."""
    networks = _networks(histories)
    if len(networks) == 1:
        history = networks[0].history
        for one in history.happenings[:_MOST_MARKS]:
            symbol, _, name = _SYMBOLS.get(one.kind, f"• {one.kind}").partition(" ")
            text = f"{name}: {one.text}" if one.text else name
            yield Mark(text, history.place_of(one.step, axis), symbol)


def _perplexity(bits: float) -> str:
    return f"{2**bits:.3g}" if bits < 60 else ""
