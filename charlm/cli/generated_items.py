"""Generate items of a list for `generate --items`, write them, and say what was drawn."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from charlm.cli.console import print_message
from charlm.cli.text_output import TextOutput
from charlm.errors import CharlmError
from charlm.formatting import count

if TYPE_CHECKING:
    from charlm.config.sections.generation import GenerationSettings
    from charlm.corpus.vocabulary import Ids
    from charlm.prediction.items.items import Items
    from charlm.prediction.predictor import Predictor


@dataclass(frozen=True)
class ItemOptions:
    """The options that say which items are wanted."""

    items: int | None
    new: bool
    not_in: tuple[str, ...]
    unique: bool
    min_length: int | None
    max_length: int | None
    suffix: str | None
    match: str | None

    def check(
        self,
        length: int | None,
        num_samples: int,
        stop: str | None,
        mark_copied: int | None,
        *,
        is_portable: bool,
    ) -> None:
        """Refuse options that need --items without it, and those of running text with it."""
        of_items = [
            f"--{name.replace('_', '-')}"
            for name, value in vars(self).items()
            if value not in (None, False, ()) and name != "items"
        ]
        if self.items is None:
            if of_items:
                raise CharlmError(f"{of_items[0]} needs --items N; add it, or omit {of_items[0]}")
            return
        of_text = {
            "--length": (length is not None, "items end by themselves; use --max-length"),
            "--num-samples": (num_samples > 1, "give the number to --items"),
            "--stop": (stop is not None, "items end by themselves; omit it"),
            "--mark-copied": (mark_copied is not None, "omit one of them"),
            "--portable": (is_portable, "omit one of them"),
        }
        for name, (is_given, remedy) in of_text.items():
            if is_given:
                raise CharlmError(f"--items cannot be combined with {name}; {remedy}")

    def generate(
        self,
        loaded: "Predictor",
        prefix: "Ids",
        seed: int | None,
        training_text: Sequence[str],
        sampling: "GenerationSettings",
    ) -> "Items":
        """Return the items as an iterator."""
        from charlm.prediction.items.constraint import LONGEST_ITEM
        from charlm.prediction.items.items import generate_items

        return generate_items(
            loaded,
            self.items or 1,
            prefix=prefix,
            suffix=self.suffix or "",
            match=self.match,
            min_length=1 if self.min_length is None else self.min_length,
            max_length=LONGEST_ITEM if self.max_length is None else self.max_length,
            new=self.new,
            not_in=self.not_in,
            unique=self.unique,
            seed=seed,
            training_text=training_text,
            **sampling,
        )


def write_items(
    items: "Items", loaded: "Predictor", output: Path | None, *, is_json: bool, is_quiet: bool
) -> None:
    """Write each item as soon as it is drawn, then say on standard error what was drawn.

    It is also said after Ctrl-C. Raises `CharlmError` if there is no item.
    """
    try:
        _write_each(items, loaded, output, is_json=is_json)
    except KeyboardInterrupt:
        if not is_quiet:
            print_message(f"interrupted; {summary(items)}")
        raise
    if not items.counts.items:
        raise CharlmError(
            f"no item in {count(items.counts.drawn, 'draw')}: {_found(items)}; relax the conditions"
        )
    if items.is_exhausted:
        print_message(
            f"nothing more was found in {items.vain_draws:,} draws; these are "
            f"{items.counts.items:,} of {items.number:,} items"
        )
    if not is_quiet:
        print_message(summary(items))


def _write_each(items: "Items", loaded: "Predictor", output: Path | None, *, is_json: bool) -> None:
    if is_json:
        for item in items:
            print(json.dumps({"item": item}), flush=True)
        end = {"checkpoint": str(loaded.path), "seed": items.seed, "counts": items.counts.to_json()}
        print(json.dumps(end | {"is_exhausted": items.is_exhausted}))
        return
    target, end_of_item = TextOutput(output), items.separator.encode()
    with target.own_line_for_prompt():
        for ids in items.each_ids():
            target.write(loaded.vocabulary.decode_bytes(ids) + end_of_item)
    target.close()


def summary(items: "Items") -> str:
    """Say how many draws there were, what they were, and whether the items are the model's own."""
    counts = items.counts
    text = (
        f"{count(counts.items, 'item')} of {count(counts.drawn, 'draw')} "
        f"(yield {counts.items_per_draw:.2%}): {_found(items)}"
    )
    if not counts.masked_items:
        return text
    return (
        f"{text}; fewer than 1 in 1,000 draws fitted, so what cannot fit was masked: "
        f"{counts.masked_items:,} of the items are not distributed as the model's own"
    )


def _found(items: "Items") -> str:
    counts = items.counts
    found = [f"{counts.matching:,} fit", f"{counts.unique:,} different"]
    if counts.new is not None:
        found.append(f"{counts.new:,} new")
    return ", ".join(found)
