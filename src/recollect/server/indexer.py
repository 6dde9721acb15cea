"""The indexer process: `python -m recollect.server.indexer FD HOME`.

All that costs processor time and writes an index.

First its sizes come over a socket (`IndexerProcess` sends them), then requests; events go over it. Each sync has its thread
here, all share the parse workers. When the other end of the socket goes, so does this process, and its workers with it.
"""

from __future__ import annotations

import gc

if __name__ == "__main__":
    gc.disable()  # until what there is to import is there

import logging
import os
import shutil
import signal
import socket
import sys
import threading
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from recollect.errors import Corrupt, RecollectError, Unavailable
from recollect.index import embedders, usage, vectors
from recollect.index.embedders import Embedder
from recollect.index.writer import LOG_KEPT, IndexWriter, copy_index, remove_index
from recollect.jobs.indexer import Request
from recollect.jobs.pipe import Forked, Pipe
from recollect.jobs.pool import NICE_ASKED, ParsePool
from recollect.jobs.resources import give_back_memory, give_way
from recollect.jobs.synchronise import CommittedFiles, Control, Ended, new_history, synchronise
from recollect.model import EmbedderChoice, FileError, Progress
from recollect.server import logs, worker
from recollect.store import pages
from recollect.store.database import translated

_LEAST_PATIENCE_S: Final = 2.0  # for another sync's end, before an index is made from files rather than copied
_COPIED_A_SECOND: Final = (
    10_000_000  # bytes of an index that are worth waiting for: from files they take three times as long
)
_OPEN_INDEXES: Final = 16  # writers kept open with their trees, most recently used last …
_OPEN_FILES: Final = 40_000  # … if these hold no more files together: each takes about a kilobyte
_QUIET_S: Final = 0.05  # after an edit, until what nobody waits for is done: a question that waited is answered by then
_WAY_S: Final = (
    0.05  # that the map gives way to edits after each of its files: where they never end, it ends all the same
)
_MOST_UNTIDIED: Final = 10  # edits in quick succession
_EDITS_AT_ONCE: Final = 32  # syncs of what is known to have changed, which are short
_READERS_S: Final = 0.03  # in which readers begin anew, unless they are in the middle of a question
_CUTS: Final = 5  # attempts at giving back a log
_MANY_CHUNKS: Final = 5_000  # a sync after which memory is worth being given back
log = logging.getLogger("recollect.indexer")


def _patience(sibling: Path) -> float:
    """Seconds that an index is waited for: after a first sync, merging its segments takes a tenth of the time that the sync took."""
    try:
        size = sum(part.stat().st_size for part in sibling.glob("index.db*"))  # what is still in the log, too
        return max(_LEAST_PATIENCE_S, size / _COPIED_A_SECOND)
    except OSError:
        return _LEAST_PATIENCE_S


def _acquired(lock: threading.Lock, wait_s: float, cancelled: threading.Event) -> bool:
    until = time.monotonic() + wait_s
    while not cancelled.is_set() and (left := until - time.monotonic()) > 0:
        if lock.acquire(timeout=min(left, 0.2)):
            return True
    return False


def _behind(work: Callable[..., None], arguments: tuple[Any, ...], name: str) -> None:
    """Run it in a thread that comes after what somebody waits for: here, in the daemon and elsewhere on the machine."""

    def run() -> None:
        give_way(NICE_ASKED)
        work(*arguments)

    threading.Thread(target=run, name=name, daemon=True).start()


class _Indexes:
    """Open writers by folder; each is used by one sync at a time."""

    def __init__(self) -> None:
        self._open: OrderedDict[str, IndexWriter] = OrderedDict()
        self._locks: dict[str, threading.Lock] = {}
        self._lock = threading.Lock()

    def lock(self, folder: str) -> threading.Lock:
        with self._lock:
            return self._locks.setdefault(folder, threading.Lock())

    def writer(self, folder: str, check: bool = False) -> tuple[IndexWriter, str | None]:
        """The writer of a folder (hold its lock), and what had to be done to get it, if anything. `check`: as there."""
        with self._lock:
            writer = self._open.pop(folder, None)
        if writer is None:
            try:
                writer = IndexWriter(Path(folder), check=check)
            except Corrupt as error:
                return self.begun_anew(folder, error)
        self._keep(folder, writer)
        return writer, None

    def copy(self, sibling: str, folder: str, cancelled: threading.Event) -> None:
        """Begin the index at `folder` as a copy of another one, if there is none yet and that one is free soon."""
        lock = self.lock(sibling)
        if Path(folder, "index.db").exists() or not _acquired(lock, _patience(Path(sibling)), cancelled):
            return
        try:
            copy_index(Path(sibling), Path(folder))
        except (Corrupt, Unavailable, pages.Error, OSError) as error:
            log.warning("the index at %s cannot be copied (%s): it is made from the files", sibling, error)
            remove_index(Path(folder))
        finally:
            lock.release()

    def let_go(self) -> None:
        """Close what no sync uses."""
        with self._lock:
            idle = [name for name in self._open if not self._locks[name].locked()]
            closing = [self._open.pop(name) for name in idle]
        for old in closing:
            old.close()

    def begun_anew(self, folder: str, damage: Corrupt) -> tuple[IndexWriter, str]:
        """The writer of an emptied folder, and what to say of it."""
        remove_index(Path(folder))
        writer = IndexWriter(Path(folder))
        self._keep(folder, writer)
        return writer, f"{damage.message}: it is made again from the files"

    def opened(self, folder: str) -> IndexWriter | None:
        """The writer of a folder, if it is open."""
        with self._lock:
            return self._open.get(folder)

    def _keep(self, folder: str, writer: IndexWriter) -> None:
        with self._lock:
            self._open[folder] = writer
            closing = []
            for name in [name for name in self._open if name != folder and not self._locks[name].locked()]:
                if len(self._open) <= _OPEN_INDEXES and sum(item.files for item in self._open.values()) <= _OPEN_FILES:
                    break
                closing.append(self._open.pop(name))
        for old in closing:
            old.close()

    def forget(self, folder: str) -> None:
        with self._lock:
            writer = self._open.pop(folder, None)
        if writer is not None:
            writer.close()


class Indexer:
    def __init__(
        self, pipe: Pipe, cache_path: Path, sizes: tuple[int, int, int], started: Sequence[tuple[Forked, Pipe]] = ()
    ) -> None:
        """`sizes`, `started`: as in ParsePool."""
        self._pipe = pipe
        self._indexes = _Indexes()
        self._pool = ParsePool(cache_path, *sizes, started=started)
        self._pool.warm()
        self._cancelled: dict[int, threading.Event] = {}
        self._editing = ThreadPoolExecutor(_EDITS_AT_ONCE, thread_name_prefix="edit")
        self._edits: set[int] = set()  # syncs of what is known to have changed that go on
        self._untidied: Counter[str] = Counter()  # edits since what comes afterwards was last done
        self._last: dict[str, int] = {}  # folder → number of its last sync, by which readers are told of commits
        self._mapping = threading.Lock()  # one at a time
        self._embedding = threading.Lock()  # likewise
        self._loading = threading.Lock()
        self._embedders: dict[EmbedderChoice, Embedder] = {}

    def run(self) -> None:
        """Take requests until the other end goes."""
        while True:
            try:
                message: tuple[str, Any] = self._pipe.receive()
            except EOFError:
                return
            verb, argument = message
            if verb == "sync":
                self._cancelled[argument.id] = threading.Event()
                if argument.options.dirty is not None:
                    self._edits.add(argument.id)
                    self._editing.submit(
                        self._sync, argument
                    )  # a thread that is there already is quicker than a new one
                else:
                    _behind(self._sync, (argument,), f"sync-{argument.id}")
            elif verb == "foresee":
                self._pool.foresee(*argument)
            elif verb == "cancel":
                event = self._cancelled.get(argument)
                if event is not None:
                    event.set()
            elif verb == "question":
                threading.Thread(target=self._question, args=argument, daemon=True).start()
            elif verb == "let_go":
                self._indexes.let_go()
                give_back_memory()
            else:
                verbs: dict[str, Callable[..., None]] = {
                    "forget": self._forget,
                    "map": self._map,
                    "embed": self._embed,
                }
                _behind(verbs[verb], argument, verb)

    def _sync(self, request: Request) -> None:
        cancelled = self._cancelled[request.id]
        self._last[request.folder] = request.id
        can_wait, chunks = request.options.dirty is not None, 0
        try:
            with self._indexes.lock(request.folder):
                try:
                    ended = self._synchronise(request, cancelled)
                    chunks = ended.result.chunks_new
                    self._send("synced", request.id, ended.packed())
                finally:
                    self._untidied[request.folder] += 1
                    can_wait &= self._untidied[request.folder] <= _MOST_UNTIDIED
                    if not can_wait:
                        self._afterwards(request)
        except RecollectError as error:
            self._send("failed", request.id, error.to_dict())
        except (pages.Error, OSError) as error:
            self._indexes.forget(request.folder)
            self._send("failed", request.id, translated(error, "the index").to_dict())
        except Exception as error:  # the daemon has to hear of it, whatever it is
            log.exception("sync of %s failed", request.root)
            self._indexes.forget(request.folder)
            self._send("failed", request.id, RecollectError(f"{type(error).__name__}: {error}").to_dict())
        finally:
            self._cancelled.pop(request.id, None)
            self._edits.discard(request.id)
        if can_wait:
            time.sleep(_QUIET_S)
            if self._last[request.folder] == request.id:  # else it is left to the one that came since
                with self._indexes.lock(request.folder):
                    self._afterwards(request)
        if chunks > _MANY_CHUNKS:
            give_back_memory()
        if request.options.dirty is None:
            self._cut_log(request.folder, LOG_KEPT // 10)

    def _synchronise(self, request: Request, cancelled: threading.Event) -> Ended:
        def progress(now: Progress) -> None:
            self._send("progress", request.id, now)

        def committed(files: CommittedFiles) -> None:
            self._send("committed", request.id, files)

        if request.sibling is not None:
            self._indexes.copy(request.sibling, request.folder, cancelled)
        if request.verify:  # a reader found damage
            self._indexes.forget(request.folder)
        writer, said = self._indexes.writer(request.folder, check=request.verify)
        control = Control(progress, committed, cancelled.is_set)
        try:
            ended = synchronise(writer, Path(request.root), self._pool, request.options, control)
        except (Corrupt, pages.Error) as error:
            damage = error if isinstance(error, Corrupt) else translated(error, "the index")
            if not isinstance(damage, Corrupt):
                raise
            self._indexes.forget(request.folder)
            writer, said = self._indexes.begun_anew(request.folder, damage)
            ended = synchronise(writer, Path(request.root), self._pool, request.options, control)
        if said:
            errors = (FileError("", "index_rebuilt", said), *ended.result.errors)
            ended = ended._replace(result=replace(ended.result, errors=errors))
        return ended

    def _afterwards(self, request: Request) -> None:
        """What nobody waits for: read new commits, merge what the sync left in pieces. After the answer."""
        self._untidied[request.folder] = 0
        writer = self._indexes.opened(request.folder)
        if writer is None:
            return
        try:
            said = new_history(writer, Path(request.root)) if writer.complete else None
            if said is not None:
                writer.commit_history(said)
            if writer.compact() or said is not None:
                self._send("committed", request.id, CommittedFiles())
            # The log of many edits is written over by the next one, once readers have begun anew.
            if request.options.dirty is not None and writer.settle_log():
                self._send("committed", request.id, CommittedFiles())
        except Unavailable as error:  # git cannot be asked now; the next sync does
            log.warning("the history of %s cannot be read: %s", request.root, error.message)
        except (pages.Error, OSError, Corrupt):
            log.warning("compacting %s failed", request.folder, exc_info=True)
            self._indexes.forget(request.folder)

    def _cut_log(self, folder: str, kept_bytes: int) -> None:
        """Give back a log that a large sync left: readers that begin anew find all in the database. They are told and waited for
        while nobody is kept from the index; what is written to it meanwhile has to be moved first.
        """
        try:
            for _ in range(_CUTS):
                with self._indexes.lock(folder):
                    writer = self._indexes.opened(folder)
                    if writer is None or writer.log_bytes() <= kept_bytes:
                        return
                    writer.settle_log()
                    self._send("committed", self._last[folder], CommittedFiles())
                time.sleep(_READERS_S)
                with self._indexes.lock(folder):
                    if self._indexes.opened(folder) is writer:
                        writer.cut_log()
        except (pages.Error, OSError):
            log.warning("the log of %s cannot be cut", folder, exc_info=True)

    def _forget(self, number: int, folder: str) -> None:
        aside = f"{folder}.forgotten"  # which nobody reads, or collects a map for: no file comes into it while it is removed
        with self._indexes.lock(folder):
            self._indexes.forget(folder)
            shutil.rmtree(aside, ignore_errors=True)
            with suppress(OSError):
                Path(folder).rename(aside)
            for each in (aside, folder):
                shutil.rmtree(each, ignore_errors=True)
        self._send("done", number, None)

    def _map(self, number: int, folder: str) -> None:
        """Collect who uses whose names. Reads the index as any reader does: no sync waits for it."""

        def collect() -> None:
            from recollect.search.repo_map import Graph  # here, for nobody waits for it

            with self._mapping:
                found = usage.collect(Path(folder), usage.load(Path(folder)), self._give_way)
                usage.save(Path(folder), replace(found, rank=Graph(found).ranked()[0]))

        self._answer(number, "the map", collect)
        if folder in self._last:
            self._cut_log(folder, LOG_KEPT)  # it was being read: a long one could not be cut

    def _give_way(self) -> None:
        """A question may wait for an edit; nobody waits for a map so urgently."""
        until = time.monotonic() + _WAY_S
        while self._edits and time.monotonic() < until:
            time.sleep(0.002)

    def _embed(self, number: int, folder: str, choice: EmbedderChoice) -> None:
        """Make the vectors of another model that an index lacks. Reads the index as any reader does."""

        def make() -> int:
            with self._embedding:
                return vectors.bring(Path(folder), choice.name, lambda: self._embedder(choice))

        self._answer(number, "the vectors", make)

    def _question(self, number: int, said: str, choice: EmbedderChoice) -> None:
        self._answer(number, "the question's vector", lambda: self._embedder(choice).question(said))

    def _embedder(self, choice: EmbedderChoice) -> Embedder:
        """The model, loaded once; what cannot be loaded is tried again when it is next asked for."""
        with self._loading:
            found = self._embedders.get(choice)
            if found is None:
                found = embedders.load(choice)
                self._embedders = {choice: found}  # one at a time: they are large
            return found

    def _answer(self, number: int, what: str, work: Callable[[], Any]) -> None:
        try:
            self._send("done", number, work())
        except RecollectError as error:
            self._send("failed", number, error.to_dict())
        except (pages.Error, OSError) as error:
            self._send("failed", number, translated(error, what).to_dict())
        except Exception as error:
            log.exception("%s failed", what)
            self._send("failed", number, RecollectError(f"{type(error).__name__}: {error}").to_dict())

    def _send(self, event: str, number: int, value: Any) -> None:
        with suppress(OSError):  # the other end is gone: `run` ends
            self._pipe.send((event, number, value))


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    handler = logging.StreamHandler()
    handler.setFormatter(logs.Formatter("%(asctime)s %(name)s %(levelname)s %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    sys.setswitchinterval(0.001)
    pipe = Pipe(socket.socket(fileno=int(sys.argv[1])))
    can_fork = sys.platform.startswith("linux")
    if can_fork:
        worker.warm_up()  # once for all of them
    gc.freeze()  # what is there stays: neither this process nor its workers look through it for garbage
    gc.enable()
    try:
        sizes: tuple[int, int, int] = pipe.receive()
    except EOFError:
        return  # the daemon could not start
    cache_path = Path(sys.argv[2], "cache.db")
    started: list[tuple[Forked, Pipe]] = []
    with suppress(OSError):  # then they are started as their successors are
        while can_fork and len(started) < sizes[0]:
            started.append(worker.forked(cache_path))
    indexer = Indexer(pipe, cache_path, sizes, started)
    indexer.run()
    indexer._pool.close()
    os._exit(0)  # syncs that still run have nobody to answer; what they committed stays


if __name__ == "__main__":
    main()
