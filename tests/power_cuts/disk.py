"""What may lie on a disk after a power cut: what was synced, and any part of the rest.

The model is POSIX at its strictest. The content of a file is durable up to the last `fsync` of it that ended, a
name up to the last `fsync` of its folder. Of what came later, each page of 4096 bytes is in any state that it went
through, each file has any size that it had, and any of the changes of names was made. Sources: Pillai et al., "All
File Systems Are Not Created Equal" (OSDI 2014); ALICE.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path

from tests.power_cuts.recording import Kind, Record

PAGE = 4096  # bytes that a disk writes whole


class Rest(StrEnum):
    """What became of the operations that no `fsync` covered."""

    LOST = "lost"
    KEPT = "kept"  # all of them: what `kill -9` leaves
    FIRST = "first"  # the first so many, in order
    TORN = "torn"  # any, page by page and name by name


class _File:
    """Content of an inode: what is durable, and the writes since."""

    def __init__(self) -> None:
        self.durable = bytearray()
        self.pending: list[tuple[int, int, bytes | None]] = []  # (order, offset or size, data or None: a size)

    def settle(self, before: int) -> None:
        """Make durable what was written before the operation number `before`."""
        count = sum(1 for order, _, _ in self.pending if order < before)
        for _, offset, data in self.pending[:count]:
            _apply(self.durable, offset, data)
        del self.pending[:count]

    def after_cut(self, rest: Rest, choice: random.Random, cut: int) -> bytes:
        content = bytearray(self.durable)
        if rest is Rest.TORN:
            return self._torn(content, choice)
        for order, offset, data in self.pending:
            if rest is Rest.KEPT or (rest is Rest.FIRST and order < cut):
                _apply(content, offset, data)
        return bytes(content)

    def _torn(self, content: bytearray, choice: random.Random) -> bytes:
        touched = defaultdict(list)  # page → numbers of the operations that changed it
        sizes = [len(content)]
        size = len(content)
        for number, (_, offset, data) in enumerate(self.pending):
            end = offset if data is None else max(size, offset + len(data))
            if data is not None:
                for page in range(offset // PAGE, (offset + len(data) - 1) // PAGE + 1):
                    touched[page].append(number)
            elif end < size:
                for page in range(end // PAGE, size // PAGE + 1):
                    touched[page].append(number)
            size = end
            sizes.append(size)
        states: dict[int, int] = {}  # page → operations that reached it
        for page, numbers in touched.items():
            states[page] = choice.randrange(-1, len(numbers))
            states[page] = numbers[states[page]] if states[page] >= 0 else -1
        content.extend(bytes(max(0, max(sizes) - len(content))))
        for number, (_, offset, data) in enumerate(self.pending):
            length = len(content) - offset if data is None else len(data)
            for page in range(offset // PAGE, (offset + length - 1) // PAGE + 1) if length > 0 else ():
                if states.get(page, -1) < number:
                    continue
                first, last = max(offset, page * PAGE), min(offset + length, (page + 1) * PAGE)
                part = bytes(last - first) if data is None else data[first - offset : last - offset]
                content[first:last] = part
        return bytes(content[: choice.choice(sizes)])


def _apply(content: bytearray, offset: int, data: bytes | None) -> None:
    if data is None:
        del content[offset:]
        content.extend(bytes(offset - len(content)))
    else:
        content.extend(bytes(max(0, offset - len(content))))
        content[offset : offset + len(data)] = data


class Disk:
    """The state of the recorded folder, operation by operation (`record`); `cut` writes what may be left of it."""

    def __init__(self, root_inode: int) -> None:
        self._root: tuple[int, int] = (root_inode, 0)
        self._births: dict[int, int] = defaultdict(int)  # inode → how often it was made anew
        self._files: dict[tuple[int, int], _File] = {}
        self._folders: dict[tuple[int, int], dict[bytes, tuple[int, int]]] = {self._root: {}}  # durable names
        self._now: dict[tuple[int, int], dict[bytes, tuple[int, int]]] = {self._root: {}}
        self._names: list[tuple[int, Record, tuple[tuple[int, int], ...]]] = []  # not durable: (order, what, keys)
        self._syncs: dict[int, int] = {}
        self.count = 0

    def record(self, record: Record) -> None:
        """Let one operation happen."""
        self.count += 1
        key = (record.inode, self._births[record.inode])
        if record.kind is Kind.WRITE:
            self._file(key).pending.append((self.count, record.offset, record.data))
        elif record.kind is Kind.TRUNCATE:
            self._file(key).pending.append((self.count, record.offset, None))
        elif record.kind is Kind.SYNC_BEGIN:
            self._syncs[record.offset] = self.count
        elif record.kind is Kind.SYNC_END:
            self._settle(key, self._syncs.pop(record.offset))
        else:
            self._change_name(key, record)

    def _file(self, key: tuple[int, int]) -> _File:
        return self._files.setdefault(key, _File())

    def _settle(self, key: tuple[int, int], before: int) -> None:
        if key not in self._folders:
            self._file(key).settle(before)
            return
        kept = []
        for change in self._names:
            order, record, keys = change
            if order < before and key in keys[:2]:
                _rename(self._folders, record, keys)
            else:
                kept.append(change)
        self._names = kept

    def _change_name(self, key: tuple[int, int], record: Record) -> None:
        if record.kind is Kind.LINK:
            live = {item for names in self._now.values() for item in names.values()}
            other = (record.other, self._births[record.other])
            if other not in live and (other in self._files or other in self._folders):
                self._births[record.other] += 1  # the number of a file that is gone, used again
                other = (record.other, self._births[record.other])
            if record.offset:
                self._folders.setdefault(other, {})
                self._now.setdefault(other, {})
            else:
                self._file(other)
            keys = (key, key, other)
        elif record.kind is Kind.RENAME:
            to = (record.other, self._births[record.other])
            keys = (key, to, self._now[key].get(record.name, key))
        else:
            keys = (key, key, key)
        _rename(self._now, record, keys)
        self._names.append((self.count, record, keys))

    def cut(self, target: Path, rest: Rest, choice: random.Random) -> None:
        """Write into `target` what may lie on the disk if the power fails now."""
        until = choice.randint(max(0, self.count - 400), self.count)
        folders = {key: dict(names) for key, names in self._folders.items()}
        for order, record, keys in self._names:
            keep = rest is Rest.KEPT or (rest is Rest.FIRST and order < until)
            if keep or (rest is Rest.TORN and choice.random() < 0.5):
                _rename(folders, record, keys)
        for path, key in _walk(folders, self._root, target):
            if key in folders:
                path.mkdir(exist_ok=True)
            else:
                path.write_bytes(self._file(key).after_cut(rest, choice, until))


def _rename(
    folders: dict[tuple[int, int], dict[bytes, tuple[int, int]]],
    record: Record,
    keys: tuple[tuple[int, int], ...],
) -> None:
    """Make a change of names, as far as what it is about is there."""
    names = folders.setdefault(keys[0], {})
    if record.kind is Kind.LINK:
        names[record.name] = keys[2]
    elif record.kind is Kind.UNLINK:
        names.pop(record.name, None)
    elif record.name in names:
        folders.setdefault(keys[1], {})[record.data] = names.pop(record.name)


def _walk(
    folders: dict[tuple[int, int], dict[bytes, tuple[int, int]]], root: tuple[int, int], target: Path
) -> Iterator[tuple[Path, tuple[int, int]]]:
    waiting = [(target, root)]
    while waiting:
        folder, key = waiting.pop()
        for name, other in folders.get(key, {}).items():
            path = folder / name.decode("utf-8", "surrogateescape")
            yield path, other
            if other in folders:
                waiting.append((path, other))
