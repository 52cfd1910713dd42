from __future__ import annotations

import os
import warnings

import pytest

from celeriac.exceptions import ImproperlyConfigured, SecurityError, SecurityWarning
from celeriac.wire.serializers import Accept
from celeriac.worker.privileges import become, check_privileges

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


@pytest.mark.parametrize(("user", "group"), [("no-such-user", None), (None, "no-such-group"), ("123456789", None)])
def test_who_does_not_exist_cannot_be_become(user, group):
    with pytest.raises(ImproperlyConfigured, match="this machine has no"):
        become(user, group)


def test_becoming_who_one_is_already_changes_nothing():
    become(str(os.getuid()), str(os.getgid()))
