"""A few inner loops, compiled where a C compiler was at hand when Recollect was installed (docs/adr/0016).

Each has a twin in Python that finds the same; what is here is only quicker. `library` is None where it was not built.
"""

from __future__ import annotations

import ctypes
from pathlib import Path
from typing import Final

_VERSION: Final = 3  # of the functions' signatures, as `native_version` in search.c has it
_SIZE, _POINTER = ctypes.c_int64, ctypes.c_void_p
_SIGNATURES: Final = {
    "terms_new": (
        _POINTER,
        [ctypes.c_char_p, _POINTER, ctypes.c_uint32, _POINTER, _POINTER, _POINTER, ctypes.c_uint32, ctypes.c_uint64],
    ),
    "terms_free": (None, [_POINTER]),
    "terms_size": (_SIZE, [_POINTER]),
    "terms_define": (_SIZE, [_POINTER, ctypes.c_char_p, _SIZE, ctypes.c_char_p, _POINTER, _SIZE, _SIZE]),
    "terms_count": (_SIZE, [_POINTER, ctypes.c_char_p, _POINTER, _SIZE, _POINTER, _POINTER, _POINTER]),
    "terms_take": (None, [_POINTER, _POINTER, _POINTER]),
    "search_nearest": (_SIZE, [_POINTER, _POINTER, _POINTER, _SIZE, _POINTER, _SIZE, _POINTER, _POINTER]),
    "search_products": (None, [_POINTER, _POINTER, _POINTER, _SIZE, _POINTER]),
    "search_cover": (_SIZE, [_POINTER, _POINTER, _POINTER, _POINTER, _SIZE, _POINTER, _SIZE]),
    "trees_use": (None, [_POINTER]),
    "trees_parse": (_SIZE, [_POINTER, ctypes.c_char_p, ctypes.c_uint32]),
    "trees_read": (_SIZE, [_SIZE, _POINTER, _POINTER, ctypes.c_uint16, ctypes.c_char_p, *[_POINTER] * 3]),
    "trees_chunks": (
        _SIZE,
        [
            _SIZE,
            _POINTER,
            _POINTER,
            ctypes.c_char_p,
            ctypes.c_uint32,
            ctypes.c_int32,
            ctypes.c_char_p,
            _POINTER,
            _POINTER,
        ],
    ),
    "trees_uses": (_SIZE, [_SIZE, _POINTER, _POINTER, ctypes.c_char_p, ctypes.c_uint16, _SIZE]),
    "trees_take": (None, [_POINTER]),
    "postings_encode": (_SIZE, [_POINTER, _POINTER, _SIZE, _POINTER, _POINTER, _POINTER]),
    "postings_order": (_SIZE, [_POINTER, _SIZE, _POINTER]),
    "postings_merge": (_SIZE, [_POINTER, _SIZE, *[_POINTER] * 8]),
}


def _loaded() -> ctypes.CDLL | None:
    """The library. What takes microseconds keeps the interpreter's lock: a table of terms is not for several at once, and who
    lets the lock go may wait for it longer than the work takes. Whole segments and files are worked on without it.
    """
    path = str(Path(__file__).with_name("kernels.so"))
    try:
        found = ctypes.PyDLL(path)
        if found.native_version() != _VERSION:
            return None
        unlocked = ctypes.CDLL(path)
        for name, (result, arguments) in _SIGNATURES.items():
            function = getattr(unlocked if name.startswith(("postings_", "trees_")) else found, name)
            function.restype, function.argtypes = result, arguments
            setattr(found, name, function)
    except (OSError, AttributeError):
        return None
    return found


library: ctypes.CDLL | None = _loaded()
