"""A parse worker: `python -m recollect.server.worker FD CACHE`, or forked. Reads files, analyses them, answers one after another.

What was edited is analysed at once, for a question may wait for it; all else when the machine has little else to do.

It is expected to die: a grammar may crash, and a file that takes too much processor time is ended by a timer, because a
parser cannot be interrupted from Python. Its owner sees which file that was by what it has not answered.
"""

from __future__ import annotations

import errno
import logging
import os
import resource
import signal
import socket
import stat as stats
import sys
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Final, NamedTuple

from blake3 import blake3

from recollect.index import analyse
from recollect.jobs.pipe import Forked, Pipe, fork
from recollect.jobs.pool import DEADLINE_CPU_S, NICE_ASKED, NICE_BACKGROUND, Answer, Task
from recollect.jobs.resources import give_way
from recollect.store.cache import ParseCache
from recollect.sync.beneath import Root
from recollect.sync.tree import Stat

_MOST_MEMORY: Final = (
    2_000_000_000  # bytes; a grammar that asks for more ends its worker (seen: 4 GB for 1 MB of `<a<a`)
)


class _Ahead(NamedTuple):
    """A file that was analysed before it was asked for; `key` as in `work`."""

    file: tuple[str, str]  # root and path: the same file has another path in a repository around or within this one
    hash: bytes
    result: analyse.Analysed
    key: bytes | None

    def serves(self, task: Task) -> bool:
        """Whether this is what a task asks for."""
        same = self.hash == task.hash and self.file == (task.root, task.path)
        return same and task.nice == 0 and task.use_cache and task.grammar


def work_ahead(root: str, paths: Sequence[str], max_file_bytes: int, cache: ParseCache) -> _Ahead | None:
    """Analyse the first of these files that can be read."""
    for path in paths:
        answer, key = work(Task(root, path, b"", 0, max_file_bytes, nice=0), cache, None)
        if answer.result is not None:
            return _Ahead((root, path), answer.result.hash, answer.result, key)
    return None


def work(task: Task, cache: ParseCache, ahead: _Ahead | None) -> tuple[Answer, bytes | None]:
    """Read one file and analyse it: the answer, and the key under which what parsing found is worth being kept.

    `ahead` has the analysis already, if the file was then what it was when it was scanned.
    """
    if ahead is not None and ahead.serves(task):
        return Answer(task.path, "done", result=ahead.result), ahead.key
    try:
        content, stat, steady = _read(task)
    except OSError as error:
        if isinstance(error, FileNotFoundError) or error.errno in (errno.ELOOP, errno.ENOTDIR):
            return Answer(task.path, "vanished"), None  # or a link took its place: the next scan sees what is there
        return Answer(task.path, "unreadable", error.strerror or str(error)), None
    if content is None:
        return Answer(task.path, "changed", stat=stat), None  # became too large, or no regular file any more
    content_hash = blake3(content).digest(16)
    steady_stat = stat if steady else stat._replace(mtime_ns=-1)
    key = analyse.cache_key(content_hash, task.path)
    cached = cache.get(key) if task.use_cache else None
    try:
        result = analyse.analyse(
            content, task.path, cached=cached, grammar=task.grammar, content_hash=content_hash, root=task.root
        )
    except Exception:  # a bug of ours in what looks at the syntax costs this file its symbols, not more
        logging.getLogger("recollect.worker").exception("%s is indexed by lines", task.path)
        result = analyse.analyse(content, task.path, grammar=False, root=task.root)
    answer = Answer(task.path, "done", stat=steady_stat, result=result)
    return answer, key if cached is None and task.grammar and result.status == "indexed" else None


def _read(task: Task) -> tuple[bytes | None, Stat, bool]:
    """(content, stat before, whether the stat was the same after)."""
    with Root(task.root) as root:
        if task.identity is not None and root.identity != task.identity:
            raise FileNotFoundError(errno.ENOENT, "another folder took the place of the repository")
        descriptor = root.open(task.path)
    try:
        before = os.fstat(descriptor)
        stat = Stat(before.st_size, before.st_mtime_ns, before.st_ctime_ns, before.st_ino, before.st_mode)
        if not stats.S_ISREG(before.st_mode) or before.st_size > task.max_file_bytes:
            return None, stat, True
        looked_at = task.stat is not None and (task.stat.inode, task.stat.ctime_ns) == (stat.inode, stat.ctime_ns)
        if before.st_nlink > 1 and not looked_at:
            return None, stat, True  # a link elsewhere may be among these: the next scan looks
        parts = []
        held = 0
        hint = before.st_size + 1  # not the limit: each read would take a megabyte of fresh memory
        while held <= task.max_file_bytes:
            wanted = min(hint, task.max_file_bytes + 1 - held)
            part = os.read(descriptor, wanted)
            parts.append(part)
            held += len(part)
            if not part or (len(part) < wanted and held >= before.st_size):
                break
        after = os.fstat(descriptor)
    finally:
        os.close(descriptor)
    steady = (after.st_size, after.st_mtime_ns, after.st_ctime_ns) == (stat.size, stat.mtime_ns, stat.ctime_ns)
    return parts[0] if len(parts) == 1 else b"".join(parts), stat, steady and held == before.st_size


def warm_up() -> None:
    """Load what the first file would have to wait for."""
    analyse.analyse(b"def warm_up(): pass\n", "warm_up.py")


def forked(cache_path: Path) -> tuple[Forked, Pipe]:
    """A worker that is made of this process, on Linux."""
    return fork(
        lambda connection: serve(connection, cache_path), (b"recollect.server.indexer", b"recollect.server.worker")
    )


def main() -> None:
    serve(socket.socket(fileno=int(sys.argv[1])), Path(sys.argv[2]))


def serve(connection: socket.socket, cache_path: Path) -> None:
    """Work until the other end goes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    with suppress(OSError, ValueError):  # a limit below it is there already, or the system knows none
        resource.setrlimit(resource.RLIMIT_DATA, (_MOST_MEMORY, resource.getrlimit(resource.RLIMIT_DATA)[1]))
    pipe = Pipe(connection)
    cache = ParseCache(cache_path)
    warm_up()
    pipe.send(None)  # whatever it dies of from now on is the fault of a file
    ahead: _Ahead | None = None
    # A thread cannot take back that it gives way: this one never does. Grammars get the stack that they would have here.
    threading.stack_size(8 << 20)
    behind = {nice: ThreadPoolExecutor(1, "", give_way, (nice,)) for nice in (NICE_ASKED, NICE_BACKGROUND)}
    while True:
        try:
            batch: list[Task] | tuple[str, Sequence[str], int] = pipe.receive()
            if isinstance(batch, tuple):  # to be asked for in a moment, if it belongs to the repository
                signal.setitimer(signal.ITIMER_PROF, DEADLINE_CPU_S)
                ahead = work_ahead(*batch, cache)
                signal.setitimer(signal.ITIMER_PROF, 0)
                continue
            given, ahead = ahead, None
            if batch[0].nice == 0:
                _answer(batch, cache, given, pipe)
            else:
                behind[batch[0].nice].submit(_answer, batch, cache, given, pipe).result()
        except (EOFError, OSError):
            return


def _answer(batch: Sequence[Task], cache: ParseCache, ahead: _Ahead | None, pipe: Pipe) -> None:
    kept = []
    for task in batch:
        signal.setitimer(signal.ITIMER_PROF, min(task.deadline_cpu_s, DEADLINE_CPU_S))
        answer, key = work(task, cache, ahead)
        signal.setitimer(signal.ITIMER_PROF, 0)
        if key is not None and answer.result is not None:
            if task.nice == 0:
                kept.append((key, answer.result))
            else:
                answer = replace(answer, cache=(key, analyse.to_cache(answer.result)))
        pipe.send(answer)
    cache.put_many([(key, analyse.to_cache(result)) for key, result in kept])


if __name__ == "__main__":
    main()
