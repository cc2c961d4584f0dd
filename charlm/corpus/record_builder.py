"""Read records from files, and write them to a symbol file, split by split."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from charlm.config.schema import CorpusConfig
from charlm.corpus.corpus import SPLITS, RecordCounts
from charlm.corpus.decoding import read_texts
from charlm.corpus.files import shown_name
from charlm.corpus.newlines import LineEnds
from charlm.corpus.normalization import normalised
from charlm.corpus.record_reading import divide
from charlm.corpus.record_source import shown_text
from charlm.corpus.record_splits import Hashes, RecordList, choose_splits
from charlm.corpus.records import Records
from charlm.corpus.symbol_file import SymbolFile
from charlm.corpus.text_files import TextFiles
from charlm.corpus.vocabulary import Symbols, code_points
from charlm.errors import CorpusError
from charlm.formatting import count, shorten

_PIECE_CHARACTERS = 1 << 18
"""Number of characters from which records are written as a piece of their own."""


class RecordBuilder:
    """Reads the records of a text, and writes those of each split one after another."""

    def __init__(
        self, files: TextFiles, config: CorpusConfig, line_ends: dict[Path, LineEnds]
    ) -> None:
        """`line_ends` receives the numbers of the line ends that are converted, for each file."""
        records = Records.of(config)
        assert records is not None, "the corpus has records"
        self._boundary = records.boundary
        self._files, self._config, self._line_ends = files, config, line_ends
        self._num_empty = 0

    def write(self, symbols: SymbolFile, folder: Path) -> tuple[list[int], RecordCounts]:
        """Append all splits to `symbols`; return their lengths, and the numbers of records.

        A file in `folder` holds the records until they are split. Raises `CorpusError`.
        """
        groups = [RecordList(self._config.split_seed) for _ in SPLITS]
        if self._config.validation_paths or self._config.test_paths:
            lengths = []
            for number, (paths, records) in enumerate(zip(self._files.groups, groups, strict=True)):
                lengths.append(symbols.append(self._with_first(self._pieces(paths, records))))
                if paths and not len(records):
                    raise CorpusError(f"the {SPLITS[number]} text has no records; {self._remedy()}")
            return lengths, self._counts([one.hashes for one in groups], [g.folded for g in groups])
        records, found = groups[0], SymbolFile(folder / "records")
        ends: list[int] = []

        def pieces() -> Iterator[Symbols]:
            for piece in self._pieces(self._files.groups[0], records):
                ends.append(len(records))
                yield piece

        total = found.append(pieces())
        if not len(records):
            files = self._files.groups[0]
            text = shown_name(files[0]) if len(files) == 1 else "the text"
            raise CorpusError(f"{text} has no records; {self._remedy()}")
        split_of = choose_splits(records, self._config.split)

        def chosen(number: int) -> Iterator[Symbols]:
            start = 0
            for piece, end in zip(found.read(0, total), ends, strict=True):
                is_chosen = split_of[start:end] == number
                yield piece[np.repeat(is_chosen, records.lengths[start:end])]
                start = end

        lengths = [symbols.append(self._with_first(chosen(number))) for number in range(3)]
        found.path.unlink()
        return lengths, self._counts(
            [records.hashes[split_of == number] for number in range(3)],
            [records.folded[split_of == number] for number in range(3)],
        )

    def _with_first(self, pieces: Iterator[Symbols]) -> Iterator[Symbols]:
        """Yield the pieces of a split that are not empty, with a boundary before the first."""
        is_first = True
        for piece in pieces:
            if is_first and len(piece):
                yield self._symbols(self._boundary)
                is_first = False
            if len(piece):
                yield piece

    def _pieces(self, paths: Sequence[Path], records: RecordList) -> Iterator[Symbols]:
        """Yield the symbols of whole records, each with its boundary, and list the records."""
        gathered: list[str] = []
        size, left = 0, self._config.max_characters if paths is self._files.groups[0] else None
        for record in self._records(paths):
            if left is not None and (left := left - len(record) - 1) < 0:
                break
            records.add(record)
            gathered += record, self._boundary
            size += len(record) + 1
            if size >= _PIECE_CHARACTERS:
                yield self._symbols("".join(gathered))
                gathered, size = [], 0
        if gathered:
            yield self._symbols("".join(gathered))

    def _records(self, paths: Sequence[Path]) -> Iterator[str]:
        """Yield the records of files that are not empty, in the normal form of the config."""
        form, config = self._config.normal_form, self._config.replace(normal_form="none")
        for path, texts in read_texts(
            paths, config, self._files.encodings, self._line_ends, is_setting=self._files.is_setting
        ):
            name = shown_name(path)
            for number, found in enumerate(divide(texts, config, name), 1):
                record = found if form == "none" else "".join(normalised(iter([found]), form, name))
                if not record.strip():
                    self._num_empty += 1
                    continue
                if self._boundary in record:
                    raise CorpusError(
                        f"{name}: record {number:,} ({self._shown(record)!r}) contains "
                        f"{self._describe_boundary()}"
                    )
                yield record

    def _symbols(self, text: str) -> Symbols:
        if self._config.unit == "byte":
            return np.frombuffer(text.encode("latin-1"), np.uint8)
        return code_points(text)

    def _shown(self, record: str) -> str:
        return shorten(shown_text(record, self._config))

    def _describe_boundary(self) -> str:
        if self._boundary == "\n":
            return "a newline that corpus.normal_form has put in; set that to none"
        return f"U+{ord(self._boundary):04X}, which marks the ends of records; omit it there"

    def _remedy(self) -> str:
        empty = f"{count(self._num_empty, 'record')}, all empty; " if self._num_empty else ""
        return f"{empty}add some, or check corpus.records"

    def _counts(self, hashes: list[Hashes], folded: list[Hashes]) -> RecordCounts:
        shared, nearly = (
            int(np.isin(np.concatenate(one[1:]), one[0]).sum()) for one in (hashes, folded)
        )
        train, validation, test = map(len, hashes)
        return RecordCounts(
            train,
            validation,
            test,
            different=len(np.unique(np.concatenate(hashes))),
            empty=self._num_empty,
            shared=shared,
            nearly_shared=nearly,
        )
