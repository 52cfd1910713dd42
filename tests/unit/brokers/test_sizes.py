from __future__ import annotations

import msgspec

from celeriac.brokers.sizes import within_limit
from celeriac.testing.worlds import a_message


def test_what_is_small_enough_stays_as_it_is():
    message = a_message("id", body=bytes(100))

    assert within_limit(message, message.size_bytes) == (message, None)


def test_what_is_too_large_goes_without_its_body_and_keeps_headers_that_fit():
    message = a_message("id", body=bytes(5_000))

    cut, fault = within_limit(message, 2_000)

    assert cut == msgspec.structs.replace(message, body=b"")
    assert fault is not None
    assert "message_max_bytes allows 2000" in fault


def test_headers_that_are_too_large_go_as_well():
    message = msgspec.structs.replace(a_message("id"), headers=b'{"x": "%b"}' % bytes(3_000).replace(b"\x00", b"y"))

    cut, _ = within_limit(message, 2_000)

    assert (cut.headers, cut.body, cut.properties) == (b"", b"", None)
