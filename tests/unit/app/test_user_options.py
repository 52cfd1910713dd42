from __future__ import annotations

import click
import pytest

from celeriac import Celery
from celeriac.app.user_options import options_of_worker, read_own_options
from celeriac.cli.own_options import described, stand_in
from celeriac.exceptions import ImproperlyConfigured
from celeriac.signals import user_preload_options


@pytest.fixture
def app():
    app = Celery("shop", broker="memory://", set_as_current=False)
    app.user_options["worker"].add(click.Option(["--shop", "-Z"], default="none"))
    app.user_options["worker"].add(click.Option(["--shelf"], multiple=True, type=int))
    app.user_options["worker"].add(click.Option(["--pair"], nargs=2, default=None))
    app.user_options["preload"].add(click.Option(["--fast/--slow"], default=False))
    return app


def test_an_app_without_any_reads_nothing():
    assert read_own_options(Celery("shop", broker="memory://", set_as_current=False), ()) == {}


def test_what_was_said_is_read_and_the_rest_has_its_default(app):
    assert read_own_options(app, ["-Z", "books", "--shelf", "3", "--shelf", "4", "--fast"]) == {
        "shop": "books",
        "shelf": (3, 4),
        "pair": None,
        "fast": True,
    }


def test_what_cannot_be_read_is_refused(app):
    with pytest.raises(ImproperlyConfigured, match="'x' is not a valid integer"):
        read_own_options(app, ["--shelf", "x"])


def test_receivers_are_told_of_those_for_all_commands(app):
    told = []

    def hear(sender, app, options, **more):
        told.append((sender, options))

    user_preload_options.connect(hear)
    try:
        read_own_options(app, ["--fast", "-Z", "tea"])
    finally:
        user_preload_options.disconnect(hear)

    assert told == [(app, {"fast": True})]


@pytest.mark.parametrize(
    "words",
    [
        ["--shop", "books"],
        ["--shelf", "3", "--shelf", "4"],
        ["--pair", "a", "b"],
        ["--fast"],
        ["--slow"],
        [],
        ["--shop", "-x"],
    ],
)
def test_a_stand_in_takes_the_same_words(app, words):
    taken: list[str] = []
    options = [stand_in(described(one), taken) for one in options_of_worker(app)]

    click.Command("worker", params=list(options)).make_context("worker", list(words))

    assert taken == words
