"""A few inner loops, compiled where a C compiler was at hand when Recollect was installed (docs/adr/0016).

Each has a twin in Python that finds the same; what is here is only quicker. `library` is None where it was not built.
"""

from __future__ import annotations

import ctypes
from pathlib import Path
from typing import Final

_VERSION: Final = 1  # of the functions' signatures, as `native_version` in search.c has it
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
}


def _loaded() -> ctypes.CDLL | None:
    """The library, whose functions hold the interpreter's lock: they take microseconds, and a table is not for several at once."""
    try:
        found = ctypes.PyDLL(str(Path(__file__).with_name("kernels.so")))
        if found.native_version() != _VERSION:
            return None
        for name, (result, arguments) in _SIGNATURES.items():
            function = getattr(found, name)
            function.restype, function.argtypes = result, arguments
    except (OSError, AttributeError):
        return None
    return found


library: ctypes.CDLL | None = _loaded()
