"""Look into messages, as what a receiver would see."""

from __future__ import annotations

import json
from typing import Any

from celeriac.message import Message


def headers_of(message: Message) -> dict[str, Any]:
    return json.loads(message.headers)


def arguments_of(message: Message) -> tuple[list[Any], dict[str, Any]]:
    args, kwargs, _ = json.loads(message.body)
    return args, kwargs
