from __future__ import annotations

import pytest

from celeriac.compat.text import (
    abbr,
    abbrtask,
    indent,
    join,
    pluralize,
    simple_format,
    str_to_list,
    truncate,
)


def test_text_is_made_as_in_celery():
    assert abbr("abcdefgh", 6) == "abc..."
    assert abbr("abc", 6) == "abc"
    assert abbr("abcdefgh", 6, False) == "abcdef"
    assert abbr(None, 6) == "???"
    assert abbrtask("proj.long.module.add", 14) == "proj.lon[.]add"
    assert abbrtask("proj.add", 14) == "proj.add"
    assert abbrtask(None, 14) == "???"
    assert abbrtask("", 14) == ""
    assert truncate("one two three", 8) == "one two..."
    assert truncate("one", 8) == "one"
    assert pluralize(1, "task") == "task"
    assert pluralize(0, "task") == "tasks"
    assert str_to_list("a,b") == ["a", "b"]
    assert str_to_list(["a,b"]) == ["a,b"]
    assert indent("a\nb", 2) == "  a\n  b"
    assert join(["a", "", "b"]) == "a\nb"
    assert simple_format("%h-%n.%%", {"h": "host", "n": lambda: "w1"}) == "host-w1.%"
    assert simple_format("", {}) == ""


def test_an_unknown_key_of_a_format_is_named():
    with pytest.raises(ValueError, match=r"unknown format %x in 'a%x'; there are %h, %n"):
        simple_format("a%x", {"h": "host", "n": "w1"})
