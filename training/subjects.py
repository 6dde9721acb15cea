"""`python -m training.subjects REPOSITORIES OUT`: subjects of commits as questions for the files that they changed.

Of each repository (`REPOSITORIES/owner+name[/repo]`, as for `training.extract`; those of the benchmark are left out) a work tree
of an older revision is laid out in OUT/src, without the files that a partial copy lacks, and what was done after it is asked. OUT is
then a set of questions for `benchmarks.retrieval OUT/src OUT` and `training.ranker OUT/src OUT`: many more than anybody wrote by
hand, all of one kind.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

from training import git
from training.extract import excluded
from training.pairs import question_of
from training.sources import TESTS, Source, is_code, sources

_LOOKED_AT: Final = 1_500  # commits
_LATEST: Final = 110  # commits that could be asked about: the work tree is older than all of them
_MOST: Final = 70  # questions of a repository
_FEWEST: Final = 8
_FILES: Final = 8  # that a commit changes


class Commit(NamedTuple):
    revision: str
    question: str
    paths: list[str]


def commits(source: Source) -> Iterator[Commit]:
    """Those that modify one to three source files and say how, newest first."""
    arguments = (
        "log",
        f"-n{_LOOKED_AT}",
        "--no-merges",
        "--name-status",
        "--no-renames",
        "--format=%x01%H%x02%s",
        "HEAD",
    )
    said = git.run(arguments, source.git, timeout_s=120).stdout.decode("utf-8", "replace")
    for block in said.split("\x01")[1:]:
        head, *lines = block.strip("\n").split("\n")
        revision, _, subject = head.partition("\x02")
        changes = [line.split("\t") for line in lines if line]
        own = [(how, path) for how, path in changes if is_code(path) and not TESTS.search(path)]
        question = question_of(subject)
        if question and len(changes) <= _FILES and 1 <= len(own) <= 3 and all(how == "M" for how, _ in own):
            yield Commit(revision, question, [path for _, path in own])


def lay_out(source: Source, target: Path) -> list[dict[str, Any]]:
    """Make the work tree; questions about what was done after it. None where there are too few."""
    latest = [commit for commit, _ in zip(commits(source), range(_LATEST), strict=False)]
    if len(latest) < _FEWEST:
        return []
    before = f"{latest[-1].revision}^"
    listed = git.run(("ls-tree", "-r", "-z", "--name-only", before), source.git).stdout.decode("utf-8", "replace")
    there = set(listed.split("\0"))
    unique = {commit.question.lower(): commit for commit in latest if there.issuperset(commit.paths)}
    chosen = random.Random(source.name).sample(list(unique.values()), min(_MOST, len(unique)))
    if not target.exists():
        asked = ("rev-parse", "--path-format=absolute", before, "--git-path", "objects", "--git-path", "shallow")
        revision, objects, shallow = git.run(asked, source.git).stdout.decode().splitlines()
        git.run(("init", "--quiet", target.name), target.parent)
        (target / ".git" / "objects" / "info" / "alternates").write_text(f"{objects}\n")
        if Path(shallow).exists():
            shutil.copyfile(shallow, target / ".git" / "shallow")
        git.run(("update-ref", "--no-deref", "HEAD", revision), target)
        git.run(("read-tree", "HEAD"), target)
        git.run(("checkout-index", "--all", "--force", "--quiet"), target, timeout_s=300)
    return [
        {
            "id": f"{source.name}#{commit.revision[:10]}",
            "repo": source.name,
            "category": "commit",
            "query": commit.question,
            "targets": [{"path": path, "files": [path]} for path in commit.paths],
        }
        for commit in chosen
    ]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m training.subjects", description=__doc__)
    parser.add_argument("repositories", type=Path)
    parser.add_argument("out", type=Path)
    given = parser.parse_args()
    (given.out / "src").mkdir(parents=True, exist_ok=True)
    asked = {}
    for source in sources(given.repositories, excluded()):
        questions = lay_out(source, given.out / "src" / source.name)
        if questions:
            asked[source.name] = questions
            print(f"{source.name}: {len(questions)}", flush=True)
    manifest = [{"name": name, "root": "", "language": "-"} for name in asked]
    (given.out / "manifest.json").write_text(json.dumps(manifest, indent=1), "utf-8")
    lines = [json.dumps(question) for questions in asked.values() for question in questions]
    (given.out / "queries.jsonl").write_text("".join(f"{line}\n" for line in lines), "utf-8")
    print(f"{len(lines)} questions about {len(asked)} repositories")
    return 0


if __name__ == "__main__":
    sys.exit(main())
