"""What Celery's result backends have and ours do not says what to do instead."""

from __future__ import annotations

import pytest

from celeriac import Celery


@pytest.mark.parametrize(
    ("name", "instead"),
    [
        ("get_task_meta", "`app.AsyncResult"),
        ("store_result", "`update_state"),
        ("client", "`redis.Redis.from_url"),
        ("no_such_name", "no 'no_such_name'"),
    ],
)
def test_an_attribute_that_is_not_there_says_what_is(name, instead):
    app = Celery("shop", broker="memory://missing", set_as_current=False)

    with pytest.raises(AttributeError, match=instead):
        getattr(app.backend, name)
