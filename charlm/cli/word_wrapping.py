"""Wrap a text between words while it arrives, character by character."""

from rich.cells import cell_len

_TAB_COLUMNS = 8


class WordWrapper:
    """Holds back the word that is not complete, and begins a new line where it would not fit.

    A word that is as wide as the line is broken, and so is a script without spaces, whose wide
    characters stand for words. The blanks at which a line ends are left out.
    """

    def __init__(self) -> None:
        self._column = 0
        self._blanks, self._word = "", ""
        self._cells = 0
        """Width of the word that is held back."""

    def add(self, text: str, width: int) -> str:
        """Return what can be shown of the text so far, in lines of at most `width` cells."""
        shown = []
        for character in text:
            if character == "\n":
                shown.append(f"{self.finish(width)}\n")
                self._column = 0
            elif character in " \t":
                shown.append(self._end_word(width))
                self._blanks += character
            else:
                cells = cell_len(character)
                if cells > 1 or self._cells + cells > width:
                    shown.append(self._end_word(width))
                self._word += character
                self._cells += cells
                if cells > 1:
                    shown.append(self._end_word(width))
        return "".join(shown)

    def add_mark(self, mark: str) -> None:
        """Add a mark to the word; one that begins with an escape has no width."""
        self._word += mark
        self._cells += 0 if mark.startswith("\x1b") else cell_len(mark)

    def finish(self, width: int) -> str:
        """Return the word that was held back, and the blanks after it."""
        word = self._end_word(width)
        end = self._after(self._blanks)
        blanks, self._blanks = self._blanks, ""
        if end > width:
            return word
        self._column = end
        return word + blanks

    def begin_line(self) -> None:
        """Note that something else has begun a line."""
        self._column = 0

    def _end_word(self, width: int) -> str:
        """Return the word with the blanks before it, or on a new line."""
        if not self._word:
            return ""
        start, shown = self._after(self._blanks), self._blanks + self._word
        if start > 0 and start + self._cells > width:
            start, shown = 0, f"\n{self._word}"
        self._column = start + self._cells
        self._blanks, self._word, self._cells = "", "", 0
        return shown

    def _after(self, blanks: str) -> int:
        """Return the column after some blanks."""
        column = self._column
        for blank in blanks:
            column += _TAB_COLUMNS - column % _TAB_COLUMNS if blank == "\t" else 1
        return column
