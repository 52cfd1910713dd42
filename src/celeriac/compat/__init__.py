"""Celery's import paths, and the small utilities that programs import from them. Nothing else in celeriac uses them."""

from __future__ import annotations

__all__ = ["install_as_celery"]


def install_as_celery() -> None:
    """Have `import celery` mean celeriac in this process; `import kombu` and `billiard` too, where they are absent.

    Call it before the first `import celery`. ``CELERIAC_AS_CELERY=1`` in the environment does the same from the start
    of each process, ``celeriac --as-celery`` for a command and all processes that it starts. Called again, it does
    nothing more.

    Raises:
        ImproperlyConfigured: Celery itself is imported already.
    """
    from celeriac.compat.as_celery import install

    install()
