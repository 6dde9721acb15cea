"""Named NumPy arrays and a little JSON in one block of bytes: segments, cached analyses. Checked when opened."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from blake3 import blake3
from numpy.typing import NDArray

from recollect.errors import Corrupt

_MAGIC = b"RCL1"
_ALIGN = 64  # of each array, so that a memory-mapped one can be used where it lies


def pack(arrays: Mapping[str, NDArray[Any]], meta: Mapping[str, Any]) -> bytes:
    """`magic · hash of the rest (16 bytes) · length of header (4 bytes) · header JSON · arrays`, arrays aligned."""
    described = [(name, array.dtype.str, list(array.shape)) for name, array in arrays.items()]
    header = json.dumps({"meta": meta, "arrays": described}, separators=(",", ":")).encode()
    header += b" " * (-(24 + len(header)) % _ALIGN)
    parts = [len(header).to_bytes(4, "little"), header]
    for array in arrays.values():
        data = np.ascontiguousarray(array).tobytes()
        parts += [data, b"\0" * (-len(data) % _ALIGN)]
    rest = b"".join(parts)
    return _MAGIC + blake3(rest).digest(16) + rest


def is_packed(block: Any) -> bool:
    return bytes(memoryview(block)[:4]) == _MAGIC


def unpack(block: Any, *, check: bool = True) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """(meta, arrays) of a block made by `pack` (bytes or a memory map). The arrays are views, not copies.

    Raises:
        Corrupt: the block is cut off, changed, or not one of ours.
    """
    view = memoryview(block)
    if len(view) < 24 or bytes(view[:4]) != _MAGIC or (check and blake3(view[20:]).digest(16) != bytes(view[4:20])):
        raise Corrupt("a stored block is damaged")
    start = 24 + int.from_bytes(view[20:24], "little")
    try:
        header = json.loads(bytes(view[24:start]))
        arrays: dict[str, NDArray[Any]] = {}
        for name, kind, shape in header["arrays"]:
            dtype = np.dtype(kind)
            count = math.prod(shape)
            arrays[name] = np.frombuffer(view, dtype, count, start).reshape(shape)
            size = count * dtype.itemsize
            start += size + -size % _ALIGN
        return header["meta"], arrays
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        raise Corrupt("a stored block is damaged") from error
