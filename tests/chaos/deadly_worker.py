"""A parse worker whose grammars crash on DEADLY and hang on ENDLESS; text alone is safe, as with real grammars."""

import os
import signal
from typing import Any

from recollect.index import analyse
from recollect.server import worker

_real = analyse.analyse


def analysed(data: bytes, path: str, *, grammar: bool = True, **known: Any) -> analyse.Analysed:
    if grammar and b"DEADLY" in data:
        signal.raise_signal(signal.SIGSEGV)  # to this thread, as a crash would be
    if grammar and b"ENDLESS" in data:
        while True:
            pass
    if b"CURSED" in data:
        os._exit(1)
    return _real(data, path, grammar=grammar, **known)


worker.DEADLINE_CPU_S = 0.3  # type: ignore[assignment,misc]
analyse.analyse = analysed
worker.main()
