"""Read the captured messages and results."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "vectors"


def load(name: str) -> dict[str, Any]:
    """Return one vector, or one message of a vector: `worker-sent-retry#1`."""
    file_name, _, index = name.partition("#")
    vector = json.loads((FOLDER / f"{file_name}.json").read_text())
    return vector["messages"][int(index)] if index else vector


def names(prefix: str) -> list[str]:
    """Return the names of all messages in vectors whose names begin like this."""
    found = []
    for path in sorted(FOLDER.glob(f"{prefix}*.json")):
        messages = json.loads(path.read_text()).get("messages")
        found += [path.stem] if messages is None else [f"{path.stem}#{index}" for index in range(len(messages))]
    return found
