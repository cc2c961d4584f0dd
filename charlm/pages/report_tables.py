"""The tables of a report: what was trained, how well, where, and with which settings."""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from charlm.analysis.repetition import differences
from charlm.analysis.run_history import RunHistory
from charlm.config.schema import Config
from charlm.formatting import duration
from charlm.prediction.perplexity import perplexity
from charlm.runs.listed_score import ListedScore

_MACHINE = ("processor", "device", "kernels", "processes", "threads", "precision", "deterministic")
_VERSIONS = ("charlm", "torch", "numpy", "python", "system")


class Row(NamedTuple):
    """A row of a table: a name, and a value for each run."""

    name: str
    values: list[str]

    @property
    def differs(self) -> bool:
        """Whether the runs have different values."""
        return len({*self.values}) > 1


def facts(histories: Sequence[RunHistory]) -> list[Row]:
    """Return what was trained, how long, how well and where; rows without a value are left out."""
    rows: list[tuple[str, Callable[[RunHistory], str]]] = [
        ("state", lambda one: one.listed.state),
        ("text", lambda one: one.listed.text),
        ("model", lambda one: one.config.cells if one.config is not None else ""),
        ("parameters", lambda one: _count(one.listed.num_parameters)),
        ("training", _amount),
        ("lowest validation loss", _validation),
        ("score", _score_at_end),
        ("protocol", _protocol),
        ("seed", lambda one: _text(one.machine.get("seed"))),
        ("began", lambda one: _time(one.starts[0].get("began")) if one.starts else ""),
        ("ended", lambda one: _time((one.result or {}).get("ended"))),
        ("starts", lambda one: _count(len(one.starts) or None)),
        ("machine", lambda one: _entries(one, _MACHINE)),
        ("versions", lambda one: _entries(one, _VERSIONS)),
        ("digest of the text", lambda one: _text(one.machine.get("fingerprint"))),
    ]
    found = [Row(name, [value(one) for one in histories]) for name, value in rows]
    return [row for row in found if any(row.values)]


def settings_of(history: RunHistory) -> list[Row]:
    """Return the settings that differ from the defaults, with their defaults."""
    return [Row(one.key, [one.value, one.other]) for one in history.differences]


def differing_settings(histories: Sequence[RunHistory]) -> list[Row]:
    """Return the settings in which the runs differ."""
    known = [one.config for one in histories]
    by_run = [
        {} if config is None else {one.key: one.value for one in differences(config)}
        for config in known
    ]
    defaults = {one.key: one.other for found in known if found for one in differences(found)}
    rows = []
    for key, default in defaults.items():
        values = [
            "?" if config is None else found.get(key, default)
            for config, found in zip(known, by_run, strict=True)
        ]
        rows.append(Row(key, values))
    order = [f"{section}.{key}" for section, keys in Config().model_dump().items() for key in keys]
    return sorted((row for row in rows if row.differs), key=lambda row: order.index(row.name))


def _count(number: int | None) -> str:
    return "" if number is None else f"{number:,}"


def _text(value: Any) -> str:
    return "" if value is None or isinstance(value, dict | list) else f"{value!s:.300}"


def _time(value: Any) -> str:
    """Return a time as it is written to files, in a form to read."""
    return _text(value).replace("T", " ").replace("+00:00", " UTC")


def _amount(history: RunHistory) -> str:
    """Return steps, epochs, characters and time of all networks."""
    ends = [
        [_last(network.training[key], network.validation[key]) for network in history.networks]
        for key in ("step", "epoch", "characters", "seconds")
    ]
    step, epochs, characters, seconds = map(math.fsum, ends)
    if not step:
        return ""
    return (
        f"{step:,.0f} steps, {epochs:,.2f} epochs, {characters:,.0f} {_unit(history)}s "
        f"in {duration(seconds)}"
    )


def _last(*columns: np.ndarray) -> float:
    known = np.concatenate(columns)
    known = known[np.isfinite(known)]
    return float(known.max()) if len(known) else 0.0


def _validation(history: RunHistory) -> str:
    nats = history.best_validation
    if nats is None:
        return ""
    return f"{_losses(nats / math.log(2), history)}{_of_network(history)}"


def _of_network(history: RunHistory) -> str:
    """Tell a loss of a network, which training logs, from that of an ensemble, which is scored."""
    if history.config is None or not history.config.ensemble.is_wanted:
        return ""
    return " (by the best network alone)" if len(history.networks) > 1 else " (network alone)"


def _of_ensemble(history: RunHistory) -> str:
    if history.config is None or not history.config.ensemble.is_wanted:
        return ""
    return ", as an ensemble" if history.config.ensemble.size > 1 else ", with n-grams"


def _unit(history: RunHistory) -> str:
    return history.config.corpus.unit if history.config is not None else "character"


def _losses(bits: float, history: RunHistory) -> str:
    return f"{bits:.4f} bits per {_unit(history)}, perplexity {perplexity(bits * math.log(2)):.3f}"


def _score_at_end(history: RunHistory) -> str:
    """Return the score at the end, or the best validation so far, which is of a network."""
    shown = _score(history.listed.score, _unit(history))
    is_final = type((history.result or {}).get("score")) is dict
    return shown and shown + (_of_ensemble(history) if is_final else _of_network(history))


def _score(score: ListedScore | None, unit: str) -> str:
    if score is None:
        return ""
    characters = "" if score.characters is None else f" of {score.characters:,} {unit}s"
    return f"{score.bits_per_character:.4f} bits per {unit}, {score.split} split{characters}"


def _protocol(history: RunHistory) -> str:
    score = (history.result or {}).get("score")
    return _text(score.get("protocol")) if type(score) is dict else ""


def _entries(history: RunHistory, keys: Sequence[str]) -> str:
    machine = history.machine
    named = [f"{key} {text}" for key in keys if (text := _text(machine.get(key)))]
    return ", ".join(named)
