"""A run of the whole product that is recorded, and what must hold after a power cut at any moment of it.

As a program (`python -m tests.power_cuts.scenario HOME REPOSITORY PROMISES`) it does the run: a real daemon with its
indexer and workers stores memories, indexes, follows edits, and is ended. Before each call it writes a line to the
file PROMISES, and another when the call was answered: what the second line stands for was promised.
"""

from __future__ import annotations

import json
import os
import random
import sys
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from recollect import client, processes
from recollect.errors import RecollectError
from recollect.workspace import Workspace
from tests.chaos.test_crash_points import answers, edit, sources
from tests.conftest import git

Promise = dict[str, Any]  # {"call": method, "params": …} and, once it was answered, "result"
_MEMORIES = 24
_EDITS = 6


def prepare(repository: Path, make: Callable[[dict[str, str]], object], files: int = 300) -> None:
    """Fill a repository with sources whose first index segment is too large for a row: it is a file of its own."""
    make({**sources(files), **{f"large/m{number}.py": _large(number) for number in range(40)}})


def _large(number: int) -> str:
    """A module of many chunks with words of their own."""
    words = [f"part{number * 900 + i} = kind{(number * 900 + i) * 7} * {i}" for i in range(900)]
    functions = ("\n    ".join([f"def large_{number}_{i}():", *words[i : i + 15]]) for i in range(0, 900, 15))
    return "\n\n\n".join(functions) + "\n"


class _Run:
    """Calls to the daemon, each noted before and after."""

    def __init__(self, home: Path, promises: int) -> None:
        self._daemon = client.Connection(home)
        self._promises = promises

    def __call__(self, method: str, **params: Any) -> Any:
        self._note({"call": method, "params": params})
        result = self._daemon.call(method, params)
        kept = {key: result[key] for key in ("id", "path", "status") if key in result}
        self._note({"call": method, "params": params, "result": kept})
        return result

    def _note(self, line: Promise) -> None:
        os.write(self._promises, json.dumps(line).encode() + b"\n")


def run(home: Path, repository: Path, promises: Path) -> None:
    """Do the run: two daemons, one after the other."""
    choice = random.Random(3)
    descriptor = os.open(promises, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    call = _Run(home, descriptor)
    identities = [_remember(call, number) for number in range(_MEMORIES // 3)]
    call("configure_auto_sync", changes={"sync_interval": 777})
    call("sync", path=str(repository))
    for number in range(_EDITS):
        edit(repository, number)
        call("sync", path=str(repository))
        identities += [_remember(call, _MEMORIES // 3 + number * 2 + extra) for extra in range(2)]
        call("memory_update", key=identities[number], content=f"changed {number}", tags=["changed"])
        call("memory_delete", key=identities[-1 - choice.randrange(2)])
        if number == 2:
            tree = repository.with_name("tree")
            git(repository, "worktree", "add", "-q", "--detach", str(tree))
            call("sync", path=str(tree))  # starts from a copy of the other index
            call("memory_backup")
            processes.stop(home)
            call = _Run(home, descriptor)
    call("forget", repository="tree")
    call("memory_backup")
    processes.stop(home)


def _remember(call: _Run, number: int) -> str:
    content = f"memory {number}: " + " ".join(f"word{number * 31 + i}" for i in range(number * 40 % 700))
    return str(call("remember", content=content, tags=[f"tag{number}"], metadata={"number": number})["id"])


# -- what must hold -------------------------------------------------------------------------------------------------


def check(home: Path, repository: Path, promises: Sequence[Promise], scratch: dict[str, Any]) -> list[str]:
    """What does not hold in a home that a power cut left; `scratch`: what an index made anew answers."""
    try:
        with closing(_Checked(home)) as workspace:
            broken = _memories_broken(workspace, promises)
            broken += _false_alarms(workspace)
            broken += _backups_broken(home, promises)
            broken += _settings_broken(workspace, promises)
            broken += _index_broken(workspace, repository, promises, scratch)
            return broken
    except RecollectError as error:
        return [f"the home cannot be used: {error.code}: {error.message}"]


class _Checked(Workspace):
    """A workspace to look at; closed by `closing`."""


def _memories_broken(workspace: Workspace, promises: Sequence[Promise]) -> list[str]:
    """What was promised of the memories and is not so."""
    must, may = _expected(promises)
    pages = workspace.memory.page(page_size=100)
    stored = {item["id"]: (item["content"], item["tags"], item["metadata"]) for item in pages.to_dict()["memories"]}
    broken = [f"memory {key} is lost" for key in must if key not in stored and None not in may[key]]
    for key, (content, tags, metadata) in stored.items():
        states = may.get(key)
        if states is None:  # in flight: stored, and not answered yet
            open_calls = [item["params"]["content"] for item in _in_flight(promises) if item["call"] == "remember"]
            if content not in open_calls:
                broken.append(f"memory {key} was never stored: {content[:40]!r}")
        elif (content, tuple(tags), metadata.get("number")) not in states:
            broken.append(f"memory {key} is not as it was stored: {content[:40]!r} {tags}")
    return broken


def _false_alarms(workspace: Workspace) -> list[str]:
    """Losses or damage that are reported, though a power cut causes none; and a count that is none."""
    stats = workspace.memory.stats()
    reported = [*stats["damaged"], *stats["losses"], *stats["notices"]]
    broken = [f"reported without cause: {said}" for said in reported]
    total = stats["memories"] + stats["deleted"]
    findings = workspace.memory.findings()
    if not any(item.level == "ok" and item.message.startswith(f"{total} memories") for item in findings):
        broken.append(f"{total} memories are there, and doctor says: {findings}")
    return broken


_State = tuple[str, tuple[str, ...], Any]


def _expected(promises: Sequence[Promise]) -> tuple[set[str], dict[str, list[_State | None]]]:
    """Ids that must be there, and for each id the states that it may have (None: not there)."""
    states: dict[str, list[_State | None]] = {}
    for item in promises:
        params = item["params"]
        key = item.get("result", {}).get("id") if item["call"] == "remember" else params.get("key")
        if key is None or not item["call"].startswith(("remember", "memory_")):
            continue
        if item["call"] == "remember":
            states[key] = [(params["content"], tuple(params["tags"]), params["metadata"]["number"])]
        else:
            before = states[key][-1]
            after = None
            if item["call"] == "memory_update" and before is not None:
                after = (params["content"], tuple(params["tags"]), before[2])
            states[key] = [after] if "result" in item else [*states[key], after]
    return {key for key, allowed in states.items() if None not in allowed}, states


def _in_flight(promises: Sequence[Promise]) -> list[Promise]:
    return [item for item in promises[-1:] if "result" not in item]


def _backups_broken(home: Path, promises: Sequence[Promise]) -> list[str]:
    """Backups that were made and cannot be read."""
    broken = []
    for item in promises:
        if item["call"] == "memory_backup" and "result" in item:
            path = home / "backups" / Path(item["result"]["path"]).name
            try:
                records = [json.loads(line) for line in path.read_bytes().splitlines()]
                if not records:
                    broken.append(f"backup {path.name} is empty")
            except (OSError, ValueError) as error:
                broken.append(f"backup {path.name} cannot be read: {error}")
    return broken


def _settings_broken(workspace: Workspace, promises: Sequence[Promise]) -> list[str]:
    """Settings and repositories that were accepted and are not known any more."""
    broken = []
    for item in promises:
        if "result" not in item:
            continue
        if item["call"] == "configure_auto_sync":
            interval = workspace.auto_sync.status().to_dict()["config"]["sync_interval"]
            if interval != item["params"]["changes"]["sync_interval"]:
                broken.append(f"a setting is lost: sync_interval is {interval}")
        elif item["call"] == "sync" and not workspace.repositories().to_dict()["repositories"]:
            broken.append("the repository is not known any more")
    return sorted(set(broken))


def _index_broken(
    workspace: Workspace, repository: Path, promises: Sequence[Promise], scratch: dict[str, Any]
) -> list[str]:
    """Answers that are wrong: at once, where they are said to be fresh, and after a sync."""

    def call(method: str, params: dict[str, Any]) -> Any:
        result = getattr(workspace, method)(**params)
        return [item.to_dict() for item in result] if isinstance(result, tuple) else result.to_dict()

    if workspace.repositories().to_dict()["repositories"]:
        first = workspace.search("function number", "project").to_dict()
        hits = [(hit["path"], hit["start_line"], round(hit["score"], 6)) for hit in first["hits"]]
        if first["freshness"]["fresh"] and hits != scratch["hits"]["function number"]:
            return ["an answer that is said to be fresh is wrong"]
    result = workspace.sync(repository)
    if result.status != "completed":
        return [f"the sync after the cut is {result.status}: {result.errors}"]
    found = answers(call)
    return [f"wrong after a sync: {part}" for part in ("files", "hits") if found[part] != scratch[part]]


if __name__ == "__main__":
    run(*(Path(argument) for argument in sys.argv[1:4]))
