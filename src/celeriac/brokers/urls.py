"""What the URLs of servers have in common: who logs in, where, and what is asked besides."""

from __future__ import annotations

from urllib.parse import unquote

from celeriac.exceptions import ImproperlyConfigured
from celeriac.masking import masked_url


def split_query(rest: str) -> tuple[str, str, str]:
    """Split at the ``?`` that begins the query: the last one, for a password may have one in it."""
    before, mark, query = rest.rpartition("?")
    return (before, mark, query) if mark and "@" not in query.partition("=")[0] else (rest, "", "")


def user_and_password(text: str) -> tuple[str | None, str | None]:
    """Split who logs in; None for what is not said."""
    user, colon, password = text.partition(":")
    return unquote(user) or None, unquote(password) if colon and password else None


def host_and_port(where: str, url: str, setting: str) -> tuple[str, int]:
    """Split an address; "" and 0 stand for what it does not say."""
    host, colon, number = where.rpartition(":") if not where.endswith("]") else (where, "", "")
    if not colon:
        host, number = where, ""
    if number and not (number.isascii() and number.isdigit() and 0 < int(number) < 65_536):
        raise ImproperlyConfigured(
            f"the port in {setting} {masked_url(url)!r} must be a number from 1 to 65535, got {number!r}"
        )
    return unquote(host.removeprefix("[").removesuffix("]")), int(number or 0)
