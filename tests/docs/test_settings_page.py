"""The reference of settings in the documentation is that of the source."""

from __future__ import annotations

from docs import settings


def test_the_page_is_what_its_command_writes():
    text = settings.PAGE.read_text(encoding="utf-8")

    assert text == settings.page(text), "run: python -m docs.settings"
    assert "`python -m docs.settings`" in text
