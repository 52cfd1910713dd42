"""Change the source of a module token by token, so that all that is not meant stays as it was written."""

from __future__ import annotations

import ast
import io
import tokenize
from typing import NamedTuple


class Change(NamedTuple):
    """Say what was changed on a line, counted from 1: the whole of both, without the space around it."""

    line: int
    before: str
    after: str


class Source:
    """Read a module, and note what is to be written elsewise.

    Args:
        text: the module.

    Raises:
        SyntaxError: it is no Python that this Python reads.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self.tree = ast.parse(text)
        self._starts = [0]
        for line in text.split("\n"):
            self._starts.append(self._starts[-1] + len(line) + 1)
        self.tokens = list(tokenize.generate_tokens(io.StringIO(text, newline="").readline))
        self._edits: dict[tuple[int, int], str] = {}

    def tokens_of(self, node: ast.stmt | ast.expr | ast.keyword) -> list[tokenize.TokenInfo]:
        """Return the tokens of a node, comments and line ends within it left out."""
        assert node.end_lineno is not None
        assert node.end_col_offset is not None
        first, last = self._place(node.lineno, node.col_offset), self._place(node.end_lineno, node.end_col_offset)
        skipped = (tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE)
        return [
            token for token in self.tokens if first <= token.start and token.end <= last and token.type not in skipped
        ]

    def replace(self, first: tokenize.TokenInfo, last: tokenize.TokenInfo, text: str) -> None:
        """Write `text` in place of what stands from one token to another."""
        self._edits[self._offset(first.start), self._offset(last.end)] = text

    def written(self) -> str:
        """Return the module with all that was noted."""
        text = self.text
        for (start, end), new in sorted(self._edits.items(), reverse=True):
            text = text[:start] + new + text[end:]
        return text

    def changes(self) -> list[Change]:
        """Return the lines that differ. No edit adds or takes away one."""
        pairs = zip(self.text.split("\n"), self.written().split("\n"), strict=True)
        return [
            Change(number, before.strip(), after.strip())
            for number, (before, after) in enumerate(pairs, start=1)
            if before != after
        ]

    def _place(self, line: int, column_bytes: int) -> tuple[int, int]:
        """Return where tokenize sees what ast sees: it counts characters and not bytes."""
        start = self._starts[line - 1]
        text = self.text[start : self._starts[line] - 1]
        return line, len(text.encode()[:column_bytes].decode())

    def _offset(self, place: tuple[int, int]) -> int:
        return self._starts[place[0] - 1] + place[1]
