"""Small values kept a second time, as JSON beside what they are of, for when the database that holds them is damaged."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from blake3 import blake3


def write_copy(path: Path, value: Any) -> None:
    """Keep `value`, whole or not at all; a failure is no reason to fail for whoever changed it."""
    part = path.with_name(f"{path.name}.part")
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with open(part, "w", encoding="utf-8", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
            json.dump({"checksum": _checksum(value), "value": value}, file, indent=1)
        part.replace(path)


def read_copy(path: Path) -> Any:
    """What was kept; None where nothing is, or it is damaged."""
    try:
        kept = json.loads(path.read_bytes())
        return kept["value"] if kept["checksum"] == _checksum(kept["value"]) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _checksum(value: Any) -> str:
    return blake3(json.dumps(value, sort_keys=True).encode()).hexdigest(16)
