"""The section `corpus`: the text, how it is read, and how it is split."""

from typing import Annotated, Any, Literal

from pydantic import (
    BeforeValidator,
    Field,
    NonNegativeInt,
    PositiveInt,
    field_validator,
    model_validator,
)

from charlm.config.sections.section import Section
from charlm.config.values import Fraction, Paths, canonical_encoding, three_fractions
from charlm.suggestions import did_you_mean

_RECORD_FORMS = ("none", "lines", "paragraphs", "csv", "jsonl")


def _renamed_newlines(value: Any) -> Any:
    """Read the original name of `unify`, which older configs and checkpoints contain."""
    return "unify" if value == "normalise" else value


class CorpusConfig(Section):
    """The text, how it is read, and how it is split."""

    paths: Paths = ()
    """Files, folders (all files in them) and globs, joined in order; `-` is standard input."""
    builtin: str | None = None
    """Name of a text to use instead of `paths`; `charlm data list` lists the names."""
    validation_paths: Paths = ()
    """Separate files for validation; with these or `test_paths`, `split` is not used."""
    test_paths: Paths = ()
    """Separate files for the test split."""
    unit: Literal["character", "byte"] = "character"
    """What the model predicts: Unicode code points, or the bytes of the file."""
    encoding: str = "auto"
    """Encoding of the characters in the files. `auto` recognises that of each file, where it is
    evident: UTF-8, UTF-16 and UTF-32, and older ones such as cp1252 (Windows)."""
    encodings: dict[str, str] = Field(default_factory=dict)
    """Encodings of individual files by path, for files that are not UTF-8. A run records here what
    `auto` has recognised, and reads these files in the same way when it is resumed or scored."""
    newlines: Annotated[
        Literal["auto", "unify", "keep", "space"], BeforeValidator(_renamed_newlines)
    ] = "auto"
    """`unify` turns line ends of Windows (CR LF) and old Macs (CR) into LF, `keep` leaves line ends
    unchanged, and `space` turns every line end into a space, as the book does. `auto` is `unify`
    for characters, and `keep` for bytes, where every byte counts."""
    normal_form: Literal["none", "NFC", "NFD", "NFKC", "NFKD"] = "none"
    """Unicode normal form to which the text is converted."""
    max_characters: PositiveInt | None = None
    """Read no more than this many characters of `paths` (bytes, with `unit: byte`)."""
    minimum_count: PositiveInt = 1
    """Rarer characters share one unknown symbol, which is never generated."""
    vocabulary_from: Literal["train", "all"] = "train"
    """Split whose characters are counted: `train` is the training split, `all` is every split."""
    vocabulary: Literal["keep", "extend"] = "keep"
    """With `training.start_from`: keep the vocabulary of the initial model, or extend it by the
    characters of this text, selected by `minimum_count` and `vocabulary_from`."""
    records: str = "none"
    """How the text divides into records, such as names, cards or poems, whose order means nothing:
    `lines`, `paragraphs` (with blank lines between), `csv` and `jsonl` (see `column`), or a text
    that separates records, such as `<|end|>`, or `%` on a line of its own. If the separator is
    such a line anywhere in a file, only these lines separate. Empty records are dropped, and splits
    are made of whole records. `none`: it is running text."""
    column: str | None = None
    """Column of a CSV file, or key of the objects of a JSON lines file, that contains a record."""
    split: Annotated[tuple[Fraction, Fraction, Fraction], BeforeValidator(three_fractions)] = (
        0.9,
        0.05,
        0.05,
    )
    """Fractions of the text, in its order, for training, validation and test. A single number is
    the fraction for training, and the others share the rest: 0.8 means 0.8, 0.1 and 0.1. Records
    are chosen at random, and equal ones are always in the same split."""
    split_seed: NonNegativeInt = 0
    """Random seed of the choice of records for each split. The other seeds do not change it."""
    validation_first: bool = False
    """Take the validation split from the beginning of the text, before the training split.
    Otherwise it lies between the training split and the test split."""

    @property
    def line_ends(self) -> Literal["unify", "keep", "space"]:
        """How line ends are read, with `auto` decided."""
        if self.newlines == "auto":
            return "keep" if self.unit == "byte" else "unify"
        return self.newlines

    @property
    def validation_follows_training(self) -> bool:
        """Whether the validation split directly follows the training split in one text."""
        has_files = bool(self.validation_paths or self.test_paths)
        return not (self.validation_first or has_files or self.has_records)

    @property
    def has_records(self) -> bool:
        """Whether the text is a list of records."""
        return self.records != "none"

    @field_validator("records")
    @classmethod
    def _check_separator(cls, records: str) -> str:
        is_separator = "\x00" not in records and records.strip("\n") == records
        if not is_separator or not 0 < len(records.encode("utf-8", "replace")) <= 250:
            raise ValueError(
                "should be none, lines, paragraphs, csv, jsonl, or a separator of up to 250 bytes "
                "without zero bytes, and without a newline at either end"
            )
        if records.isalpha() and records not in _RECORD_FORMS:
            meant = did_you_mean(records.lower(), _RECORD_FORMS, least_similarity=0.8)
            if meant:  # a separator that is almost one of these words is hardly meant
                raise ValueError(f"should not be almost the name of a form; {meant}")
        return records

    @field_validator("encoding")
    @classmethod
    def _canonical_encoding(cls, name: str) -> str:
        return name if name == "auto" else canonical_encoding(name)

    @field_validator("encodings")
    @classmethod
    def _canonical_encodings(cls, names: dict[str, str]) -> dict[str, str]:
        return {path: canonical_encoding(name) for path, name in names.items()}

    @field_validator("split")
    @classmethod
    def _check_sum(cls, split: tuple[float, float, float]) -> tuple[float, float, float]:
        if abs(sum(split) - 1) > 1e-9 or split[0] == 0:
            raise ValueError("should be three fractions that add up to 1, the first above 0")
        return split

    @model_validator(mode="before")
    @classmethod
    def _default_text(cls, keys: Any) -> Any:
        if isinstance(keys, dict) and not keys.get("paths") and keys.get("builtin") is None:
            return keys | {"builtin": "python-docs"}
        return keys

    @model_validator(mode="after")
    def _check_consistency(self) -> "CorpusConfig":
        if self.paths and self.builtin is not None:
            raise ValueError("paths and builtin both name the text; set one of them to null")
        if self.unit == "byte" and (self.line_ends != "keep" or self.normal_form != "none"):
            raise ValueError("unit: byte reads bytes unchanged; remove newlines and normal_form")
        if self.records in ("csv", "jsonl") and self.column is None:
            raise ValueError(
                f"records: {self.records} needs the name of a column; set column (--column NAME)"
            )
        if self.records not in ("csv", "jsonl") and self.column is not None:
            raise ValueError("column needs records: csv or records: jsonl; set it, or omit column")
        if self.has_records and (self.newlines == "space" or self.validation_first):
            raise ValueError(
                "newlines: space and validation_first are for running text; omit them, or records"
            )
        return self
