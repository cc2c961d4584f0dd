"""Say in words what `charlm data check` has found."""

import shlex
from collections.abc import Iterator, Mapping, Sequence

from charlm.analysis.text_characters import CharacterCount
from charlm.analysis.text_check import TextCheck
from charlm.analysis.text_passages import PASSAGE_CHARACTERS
from charlm.cli.console import print_commands, print_rows
from charlm.formatting import count, shorten
from charlm.runs.listed_score import FEWEST_CHARACTERS

_MOST_NAMED = 5
_MUCH_SHARED, _MANY_REPEATED = 0.05, 0.01


def show_check(check: TextCheck) -> None:
    """Print the findings, each with what to do about it, and the command to type."""
    print_rows([*_text(check), *_characters(check), *_lines(check), *_model(check)])
    if check.command:
        print_commands("train with:", [check.command])


def _text(check: TextCheck) -> Iterator[tuple[str, str]]:
    size = (
        f"{count(check.characters, 'character')}, {count(check.rare.vocabulary, 'different one')}"
    )
    part = "" if check.is_complete else " (the beginning of a longer text)"
    yield "text", f"{count(check.files, 'file')}, {size}{part}"
    yield (
        "encoding",
        ", ".join(
            name if check.files == 1 else f"{name} ({number:,})"
            for name, number in check.encodings.items()
        ),
    )
    if check.byte_order_marks:
        yield "byte order mark", f"{count(check.byte_order_marks, 'file')}; charlm removes it"
    ends = check.line_ends
    kinds = {"LF": ends.lf, "CR LF": ends.cr_lf, "CR": ends.cr}
    named = ", ".join(f"{number:,} {kind}" for kind, number in kinds.items() if number)
    note = "; charlm reads each as LF" if ends.cr_lf or ends.cr else ""
    yield "line ends", f"{'mixed: ' if ends.is_mixed else ''}{named or 'none'}{note}"


def _characters(check: TextCheck) -> Iterator[tuple[str, str]]:
    if check.mojibake.lines:
        words = ", ".join(f"{shorten(a)} → {shorten(b)}" for a, b in check.mojibake.examples)
        lines = count(check.mojibake.lines, "line")
        yield "mojibake", f"{lines} in a wrong encoding; ftfy would repair {words}"
    if check.controls:
        yield "control characters", _named(check.controls)
    rare = check.rare
    if rare.characters:
        few = (
            count(len(rare.characters), "character") + f" with fewer than {rare.below} occurrences"
        )
        remedy = ""
        if rare.minimum_count is not None:
            remedy = f"; corpus.minimum_count={rare.minimum_count} makes them one unknown symbol"
        yield "rare characters", f"{few}: {_named(rare.characters)}{remedy}"


def _named(characters: Sequence[CharacterCount], most: int = _MOST_NAMED) -> str:
    named = ", ".join(f"{one.name} ({one.count:,})" for one in characters[:most])
    more = len(characters) - most
    return f"{named} and {more:,} more" if more > 0 else named


def _lines(check: TextCheck) -> Iterator[tuple[str, str]]:
    lines = check.lines
    if lines.repeated:
        often = ", ".join(f"{shorten(line)!r} {n:,} times" for line, n in lines.most_frequent)
        yield "repeated lines", f"{lines.share:.1%} of {lines.lines:,}; most often {often}"
    passages = check.passages
    if passages.share >= _MANY_REPEATED:
        yield (
            "repeated passages",
            f"about {passages.share:.0%} of all passages of {PASSAGE_CHARACTERS} characters occur "
            f"more than once, such as {shorten(passages.example)!r}",
        )
    shared = f"{check.test_in_training:.1%} of it occurs in the training split, in spans of "
    shared += f"{PASSAGE_CHARACTERS} characters or more"
    if check.test_in_training >= _MUCH_SHARED:
        shared += "; its score will be too good: remove repetitions, or set corpus.test_paths"
    yield "test split", shared
    if check.records:
        each = "each line" if check.records == "lines" else f"each text between {check.records!r}"
        order = "sorted by name, and " if check.items.is_sorted else ""
        yield (
            "list",
            f"{order}{each} looks like an item: --records {shlex.quote(check.records)} trains on "
            "items in any order, and holds out whole ones",
        )
    if len({*check.kinds.values()}) > 1:
        yield "mixed files", _mixture(check.kinds)
    for marks in check.mark_up:
        remedy = "the model learns to write it; clean the text first if that is not wanted"
        example = f"such as {shorten(marks.example)}"
        yield "mark-up", f"{marks.kind}: {marks.count:,}, {example}; {remedy}"


def _mixture(kinds: Mapping[str, str]) -> str:
    """Name a file of each kind, and say what mixing them does."""
    names = {kind: [name for name, its in kinds.items() if its == kind] for kind in kinds.values()}
    listed = ", ".join(
        f"{kind}: {shorten(files[0])}" + (f" and {len(files) - 1:,} more" if files[1:] else "")
        for kind, files in names.items()
    )
    return (
        f"{listed}; the model learns to write all kinds, and the test split may have only the "
        "last: train a model for each"
    )


def _model(check: TextCheck) -> Iterator[tuple[str, str]]:
    if check.is_too_short:
        yield (
            "too short",
            f"training needs at least {count(check.fewest_characters, 'character')}, and about "
            f"{20 * FEWEST_CHARACTERS:,} for a test split that measures anything",
        )
        return
    size = f"hidden size {check.hidden_size}, {check.weights / 1e6:.2g} million recurrent weights"
    yield "enough text for", f"models up to {size}, if there is time to train them"
