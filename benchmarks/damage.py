"""What one wrong bit does: `python -m benchmarks.damage [--flips N] [--only FILE…] [--whole N]`. Prints a Markdown table.

A home with an index of this repository is damaged again and again, one bit at a time, and asked the same questions each time:

- same: the answers are those of the sound home (the bit was not needed, or what it belonged to was made again meanwhile);
- detected: the damage was noticed (`Corrupt`), or what is derived was thrown away;
- WRONG: an answer differs and nothing was said;
- raw: an error that says something else, or a bug's.

`index.db` and what lies beside it are opened as a reader does (`Snapshot`); `live`: while it is open. `--whole`: the whole
program, which has to start, to say what happened and to answer as before in the end. Any WRONG or raw ends with status 1.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from recollect.errors import Corrupt, RecollectError, UserError
from recollect.index import usage, vectors
from recollect.index.snapshot import Snapshot
from recollect.index.summary import folders_of, summary_of
from recollect.index.writer import IndexWriter
from recollect.search import find, regex, repo_map
from recollect.search.filters import Filters
from recollect.search.hits import Shape, Source
from recollect.search.query import parse
from recollect.search.related import related
from recollect.search.symbols import outline, symbol_hits
from recollect.store import pages
from recollect.store.cache import ParseCache
from recollect.store.catalog import Catalog
from recollect.workspace import Workspace

_QUERIES: Final = (
    "where is a segment merged",
    "parse worker dies",
    "cookie file barrier",
    "redact secrets",
    "repository map importance",
    "embedding vectors",
)
_SYMBOLS: Final = ("Snapshot", "commit", "open", "main", "Workspace.search", "read", "_run", "Segment", "close", "scan")
_MODEL: Final = "test:model"
_DIMENSIONS: Final = 32
Answers = dict[str, Any]


class _Embedder:
    """Vectors that are a function of the text, and cost nothing."""

    def documents(self, texts: Sequence[str]) -> NDArray[np.float32]:
        rows = [np.random.default_rng(abs(hash(text)) % 2**32).normal(size=_DIMENSIONS) for text in texts]
        unit = np.array(rows, np.float32)
        return np.asarray(unit / np.linalg.norm(unit, axis=1, keepdims=True), np.float32)


def build(work: Path) -> Path:
    """A home that knows a copy of this repository, with edits behind it; the log of its index still holds some of them."""
    root, home = work / "project", work / "home"
    sources = Path(__file__).parents[1]
    for folder in ("src", "tests", "docs", "benchmarks"):
        ignored = shutil.ignore_patterns("__pycache__", "*.so", "*.json", "images")
        shutil.copytree(sources / folder, root / folder, ignore=ignored)
    run = ["git", "-c", "user.name=a", "-c", "user.email=a@b", "-C", os.fspath(root)]
    for command in (["init", "-q"], ["add", "."], ["commit", "-qm", "Begin with everything that is here"]):
        subprocess.run([*run, *command], check=True, env=os.environ | {"GIT_CONFIG_GLOBAL": os.devnull})
    others = []
    for number in range(6):
        other = work / f"other{number}"
        other.mkdir()
        (other / "one.py").write_text(f"def number_{number}(): return {number}\n")
        others.append(other)
    with Workspace(home) as workspace:
        workspace.sync(root, full=True)
        for other in others:
            workspace.sync(other)
        workspace.auto_sync.configure({"sync_interval": 450, "max_concurrent": 3}, caller=_caller(root))
        workspace.map("project")
        for number, path in enumerate(sorted((root / "src").rglob("*.py"))[::9]):
            path.write_text(
                f"{path.read_text()}\n\ndef added_{number}(value: int) -> int:\n    return value + {number}\n"
            )
            while not workspace.search(f"added_{number}", "project").freshness.fresh:
                time.sleep(0.1)
        workspace.search("cookie")
        time.sleep(1.0)
        workspace.map("project")
    with suppress(FileNotFoundError):
        (home / "run" / "lock").unlink()
    vectors.bring(index_folder(home), _MODEL, lambda: _Embedder())  # type: ignore[arg-type, return-value]
    return home


def _caller(root: Path) -> Any:
    from recollect.workspace import Caller

    return Caller(cwd=os.fspath(root))


def index_folder(home: Path) -> Path:
    """That of the largest index."""
    return max((home / "repositories").iterdir(), key=lambda folder: (folder / "index.db").stat().st_size)


# -- what is asked ----------------------------------------------------------------------------------------------------


def ask_index(folder: Path, snapshot: Snapshot | None = None) -> Answers:
    """Answers of an index to all kinds of questions. Raises Corrupt."""
    own = snapshot is None
    snapshot = Snapshot.open(folder) if snapshot is None else snapshot
    try:
        return dict(_index_answers(folder, snapshot))
    finally:
        if own:
            snapshot.release()


def _index_answers(folder: Path, snapshot: Snapshot) -> Iterator[tuple[str, Any]]:
    check = getattr(snapshot, "check_files", None)
    if check is not None:
        check()
    root = folder.parents[2] / "project"
    source = Source("project", root, snapshot)
    shape = Shape(10, 12, None, False, False)
    yield "summary", summary_of(folder)
    yield "folders", folders_of(folder)
    for query in _QUERIES:
        yield query, find.find(parse(query), [source], Filters(), shape, None)
        yield f"all {query}", find.find(parse(query), [source], Filters(content="all"), shape, None)
    for expression in (r"def \w+_path\(", r"raise Corrupt", r"import (os|re)$"):
        matched = regex.search(regex.compiled(expression), [source], Filters(content="all"), replace(shape, limit=50))
        yield expression, matched.hits
    for name in _SYMBOLS:
        yield name, symbol_hits(name, [source], None, True, 20)
    files = sorted((info for info in snapshot.files.values() if info.status == "indexed"), key=lambda info: info.path)
    yield "files", sorted(snapshot.files.values(), key=lambda info: info.path)
    for info in files[::50]:
        yield f"text {info.path}", snapshot.text(info.id)
        yield f"outline {info.path}", outline(source, info.id)
        if info.content == "code":
            with suppress(UserError):  # no code stands there
                yield f"related {info.path}", related(source, info, 5, [source], 5, 3)
    found = usage.load(folder)
    if found is None:
        raise Corrupt("the map is made again")
    graph = repo_map.Graph(found)
    yield "map", repo_map.outline(snapshot, graph, repo_map.Focus(), 3000).text


def ask_vectors(folder: Path) -> Answers:
    """What is kept of another model. Raises Corrupt."""
    found = vectors.load(folder, _MODEL)
    if found is None:
        raise Corrupt("the vectors are made again")
    return {"ids": found.chunk_id.tolist(), "vectors": found.vectors.tobytes()}


def ask_writer(folder: Path) -> Answers:
    """What the next sync compares the files with. Raises Corrupt."""
    with closing(IndexWriter(folder)) as writer:
        if writer.repaired:
            raise Corrupt(writer.repaired)
        rows = [(row.path, row.kind, row.stat, row.hash) for row in writer.tree().files()]
        return {"tree": rows, "head": writer.history_head, "failed": writer.failed_paths(), "counts": writer.counts()}


def ask_catalog(path: Path) -> Answers:
    """All that a catalog knows. Raises Corrupt."""
    catalog = Catalog(path)
    try:
        known = catalog.repositories()
        answers: Answers = {"repositories": known, "settings": catalog.persisted(), "clones": catalog.clones.all()}
        answers |= {f"history {item.name}": catalog.history(item.id) for item in known}
        answers |= {"runs": catalog.last_runs(100), "usage": catalog.usage(""), "followed": catalog.clones.followed()}
        return answers
    finally:
        catalog.close()


def ask_cache(path: Path, keys: Sequence[bytes]) -> Answers:
    """What the parse cache holds; a value that is not there is no wrong one."""
    cache = ParseCache(path)
    try:
        found = {str(key): cache.get(key) for key in keys}
        return {key: value for key, value in found.items() if value is not None}
    finally:
        cache.close()


# -- trials -----------------------------------------------------------------------------------------------------------


def flip(path: Path, bit: int) -> None:
    """Flip one bit of a file where it lies."""
    with open(path, "r+b") as file:
        file.seek(bit // 8)
        byte = file.read(1)[0]
        file.seek(bit // 8)
        file.write(bytes([byte ^ (1 << bit % 8)]))


def verdict(ask: Callable[[], Answers], expected: Answers, *, subset: bool = False) -> str:
    """`subset`: what is missing is no wrong answer."""
    try:
        answers = ask()
    except (Corrupt, pages.Error) as error:
        meaning = error if isinstance(error, Corrupt) else pages.translated(error, "it")
        return "detected" if isinstance(meaning, Corrupt) else f"raw {meaning.code}"
    except Exception as error:
        code = error.code if isinstance(error, RecollectError) else ""
        return f"raw {type(error).__name__} {code} {str(error)[:60]}"
    if answers == expected:
        return "same"
    if subset and answers.items() <= expected.items():
        return "detected"
    wrong = [key for key in expected if answers.get(key) != expected[key]]
    return f"WRONG {wrong[:3]}"


def bits(path: Path, count: int, seed: int) -> Iterator[int]:
    """Half of them anywhere, half among the first hundred bytes of pages, where the structure of a database is."""
    chance = random.Random(seed)
    size = path.stat().st_size
    for number in range(count):
        page = chance.randrange(max(1, size // 2048)) * 2048
        place = chance.randrange(size) if number % 2 else min(size - 1, page + chance.randrange(100))
        yield place * 8 + chance.randrange(8)


def trials(
    home: Path,
    path: Path,
    count: int,
    ask: Callable[[], Answers],
    *,
    subset: bool = False,
    live: Callable[[], Callable[[], Answers]] | None = None,
) -> Counter[str]:
    """Damage `path` in `home` `count` times, each time from what `home` is now. `live`: opens, and gives what asks."""
    kept = home.with_name(f"{home.name}-kept")
    shutil.rmtree(kept, ignore_errors=True)
    shutil.copytree(home, kept, symlinks=True, ignore=_sockets)
    expected = ask()
    _restore(kept, home)
    found: Counter[str] = Counter()
    for bit in bits(path, count, 7):
        asking = live() if live is not None else ask
        flip(path, bit)
        _note(found, path, bit, verdict(asking, expected, subset=subset))
        _restore(kept, home)
    shutil.rmtree(kept)
    return found


def _note(verdicts: Counter[str], path: Path, bit: int, said: str) -> None:
    """Count a verdict by its first word, and print it if it is a bad one."""
    kind = said.split()[0]
    if kind in ("WRONG", "raw"):
        print(f"  {path.name} bit {bit}: {said}", file=sys.stderr)
    verdicts[kind] += 1


def _sockets(folder: str, names: list[str]) -> list[str]:
    return [name for name in names if not Path(folder, name).is_dir() and not Path(folder, name).is_file()]


def _restore(kept: Path, home: Path) -> None:
    """Make `home` what it was: only files that differ are written."""
    for path in list(home.rglob("*")):
        if path.is_file() and not (kept / path.relative_to(home)).exists():
            path.unlink()
    for path in kept.rglob("*"):
        target = home / path.relative_to(kept)
        if path.is_dir():
            target.mkdir(exist_ok=True)
        elif not target.exists() or target.stat().st_mtime_ns != path.stat().st_mtime_ns:
            target.unlink(missing_ok=True)  # another file, as far as anybody has the old one open
            shutil.copy2(path, target)


def _live(folder: Path) -> Callable[[], Answers]:
    snapshot = Snapshot.open(folder)
    snapshot.files  # noqa: B018  it is open, and has answered nothing yet

    def ask() -> Answers:
        try:
            return ask_index(folder, snapshot)
        finally:
            snapshot.release()

    return ask


def whole(work: Path, home: Path, names: Sequence[str], count: int) -> Counter[str]:
    """The whole program: it starts, an answer that is said to be fresh is right, and in the end all are."""
    kept = work / "kept"
    shutil.rmtree(kept, ignore_errors=True)
    shutil.copytree(home, kept, symlinks=True, ignore=_sockets)
    with Workspace(home) as workspace:
        workspace.sync("project")
        expected = _program_answers(workspace)
        settings = workspace.settings
    _restore(kept, home)
    found: Counter[str] = Counter()
    for name in names:
        path = home / name if "/" not in name else index_folder(home) / name.split("/")[1]
        for bit in bits(path, count, 11):
            flip(path, bit)
            _note(found, path, bit, _program_verdict(home, expected, settings))
            _restore(kept, home)
    shutil.rmtree(kept)
    return found


def _program_answers(workspace: Workspace) -> Answers:
    answers: Answers = {"list": sorted((item.name, str(item.path)) for item in workspace.statuses())}
    for query in _QUERIES[:4]:
        answer = workspace.search(query, "project")
        if not answer.freshness.fresh:
            raise Corrupt(str(answer.freshness.reason))
        answers[query] = [(hit.path, hit.start_line, hit.snippet) for hit in answer.hits]
    for name in _SYMBOLS[:4]:
        answers[name] = [(hit.path, hit.start_line) for hit in workspace.symbol(name, "project").definitions]
    return answers


def _program_verdict(home: Path, expected: Answers, settings: Any) -> str:
    try:
        with Workspace(home) as workspace:
            noticed = False
            for _ in range(200):
                said = verdict(lambda: _program_answers(workspace), expected)
                if said != "detected":
                    break
                noticed = True
                time.sleep(0.1)
            if said == "same" and workspace.settings != settings:
                return "WRONG settings"
            noticed = noticed or bool(workspace.about()["notices"])
            return "healed" if said == "same" and noticed else said
    except Exception as error:
        return f"raw at the start {type(error).__name__}: {error}"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--flips", type=int, default=1000)
    parser.add_argument("--only", nargs="*", default=None, help="rows of the table")
    parser.add_argument(
        "--whole", type=int, default=5, help="flips in each file that the whole program is started with"
    )
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        home = build(work)
        folder = index_folder(home)
        return _report(work, home, folder, options)


def _report(work: Path, home: Path, folder: Path, options: argparse.Namespace) -> int:
    import sqlite3

    with closing(sqlite3.connect(home / "cache.db")) as database:
        keys = [row[0] for row in database.execute("SELECT key FROM analyses")][:400]
    n = options.flips
    segment = next((folder / "segments").iterdir())
    rows: dict[str, Callable[[], Counter[str]]] = {
        "index.db": lambda: trials(home, folder / "index.db", n, lambda: ask_index(folder)),
        "index.db live": lambda: trials(
            home, folder / "index.db", n // 5, lambda: ask_index(folder), live=lambda: _live(folder)
        ),
        "index.db writer": lambda: trials(home, folder / "index.db", n // 5, lambda: ask_writer(folder)),
        "index.db-wal": lambda: trials(home, folder / "index.db-wal", n // 2, lambda: ask_index(folder)),
        "index.db-wal live": lambda: trials(
            home, folder / "index.db-wal", n // 5, lambda: ask_index(folder), live=lambda: _live(folder)
        ),
        "segment": lambda: trials(home, segment, n // 5, lambda: ask_index(folder)),
        "segment live": lambda: trials(home, segment, n // 5, lambda: ask_index(folder), live=lambda: _live(folder)),
        "usage.rcl": lambda: trials(home, folder / "usage.rcl", n // 5, lambda: ask_index(folder)),
        "vectors.db": lambda: trials(home, vectors.path_of(folder, _MODEL), n, lambda: ask_vectors(folder)),
        "catalog.db": lambda: trials(home, home / "catalog.db", n, lambda: ask_catalog(home / "catalog.db")),
        "cache.db": lambda: trials(home, home / "cache.db", n, lambda: ask_cache(home / "cache.db", keys), subset=True),
        "whole": lambda: whole(
            work, home, ("catalog.db", "cache.db", "i/index.db", "i/index.db-wal", "i/usage.rcl"), options.whole
        ),
    }
    kinds = ("same", "detected", "healed", "WRONG", "raw")
    print(f"| file | flips | {' | '.join(kinds)} |\n|---|---:|{'---:|' * len(kinds)}")
    bad = 0
    for name, run in rows.items():
        if options.only and name not in options.only:
            continue
        found = run()
        bad += found["WRONG"] + found["raw"]
        print(f"| {name} | {sum(found.values())} | {' | '.join(str(found[kind]) for kind in kinds)} |", flush=True)
    return int(bad > 0)


if __name__ == "__main__":
    sys.exit(main())
