from __future__ import annotations

import warnings

import pytest

from celeriac.exceptions import SecurityError, SecurityWarning
from celeriac.wire.serializers import Accept
from celeriac.worker.privileges import check_privileges

PLAIN = Accept.of(["json"])
PICKLES = Accept.of(["json", "pickle"], pickle_queues=["old"])


def test_root_and_pickles_do_not_go_together():
    with pytest.raises(SecurityError, match=r"run as root and open pickles.*C_FORCE_ROOT=1"):
        check_privileges(PICKLES, root=True, environment={})


@pytest.mark.parametrize(("accept", "environment"), [(PLAIN, {}), (PICKLES, {"C_FORCE_ROOT": "1"})])
def test_root_is_warned_of(accept, environment):
    with pytest.warns(SecurityWarning, match="runs as root"):
        check_privileges(accept, root=True, environment=environment)


@pytest.mark.parametrize("accept", [PLAIN, PICKLES])
def test_others_may_do_as_they_like(accept):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_privileges(accept, root=False, environment={})
