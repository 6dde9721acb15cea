"""Git repositories in a folder → texts of their source files and the changes of their commits.

FOLDER holds a repository per entry: `owner+name`, bare (`owner+name/repo`) or a work tree. What is not permissively licensed,
what a benchmark asks about, and copies of what it asks about are left out.
"""

from __future__ import annotations

import random
import re
import subprocess
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from recollect import languages
from recollect.index import skip
from training import git

LARGEST_FILE: Final = 120_000
SMALLEST_FILE: Final = 200
MOST_TEXT: Final = 8_000_000  # of one repository
MOST_DOCS: Final = 700_000
SHINGLE: Final = 6  # lines

_NOT_OWN: Final = re.compile(
    r"(^|/)(vendor|vendored|third[_-]?party|deps|node_modules|dist|build|generated|fixtures?|testdata|(__)?snapshots?(__)?|locales?|i18n)(/|$)"
    r"|\.min\.js$|\.pb\.(go|h|cc)$|_pb2\.py$|\.d\.ts$|CHANGELOG|HISTORY",
    re.IGNORECASE,
)
TESTS: Final = re.compile(
    r"(^|/)(tests?|spec|specs|__tests__|testing|examples?|bench(es|marks?)?|docs?)(/|$)|_test\.|\.test\.|\.spec\.|Tests?\."
)
_PERMISSIVE: Final = {
    "Apache-2.0": re.compile(r"Apache License,?\s+Version 2", re.IGNORECASE),
    "MIT": re.compile(r"Permission is hereby granted, free of charge", re.IGNORECASE),
    "BSD": re.compile(r"Redistributions? (in|of) source (and|code)|Redistribution and use in source", re.IGNORECASE),
    "ISC": re.compile(r"Permission to use, copy, modify,? and(/or)? distribute this software", re.IGNORECASE),
}
_COPYLEFT: Final = re.compile(r"GNU (AFFERO |LESSER )?GENERAL PUBLIC LICENSE|Mozilla Public License", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Source:
    """One repository. `git`: the folder that git is asked in."""

    name: str
    git: Path
    licence: str | None  # None: not known to be permissive

    def _run(self, *arguments: str) -> bytes:
        return git.run(arguments, self.git, timeout_s=300).stdout


def sources(folder: Path, excluded: Collection[str]) -> list[Source]:
    """All repositories in `folder` but those `excluded` (`owner/name`, whatever the case)."""
    never = {name.lower() for name in excluded}
    found = []
    for entry in sorted(folder.iterdir()):
        name = entry.name.replace("+", "/", 1)
        if "/" not in name or name.lower() in never:
            continue
        place = entry / "repo" if (entry / "repo").is_dir() else entry
        found.append(Source(entry.name, place, _licence(place)))
    return found


def _licence(place: Path) -> str | None:
    names = git.run(("ls-tree", "--name-only", "HEAD"), place).stdout.decode("utf-8", "replace").splitlines()
    texts = [
        git.run(("show", f"HEAD:{name}"), place).stdout.decode("utf-8", "replace")[:20_000]
        for name in names
        if re.match(r"(?i)(un)?licen[sc]e|copying|copyright", name)
    ]
    readme = next((name for name in names if name.lower().startswith("readme")), None)
    if not texts and readme is not None:
        texts = [git.run(("show", f"HEAD:{readme}"), place).stdout.decode("utf-8", "replace")]
    found = [name for name, pattern in _PERMISSIVE.items() if any(pattern.search(text) for text in texts)]
    only_copyleft = any(_COPYLEFT.search(text) for text in texts) and not found
    return " or ".join(found) if found and not only_copyleft else None


def is_code(path: str) -> bool:
    language = languages.detect(path)
    return language.content == "code" and language.grammar is not None


def files(source: Source) -> Iterator[tuple[str, bytes]]:
    """(path, bytes) of the repository's own source and documentation, tests and examples last, up to the limits."""
    listed = source._run("ls-tree", "-r", "-l", "-z", "HEAD").decode("utf-8", "replace")
    candidates = []
    for line in listed.split("\0"):
        head, _, path = line.partition("\t")
        fields = head.split()
        if len(fields) != 4 or fields[1] != "blob" or fields[0] == "120000" or _NOT_OWN.search(path):
            continue
        if not fields[3].isdigit():  # what a partial copy lacks
            continue
        docs = languages.detect(path).name in ("markdown", "rst")
        size = int(fields[3])
        if SMALLEST_FILE <= size <= LARGEST_FILE and (docs or is_code(path)) and not skip.skip_by_name(path):
            candidates.append((docs, bool(TESTS.search(path)), path, fields[2], size))
    random.Random(source.name).shuffle(candidates)
    candidates.sort(key=lambda item: item[:2])
    chosen, total, total_docs = [], 0, 0
    for docs, test, path, blob, size in candidates:
        if docs and total_docs < MOST_DOCS:
            total_docs += size
        elif not docs and total < (MOST_TEXT * 0.6 if test else MOST_TEXT):
            total += size
        else:
            continue
        chosen.append((path, blob))
    for (path, _), data in zip(chosen, _blobs(source, [blob for _, blob in chosen]), strict=True):
        if skip.skip_by_content(path, data) is None:
            yield path, data


def _blobs(source: Source, blobs: list[str]) -> Iterator[bytes]:
    asked = "\n".join(blobs).encode() + b"\n" if blobs else b""
    answer = git.run(("cat-file", "--batch"), source.git, input=asked, timeout_s=600).stdout
    at = 0
    for _ in blobs:
        end = answer.index(b"\n", at)
        said = answer[at:end].split()
        if said[-1] == b"missing":
            yield b""
            at = end + 1
            continue
        size = int(said[2])
        yield answer[end + 1 : end + 1 + size]
        at = end + size + 2


def commits(source: Source, limit: int = 4_000, seconds: float = 10.0) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """(subject, [(path, changed lines with their surroundings)]) of commits that modify one to three source files."""
    command = ["git", *git.SAFE, "log", f"-n{limit}", "--no-merges", "--diff-filter=M", "-U4", "-p", "--no-renames"]
    command += ["--no-color", "--no-ext-diff", "--no-textconv", "--format=%x01%s", "HEAD"]
    with subprocess.Popen(
        ["timeout", str(seconds), *command],
        cwd=source.git,
        env=git.environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as process:
        assert process.stdout is not None
        subject, lines = "", list[str]()
        for raw in process.stdout:
            line = raw.decode("utf-8", "replace")
            if not line.startswith("\x01"):
                if len(lines) < 1_500:
                    lines.append(line)
                continue
            if changed := _changes(lines):
                yield subject, changed
            subject, lines = line[1:].strip(), []
        if changed := _changes(lines):
            yield subject, changed


def _changes(lines: list[str]) -> list[tuple[str, str]]:
    parts = re.split(r"^diff --git a/(\S+) b/\S+\n", "".join(lines), flags=re.MULTILINE)
    pairs = list(zip(parts[1::2], parts[2::2], strict=False))
    own = [
        (path, diff) for path, diff in pairs if is_code(path) and not _NOT_OWN.search(path) and not TESTS.search(path)
    ]
    if not 1 <= len(own) <= 3:
        return []
    found = []
    for path, diff in own:
        hunks = re.findall(r"^@@[^@]*@@(.*)\n((?:[ +\-].*\n)*)", diff, flags=re.MULTILINE)
        found.append(
            (path, "\n".join(f"{head}\n" + "\n".join(x[1:] for x in body.split("\n")) for head, body in hunks))
        )
    return found


def shingles(text: str) -> set[int]:
    """Hashes of runs of lines: texts that share many are copies of each other."""
    lines = [line for raw in text.split("\n") if len(line := raw.strip()) > 12]
    return {hash("\n".join(lines[i : i + SHINGLE])) for i in range(max(0, len(lines) - SHINGLE + 1))}
