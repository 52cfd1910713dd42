"""Every link from one file of the repository to another leads somewhere, heading included.

Addresses with a scheme are left alone: whether a web site is up says nothing about this repository.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from urllib.parse import unquote

import pytest
from markdown_it import MarkdownIt
from markdown_it.token import Token

REPOSITORY = Path(__file__).parent.parent

_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*:|//", re.IGNORECASE)
_HTML_ID = re.compile(r"""<[^>]+\b(?:id|name)=["']([^"']+)["']""")
_NOT_IN_A_SLUG = re.compile(r"[^\w\- ]")


def pages(root: Path) -> list[Path]:
    """Find the Markdown files of a checkout, without what tools put beside them."""
    return [
        path
        for path in sorted(root.rglob("*.md"))
        if not any(part.startswith((".", "_")) or part == "node_modules" for part in path.relative_to(root).parts)
    ]


def dead_links(root: Path) -> list[str]:
    """Name every relative link that leads to no file of the tree, or to no heading of its page."""
    return [
        f"{page.relative_to(root)}:{line} links to {target}, {objection}"
        for page in pages(root)
        for line, target in links(page)
        if (objection := objection_to(target, page, root))
    ]


def objection_to(target: str, page: Path, root: Path) -> str | None:
    """Say what is wrong with a link, in words that end the sentence 'page links to target, …'."""
    if _SCHEME.match(target):
        return None
    name, _, anchor = unquote(target).partition("#")
    if name.startswith("/"):
        return "which is not relative to the page"
    file = (page.parent / name).resolve() if name else page
    if not file.is_relative_to(root.resolve()):
        return "which lies outside the repository"
    if not file.exists():
        return "which does not exist"
    if anchor and file.suffix == ".md" and anchor not in anchors(file):
        return f"but {file.relative_to(root.resolve())} has no such heading"
    return None


def links(page: Path) -> Iterator[tuple[int, str]]:
    """Yield the line and the target of every link and image, reference links included."""
    for block in parse(page):
        line = block.map[0] + 1 if block.map else 0
        for token in block.children or ():
            target = token.attrGet("href") or token.attrGet("src")
            if isinstance(target, str):
                yield line, target


def anchors(page: Path) -> set[str]:
    """Collect what `#…` may name in a page: its headings, as GitHub and MyST spell them, and HTML ids."""
    found: set[str] = set()
    tokens = parse(page)
    for opening, inline in pairwise(tokens):
        if opening.type == "heading_open":
            found.add(unused(slug(inline), found))
    return found | set(_HTML_ID.findall(page.read_text(encoding="utf-8")))


def slug(heading: Token) -> str:
    text = "".join(token.content for token in heading.children or () if token.type in ("text", "code_inline"))
    return _NOT_IN_A_SLUG.sub("", text.strip().lower()).replace(" ", "-")


def unused(name: str, taken: set[str]) -> str:
    """Number a heading that repeats an earlier one: usage, usage-1, usage-2."""
    candidates = (name, *(f"{name}-{count}" for count in range(1, len(taken) + 1)))
    return next(candidate for candidate in candidates if candidate not in taken)


def parse(page: Path) -> list[Token]:
    return MarkdownIt("commonmark").enable("table").parse(page.read_text(encoding="utf-8"))


def test_no_link_in_the_repository_is_dead() -> None:
    assert pages(REPOSITORY), f"found no Markdown at all under {REPOSITORY}"
    assert dead_links(REPOSITORY) == []


# --- the check itself, on a small tree ---


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A README to be written by the test, and one other page with headings worth linking to."""
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "guide.md").write_text(
        "# Guide\n\n## What `delay()` does, and why\n\n## Usage\n\n## Usage\n\n## 快速开始\n\n<a id='old-name'></a>\n",
        encoding="utf-8",
    )
    return tmp_path


@pytest.mark.parametrize(
    "link",
    [
        "[guide](docs/guide.md)",
        "[folder](docs)",
        "[code](docs/guide.md#what-delay-does-and-why)",
        "[second](docs/guide.md#usage-1)",
        "[chinese](docs/guide.md#快速开始)",
        "[by id](docs/guide.md#old-name)",
        "[self](#readme)",
        "[web](https://example.org/nowhere#at-all)",
        "[mail](mailto:someone@example.org)",
        "`[code](nowhere.md)`",
        "```\n[code](nowhere.md)\n```",
    ],
)
def test_a_link_that_leads_somewhere_is_accepted(checkout: Path, link: str) -> None:
    (checkout / "README.md").write_text(f"# Readme\n\n{link}\n", encoding="utf-8")

    assert dead_links(checkout) == []


@pytest.mark.parametrize(
    ("link", "objection"),
    [
        ("[page](docs/missing.md)", "which does not exist"),
        ("![picture](docs/missing.png)", "which does not exist"),
        ("[by reference][1]\n\n[1]: docs/missing.md", "which does not exist"),
        ("| table |\n|---|\n| [cell](docs/missing.md) |", "which does not exist"),
        ("[heading](docs/guide.md#missing)", "but docs/guide.md has no such heading"),
        ("[third](docs/guide.md#usage-2)", "but docs/guide.md has no such heading"),
        ("[self](#missing)", "but README.md has no such heading"),
        ("[root](/docs/guide.md)", "which is not relative to the page"),
        ("[above](../elsewhere.md)", "which lies outside the repository"),
    ],
)
def test_a_link_that_leads_nowhere_is_found_with_its_line(checkout: Path, link: str, objection: str) -> None:
    (checkout / "README.md").write_text(f"# Readme\n\n{link}\n", encoding="utf-8")

    found = dead_links(checkout)

    assert len(found) == 1, found
    assert found[0].startswith("README.md:")
    assert found[0].endswith(objection)
