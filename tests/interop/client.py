"""A program that uses the app: reads one Python expression a line, and writes what it comes to: `python client.py`.

Runs in the environments of others, too. What goes over the pipes are the reprs of plain values.
"""

from __future__ import annotations

import datetime
import faulthandler
import gc
import importlib
import signal
import sys
import traceback
from decimal import Decimal
from typing import Any
from uuid import UUID

shop = importlib.import_module("shop")  # beside this file, once it is copied there

package = importlib.import_module(shop.PACKAGE)
worker_direct = importlib.import_module(f"{shop.PACKAGE}.utils.nodenames").worker_direct

NAMES: dict[str, Any] = {
    **vars(shop),
    "chain": package.chain,
    "chord": package.chord,
    "group": package.group,
    "app": shop.app,
    "worker_direct": worker_direct,
    "datetime": datetime,
    "Decimal": Decimal,
    "UUID": UUID,
    "UTC": datetime.UTC,
}


def failure(call: Any) -> list[Any]:
    """Return what a call raises: the name of the class, and its arguments as text."""
    try:
        call()
    except Exception as exc:  # noqa: BLE001 - told to who has asked
        return [type(exc).__name__, [str(arg) for arg in exc.args]]
    raise AssertionError("nothing was raised")


def main() -> None:
    # A result of Celery unsubscribes when it is collected, which may be in the middle of a call that holds the lock.
    gc.disable()
    faulthandler.register(signal.SIGUSR1)  # tells where it hangs
    answers = sys.stdout
    sys.stdout = sys.stderr  # what libraries print is no answer
    NAMES["failure"] = failure
    for line in sys.stdin:
        try:
            answer = ("value", eval(line, NAMES))
        except Exception:  # noqa: BLE001 - told to who has asked
            answer = ("raised", traceback.format_exc())
        answers.write(f"{answer!r}\n")
        answers.flush()


if __name__ == "__main__":
    main()
