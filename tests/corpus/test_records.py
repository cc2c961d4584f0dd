"""Laws of texts of records: what is a record, and which split it belongs to."""

import csv
import io
import json
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.properties import examples

from charlm.config.load import make_config
from charlm.config.schema import CorpusConfig
from charlm.corpus.builder import build_corpus, encode_files
from charlm.corpus.corpus import SPLITS, Corpus
from charlm.corpus.records import Records, record_ends
from charlm.errors import CharlmError, CorpusNotice

_TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\r\x1e\n"), max_size=8)
_LINES = st.lists(_TEXT, min_size=1, max_size=8).map("\n".join)


def _config(path: Path, records: str, **keys: Any) -> CorpusConfig:
    return CorpusConfig(
        **{"paths": (str(path),), "records": records, "split": (1.0, 0.0, 0.0), **keys}
    )


def _records_of(corpus: Corpus, name: str = "train") -> list[str]:
    """Return the records of a split."""
    split = corpus.splits[name]  # type: ignore[index]
    assert split.boundary is not None
    ends = record_ends(split.ids, split.boundary)
    starts = [1, *(ends + 1).tolist()]
    return [corpus.vocabulary.decode(split.ids[s:e]) for s, e in zip(starts, ends, strict=False)]


def _write(path: Path, records: list[str], form: str) -> dict[str, Any]:
    """Write records in a form; return the settings that read them."""
    if form == "csv":
        out = io.StringIO()
        rows = [["number", "text"], *([str(n), one] for n, one in enumerate(records))]
        csv.writer(out, lineterminator="\n").writerows(rows)
        text, keys = out.getvalue(), {"column": "text"}
    elif form == "jsonl":
        text = "".join(json.dumps({"text": one}) + "\n" for one in records)
        keys = {"column": "text"}
    else:
        written = Records.of(CorpusConfig(records=form))
        assert written is not None
        text, keys = "".join(one + written.written_as for one in records), {}
    path.write_text(text, encoding="utf-8", newline="")
    return keys


def _may_be_in(record: str, form: str) -> bool:
    """Return whether a record can be written in a form."""
    lines = record.split("\n")
    if form == "paragraphs":
        return all(line.strip() for line in lines)
    return form not in lines and (form != "lines" or len(lines) == 1)


@pytest.mark.parametrize("unit", ["character", "byte"])
@pytest.mark.parametrize("form", ["lines", "paragraphs", "csv", "jsonl", "%", "<|end|>"])
@examples(8)
@given(drawn=st.lists(_LINES, min_size=1, max_size=6), block=st.integers(1, 9))
@pytest.mark.filterwarnings("ignore::charlm.errors.CorpusNotice")
def test_records_are_those_written(
    drawn: list[str], block: int, form: str, unit: str, scratch: Path
) -> None:
    """Records are read as they were written, in any form and in pieces of any size."""
    records = [one for one in drawn if _may_be_in(one, form)]
    path = scratch / f"{form.strip('<|>')}.txt"
    keys = _write(path, records, form)
    kept = [one for one in records if one.strip()]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("charlm.corpus.blocks._BLOCK_BYTES", block)
        patch.setattr("charlm.corpus.record_builder._PIECE_CHARACTERS", 2 * block)
        if not kept:
            with pytest.raises(CharlmError, match="has no records"):
                build_corpus(_config(path, form, unit=unit, **keys))
            return
        corpus = build_corpus(_config(path, form, unit=unit, **keys))
    assert _records_of(corpus) == kept
    assert corpus.records is not None
    assert (corpus.records.train, corpus.records.different) == (len(kept), len({*kept}))


@pytest.mark.parametrize("keys", [{"unit": "byte"}, {"newlines": "keep"}, {}], ids=str)
@pytest.mark.parametrize("form", ["lines", "paragraphs", "csv", "jsonl", "%", "<|end|>"])
@examples(6)
@given(
    records=st.lists(st.text("ab%", min_size=1, max_size=3), min_size=1, max_size=6),
    block=st.integers(1, 9),
    is_open=st.booleans(),
    mark=st.sampled_from(["", "\ufeff"]),
)
def test_line_ends_are_no_part_of_records(
    records: list[str],
    block: int,
    is_open: bool,
    mark: str,
    form: str,
    keys: dict[str, Any],
    scratch: Path,
) -> None:
    """Equal records are equal in files of Windows, and at the beginning and the end of a file."""
    records = [one for one in records if _may_be_in(one, form)] or ["a"]
    path = scratch / f"{form.strip('<|>')}-ends.txt"
    keys = keys | _write(path, records, form)
    text = path.read_text("utf-8")
    text = text.removesuffix("\n" if is_open else "").removesuffix("<|end|>" if is_open else "")
    path.write_text(mark + text, "utf-8", newline="\r\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("charlm.corpus.blocks._BLOCK_BYTES", block)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", CorpusNotice)
            assert _records_of(build_corpus(_config(path, form, **keys))) == records


@pytest.mark.filterwarnings("ignore::charlm.errors.CorpusNotice")
def test_tables_are_read_as_they_are_written(tmp_path: Path) -> None:
    """Names and values of a table may have newlines, and values as many characters as others."""
    long = "ab" * 100_000
    path = tmp_path / "list.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, delimiter=";").writerows([["a\nb", "naïve"], ["1\r\n2", long], ["3", "4"]])
    for unit in ("character", "byte"):
        corpus = build_corpus(_config(path, "csv", unit=unit, column="naïve"))
        assert _records_of(corpus) == [long, "4"]
        with pytest.raises(CharlmError, match="no column 'naive'; did you mean naïve"):
            build_corpus(_config(path, "csv", unit=unit, column="naive"))
        kept = {"unit": "byte"} if unit == "byte" else {"newlines": "keep"}
        corpus = build_corpus(_config(path, "csv", column="a\nb", **kept))
        assert _records_of(corpus) == ["1\r\n2", "3"]


def test_escapes_of_line_ends_are_line_ends(tmp_path: Path) -> None:
    """A value with CR LF as escapes is equal to one with LF, as it is in other files."""
    path = tmp_path / "list.jsonl"
    path.write_text(r'{"a": "x\r\ny"}' "\n" r'{"a": "x\ny"}' "\n", "utf-8")
    assert _records_of(build_corpus(_config(path, "jsonl", column="a"))) == ["x\ny", "x\ny"]


@examples(25)
@given(
    drawn=st.lists(st.text("abc", min_size=1, max_size=6), min_size=3, max_size=60),
    fractions=st.sampled_from([(0.8, 0.1, 0.1), (0.9, 0.05, 0.05), (0.5, 0.0, 0.5)]),
    seed=st.integers(0, 2**70),
)
@pytest.mark.filterwarnings("ignore::charlm.errors.CorpusNotice")
def test_equal_records_share_a_split(
    drawn: list[str], fractions: tuple[float, float, float], seed: int, scratch: Path
) -> None:
    """Equal records are in one split; the fractions are met; the order of the file is nothing."""
    path, keys = (
        scratch / "list.txt",
        {"split": fractions, "split_seed": seed, "vocabulary_from": "all"},
    )
    path.write_text("\n".join(drawn))
    if len({*drawn}) < sum(fraction > 0 for fraction in fractions):
        with pytest.raises(CharlmError, match=r"different record|has \d record"):
            build_corpus(_config(path, "lines", **keys))
        return
    corpus = build_corpus(_config(path, "lines", **keys))
    parts = [_records_of(corpus, name) for name in SPLITS]
    assert sum(map(Counter, parts), Counter()) == Counter(drawn)
    assert not any({*one} & {*other} for one in parts for other in parts if one is not other)
    sizes: Counter[str] = Counter()
    for one in drawn:
        sizes[one] += len(one) + 1
    for part, fraction in zip(parts, fractions, strict=True):
        missed = sum(len(one) + 1 for one in part) - fraction * sizes.total()
        assert bool(part) == (fraction > 0)
        assert abs(missed) <= 2 * max(sizes.values())
    path.write_text("\n".join(reversed(drawn)))
    again = build_corpus(_config(path, "lines", **keys))
    assert [sorted(_records_of(again, name)) for name in SPLITS] == [sorted(p) for p in parts]


def test_fractions_are_met_closely(tmp_path: Path) -> None:
    """The splits of a thousand records have their sizes to the length of a record."""
    path = tmp_path / "list.txt"
    random = np.random.default_rng(0)
    path.write_text(
        "\n".join("x" * int(n) + str(i) for i, n in enumerate(random.integers(1, 40, 1000)))
    )
    corpus = build_corpus(_config(path, "lines", split=(0.9, 0.05, 0.05)))
    total = sum(len(corpus.splits[name]) - 1 for name in SPLITS)
    for name in SPLITS[1:]:
        assert abs(len(corpus.splits[name]) - 1 - 0.05 * total) <= 2


def test_the_seed_changes_the_split(tmp_path: Path) -> None:
    """Another seed chooses other records, and is another corpus."""
    path = tmp_path / "list.txt"
    path.write_text("\n".join(map(str, range(200))))
    one, two = (
        build_corpus(_config(path, "lines", split=(0.8, 0.1, 0.1), split_seed=seed))
        for seed in (0, 1)
    )
    assert one.fingerprint != two.fingerprint
    assert _records_of(one, "test") != _records_of(two, "test")


def test_separate_files_stay_as_they_are(tmp_path: Path) -> None:
    """Records of separate files stay in their split, and those that are not new are counted."""
    texts = {"train": "anna\nbob\ncarl\n", "validation": "dora\nANNA\n", "test": "bob\neve\n"}
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
    config = _config(
        tmp_path / "train",
        "lines",
        validation_paths=(str(tmp_path / "validation"),),
        test_paths=(str(tmp_path / "test"),),
        vocabulary_from="all",
    )
    with pytest.warns(CorpusNotice, match="2 of 4 held-out records"):
        corpus = build_corpus(config)
    assert ["\n".join(_records_of(corpus, name)) + "\n" for name in SPLITS] == [*texts.values()]
    assert corpus.records is not None
    assert (corpus.records.shared, corpus.records.nearly_shared) == (1, 2)
    test = encode_files([str(tmp_path / "test")], config, corpus.vocabulary)
    assert test.ids.tolist() == corpus.splits["test"].ids.tolist()
    assert test.origin == corpus.splits["test"].origin


@pytest.mark.parametrize(
    ("one", "other"),
    [("a b", "a  b"), ("ab", "ab "), ("\u0390", "\u0390".upper()), ("ﬁ", "FI"), ("Σ", "ς")],
)
def test_nearly_equal_records_are_counted(one: str, other: str, tmp_path: Path) -> None:
    """Records that differ only in case, white space or normal form are counted as known."""
    for name, text in (("train", one), ("test", other)):
        (tmp_path / name).write_text(f"{text}\n", "utf-8")
    places = {"test_paths": (str(tmp_path / "test"),), "vocabulary_from": "all"}
    with pytest.warns(CorpusNotice, match="1 of 1 held-out"):
        corpus = build_corpus(_config(tmp_path / "train", "lines", **places))
    assert corpus.records is not None
    assert (corpus.records.shared, corpus.records.nearly_shared) == (0, 1)


def test_an_end_has_the_bytes_of_the_file(tmp_path: Path) -> None:
    """The bytes of records are those of the file, from which the first boundary is no part."""
    path = tmp_path / "cards.txt"
    path.write_text("one\ntwo\n%\nthree €\n%\n")
    split = build_corpus(_config(path, "%")).splits["train"]
    assert split.measure(1, len(split)) == (path.stat().st_size, 0)


@pytest.mark.parametrize(
    ("text", "keys", "message"),
    [
        ("one\n", {"records": "lines", "split": (0.8, 0.1, 0.1)}, "has 1 record, and its 3 splits"),
        ("a b c", {"records": "%", "split": (0.8, 0.1, 0.1)}, "has 1 record, and its 3 splits"),
        ("one\n" * 9, {"records": "lines", "split": (0.8, 0.0, 0.2)}, "has 1 different record"),
        ("\n \n\n", {"records": "lines"}, "has no records; 3 records, all empty"),
        ("", {"records": "lines"}, "has no records"),
        ("a\n%\nb\x1ec\n", {"records": "%"}, r"t.txt: record 2 \('b c'\) contains U\+001E"),
        ("a,b\n1,2\n3\n", {"records": "csv", "column": "b"}, r"row 2 \(line 3\) has 1 column, and"),
        ("a,b\n1,2\n", {"records": "csv", "column": "B"}, "has no column 'B'; .*b"),
        ('a,b\n1,"2\n', {"records": "csv", "column": "b"}, "line 2 is not CSV"),
        ('{"a": "1"}\n[]\n', {"records": "jsonl", "column": "a"}, "line 2 is not an object"),
        ('{"a": "1"}\n{"a": 1}\n', {"records": "jsonl", "column": "a"}, "line 2 has no text 'a'"),
        ("", {"records": "csv", "column": "a"}, "the file has no header"),
        (r'{"a": "\ud800"}', {"records": "jsonl", "column": "a"}, r"half a character, U\+D800"),
        ("x<e>\ny" + "x" * 40, {"records": "<e>"}, "record in line 2 has more than 30 char"),
        ("x\n\n" + "x\n" * 40, {"records": "paragraphs"}, "record in line 3 has more than 30 char"),
        ('{"a": "1"}\n{"a"\n', {"records": "jsonl", "column": "a"}, "line 2 is not JSON"),
        ("x" * 40, {"records": "%"}, "record in line 1 has more than 30 char"),
        ("x\n" * 40, {"records": "%"}, "record in line 1 has more than 30 char"),
    ],
)
@pytest.mark.parametrize("unit", ["character", "byte"])
def test_bad_records_are_one_line(
    text: str,
    keys: dict[str, Any],
    message: str,
    unit: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A list that cannot be read is refused in a line that names the place."""
    monkeypatch.setattr("charlm.corpus.record_source.MAX_RECORD_CHARACTERS", 30)
    path = tmp_path / "t.txt"
    path.write_text(text, newline="")
    with pytest.raises(CharlmError, match=message):
        build_corpus(_config(path, unit=unit, **keys))


@pytest.mark.parametrize(
    "keys",
    [
        {"records": "\0"},
        {"records": ""},
        {"records": "a\n"},
        {"records": "x" * 251},
        {"records": "csv"},
        {"records": "lines", "column": "a"},
        {"records": "lines", "newlines": "space"},
        {"records": "lines", "validation_first": True},
    ],
)
def test_bad_settings_are_refused(keys: dict[str, Any]) -> None:
    """A separator of zero bytes, a column that is missing, and settings of running text."""
    with pytest.raises(CharlmError, match=r"corpus"):
        make_config({"corpus": {"paths": ["x"], **keys}}, "test")


@pytest.mark.parametrize(
    ("records", "form"),
    [("line", "lines"), ("Lines", "lines"), ("paragraph", "paragraphs"), ("CSV", "csv")],
)
def test_misspelt_forms_are_no_separators(records: str, form: str) -> None:
    """A text split at the word `line` would have records without a sense."""
    with pytest.raises(CharlmError, match=f"did you mean {form}"):
        make_config({"corpus": {"paths": ["x"], "records": records}}, "test")
    assert CorpusConfig(records="%").records == "%"
    assert CorpusConfig(records="END").records == "END"


def test_no_record_is_cut(tmp_path: Path) -> None:
    """A limit of characters reads whole records."""
    path = tmp_path / "list.txt"
    path.write_text("ab\ncde\nf\n")
    corpus = build_corpus(_config(path, "lines", max_characters=6))
    assert _records_of(corpus) == ["ab"]
    assert _records_of(build_corpus(_config(path, "lines", max_characters=7))) == ["ab", "cde"]


def test_empty_records_are_counted(tmp_path: Path) -> None:
    """Empty records are dropped, and a notice says how many."""
    path = tmp_path / "list.txt"
    path.write_text("ab\n\n cd \n  \n")
    with pytest.warns(CorpusNotice, match="2 empty records dropped"):
        corpus = build_corpus(_config(path, "lines"))
    assert _records_of(corpus) == ["ab", " cd "]


def test_the_boundary_is_always_known(tmp_path: Path) -> None:
    """The end of a record is in the vocabulary, however rare it is, and is never hidden."""
    path = tmp_path / "list.txt"
    path.write_text("aaaaaaaaaa")
    corpus = build_corpus(_config(path, "paragraphs", minimum_count=5))
    assert corpus.vocabulary.decode(corpus.splits["train"].ids) == "\x1eaaaaaaaaaa\x1e"
    assert corpus.boundary not in corpus.hapaxes
