"""`recollect` and `python -m recollect`: pump and hooks are dispatched before anything heavy is imported."""

from __future__ import annotations

import os
import sys
from contextlib import suppress

# Commands that always ask the daemon: it may start while they are imported.
_ASKS = frozenset({"search", "symbol", "map", "why", "sync", "clone", "status", "list", "add", "remember", "recall"})


def main() -> int:
    if sys.platform == "win32":
        sys.stderr.write(
            "recollect: Windows is not supported yet (it needs unix sockets and fcntl); in WSL it works as on Linux\n"
        )
        return 5
    if sys.argv[1:2] == ["mcp"]:
        from recollect import pump

        return pump.main(sys.argv[2:])
    if sys.argv[1:2] == ["hook"]:
        from recollect import hook

        return hook.main(sys.argv[2:])
    if sys.argv[1:2] and sys.argv[1] in _ASKS and not {"-h", "--help"} & set(sys.argv):
        from recollect import client

        client.start_ahead()
    from recollect.cli import run

    code = run()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError):  # the reader has gone
            stream.flush()
    os._exit(code)  # at once: taking all that was imported apart takes as long as a question does


if __name__ == "__main__":
    sys.exit(main())
