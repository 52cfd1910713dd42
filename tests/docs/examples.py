"""Find the examples in a page of documentation.

An example is a fenced block. A comment right above it says what to do with it, as `CONTRIBUTING.md` describes:

    <!-- file: shop/tasks.py -->    write it to that file
    <!-- worker: shop.tasks -->     first start a worker for that app (`tasks` when none is named)
    <!-- redis: --appendonly yes -->  first start a Redis with these options, which the page calls localhost:6379
    <!-- rabbitmq -->               first start a RabbitMQ, which the page calls localhost:5672
    <!-- run -->                    run the commands of a console block
    <!-- not run: reason -->        leave it alone
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from markdown_it import MarkdownIt

_DIRECTIVE = re.compile(r"<!--\s*(file|worker|redis|rabbitmq|run|not run)\s*(?::\s*(.*?))?\s*-->")
_CODE_DIRECTIVE = re.compile(r"\{(code|code-block|sourcecode)\}")
_RUN_UNASKED = ("python", "pycon")


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """One fenced block: the line its text begins on, its language, and what the comments above it say."""

    lineno: int
    language: str
    text: str
    directives: dict[str, str]

    @property
    def is_run(self) -> bool:
        return "not run" not in self.directives and (self.language in _RUN_UNASKED or bool(self.directives))


def examples(page: Path) -> list[Example]:
    """Read the examples of a page that are to be run, from top to bottom."""
    return [example for example in find(page.read_text(encoding="utf-8"), first_line=1) if example.is_run]


def find(markdown: str, *, first_line: int) -> Iterator[Example]:
    directives: dict[str, str] = {}
    for token in MarkdownIt("commonmark").parse(markdown):
        if token.type == "html_block":
            directives |= {name: value or "" for name, value in _DIRECTIVE.findall(token.content)}
            continue
        if token.type == "fence" and token.map:
            # The text begins on the line below the fence.
            yield from read_fence(token.info.strip(), token.content, first_line + token.map[0] + 1, directives)
        directives = {}


def read_fence(info: str, text: str, lineno: int, directives: dict[str, str]) -> Iterator[Example]:
    if _CODE_DIRECTIVE.match(info):
        raise ValueError(f"line {lineno - 1}: write a plain ```python fence instead of {info}, so that it is run")
    if info.startswith("{"):  # a note or a tab: its text is Markdown with examples of its own
        yield from find(text, first_line=lineno)
    else:
        yield Example(lineno=lineno, language=info.partition(" ")[0], text=text, directives=directives)
