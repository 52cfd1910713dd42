"""Write the reference of settings into `configuration.md`, from the table in the source: `python -m docs.settings`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from celeriac.app.config import SETTINGS, Setting
from celeriac.app.config.setting import Group
from celeriac.app.config.table import GROUPS, settings_of

PAGE = Path(__file__).with_name("configuration.md")
BEGIN = "<!-- settings: written by `python -m docs.settings` -->\n"
END = "<!-- end of settings -->\n"


def page(text: str) -> str:
    """Return the text of the page with the reference as it should be."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{reference()}\n{END}{after}"


def reference() -> str:
    """Return one table per group of settings."""
    return "\n\n".join(table(group) for group in GROUPS)


def table(group: type[Group]) -> str:
    """Return the settings of a group under a heading."""
    lines = [f"### {group.TITLE}", "", "| setting | may be | default | old name | |", "|---|---|---|---|---|"]
    return "\n".join([*lines, *(row(setting) for setting in settings_of(group))])


def row(setting: Setting) -> str:
    """Return the line of a setting."""
    old = f"`{setting.old}`" if setting.old else "" if setting.origin == "celery" else "*celeriac's own*"
    cells = (f"`{setting.name}`", setting.kind.words, f"`{setting.default!r}`", old, " ".join(_meaning(setting)))
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def _meaning(setting: Setting) -> Iterator[str]:
    if not setting.effective:
        yield f"*No effect: {setting.why}.*"
    yield setting.doc


def main() -> None:
    """Bring the page up to date."""
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    print(f"{PAGE.name} has {len(SETTINGS)} settings")


if __name__ == "__main__":
    main()
