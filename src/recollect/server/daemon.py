"""The daemon: `python -m recollect.server.daemon HOME [FD]`. One per data directory; everything is asked through its socket.

Here is how it starts: the indexer first, before what either of them imports. FD: told that it listens, or why not.
"""

from __future__ import annotations

import gc
import json
import os
import resource
import sys
import traceback
from contextlib import suppress
from pathlib import Path

from recollect.errors import RecollectError
from recollect.home import own, unmark_stopped
from recollect.jobs.pipe import start_indexer

_OPEN_FILES = 10_240  # what every system grants; an index that is being asked takes three


def _allow_open_files() -> None:
    """A question about hundreds of repositories opens more than the 1,024 (256 on macOS) that a process usually begins with."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _OPEN_FILES if hard == resource.RLIM_INFINITY else min(_OPEN_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def main() -> None:
    home, *ready = sys.argv[1:]
    code = 0

    def tell(said: bytes) -> None:
        for descriptor in map(int, ready):
            with suppress(OSError):
                os.write(descriptor, said)
                os.close(descriptor)

    os.umask(0o077)
    _allow_open_files()
    os.environ["OPENBLAS_NUM_THREADS"] = os.environ["OMP_NUM_THREADS"] = "1"
    sys.setswitchinterval(0.0002)
    gc.disable()  # until what there is to import is there: garbage is little of it
    try:
        folder = Path(home).absolute()
        lock = own(folder, wait_s=5.0)  # a daemon before this one may be ending
        unmark_stopped(folder)
        indexer = start_indexer(folder)  # it imports what it needs while this process does
        from recollect.server import serving

        serving.serve(folder, lock, indexer, tell)
    except RecollectError as error:
        tell(json.dumps(error.to_dict()).encode() + b"\n")
        sys.stderr.write(f"{error.message}\n")
        os._exit(error.exit_code)
    except BaseException:
        traceback.print_exc()  # to the log
        code = 3
    from recollect.sync import git

    git.end()
    os._exit(code)  # threads that still wait for something have nobody to answer


if __name__ == "__main__":
    main()
