"""Make the tables of `charlm/bench/README.md` from results of `charlm bench --json`.

    charlm bench --json > charlm/bench/results/2026-11-27-amd-epyc.json
    charlm bench --busy --seconds 10 --json > charlm/bench/results/2026-11-27-amd-epyc-busy.json
    python -m charlm.bench.tables charlm/bench/results/2026-11-27-amd-epyc*.json --write

prints them; with `--write`, they replace those between the markers in the README.
"""

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

README = Path(__file__).with_name("README.md")
BEGIN, END = "<!-- tables of results: begin -->", "<!-- tables of results: end -->"
_TIMES = ": training, times the plain loop"
_ALONE = ": generation, share of its networks alone"


def tables(results: Iterable[Any]) -> str:
    """Return the Markdown tables of some results; those of busy machines come last."""
    busy_last = sorted(results, key=lambda result: isinstance(result, list))
    return "\n\n".join(
        _busy(result) if isinstance(result, list) else _benchmark(result) for result in busy_last
    )


def replaced(text: str, new: str) -> str:
    """Return a text with `new` between its markers; raises `ValueError` if it has none."""
    before, _, rest = text.partition(BEGIN)
    _, marker, after = rest.partition(END)
    if not marker:
        raise ValueError(f"{README}: no {BEGIN} … {END}; restore these two lines")
    return f"{before}{BEGIN}\n{new}\n{END}{after}"


def _benchmark(result: Mapping[str, Any]) -> str:
    machine, rates, ratios = result["machine"], result["rates"], result["ratios"]
    models = [name.removesuffix(_TIMES) for name in ratios if name.endswith(_TIMES)]
    mixtures = [name.removesuffix(_ALONE) for name in ratios if name.endswith(_ALONE)]
    many = next(
        name.partition(": ")[2] for name in rates if ": generation, " in name and "samples" in name
    )
    parts = [
        f"{machine['date']}, {machine['processor']}, {machine['cores']} cores, "
        f"{machine['system']}, Python {machine['python']}, torch {machine['torch']}, "
        f"commit {machine['commit']}. {machine['threads']} threads, products in "
        f"{machine['precision']}, {machine['engine']}. The limit of training: "
        f"{machine['limit of training']}.",
        _table(
            [
                *("characters per second", "training", "of the limit", "× plain loop"),
                *("generation", "of its bound", many.removeprefix("generation, ")),
            ],
            [
                [
                    model,
                    f"{rates[f'{model}: training']:,.0f}",
                    f"{ratios[f'{model}: training, share of large products']:.0%}",
                    f"{ratios[f'{model}{_TIMES}']:.2f}",
                    f"{rates[f'{model}: generation']:,.0f}",
                    f"{ratios[f'{model}: generation, share of its bound']:.0%}",
                    f"× {ratios[f'{model}: {many} over one']:.1f}",
                ]
                for model in models
            ],
        ),
    ]
    if mixtures:
        names = ["generation", "generation, its networks alone", many]
        parts.append(
            _table(
                ["characters per second", *(name.removeprefix("generation, ") for name in names)],
                [[mix, *(f"{rates[f'{mix}: {n}']:,.0f}" for n in names)] for mix in mixtures],
            )
        )
    prefixes = tuple(f"{name}: " for name in (*models, *mixtures))
    others = {name: rate for name, rate in rates.items() if not name.startswith(prefixes)}
    others |= {name: rate for name, rate in rates.items() if ": evaluation" in name}
    parts.append(
        _table(
            ["characters per second, unless named otherwise", ""],
            [[name, f"{rate:,.0f}"] for name, rate in others.items()],
        )
    )
    return "\n\n".join(parts)


def _busy(rates: Sequence[Mapping[str, Any]]) -> str:
    return _table(
        ["training", "characters per second", "beside a busy process", "kept"],
        [
            [
                each["precision"],
                *(f"{each[key]:,.0f}" for key in ("quiet", "busy")),
                f"{each['kept']:.0%}",
            ]
            for each in rates
        ],
    )


def _table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [headings, ["---"] * len(headings), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def main() -> None:
    """Print the tables of the files that the command line names, or write them."""
    files = [name for name in sys.argv[1:] if name != "--write"]
    if not files:
        sys.exit(f"usage: python -m charlm.bench.tables FILE… [--write]\n\n{__doc__}")
    found = tables(json.loads(Path(name).read_text(encoding="utf-8")) for name in files)
    if "--write" not in sys.argv:
        print(found)
        return
    text = replaced(README.read_text(encoding="utf-8"), found)
    README.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
