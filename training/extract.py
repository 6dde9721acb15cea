"""`python -m training.extract REPOSITORIES WORK [--benchmark FOLDER]`: pairs of every repository, one file each below WORK/pairs.

A repository that was done is not done again. WORK/licences.tsv says what was used under which licence, and what was left out.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import random
import re
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Final

from recollect.index.parse import decode
from training.pairs import capped, of_commits, of_file
from training.sources import Source, files, shingles, sources

EXCLUDED: Final = Path(__file__).with_name(
    "excluded.txt"
)  # repositories of the benchmark, both halves, and their forks
_SHARED: Final = re.compile(  # third-party files that a benchmark repository holds as well
    r"bash-preexec|(^|/)segmented_list\.zig$|base64_scalar|(^|/)daemon\.c$|LegacySupport/|(^|/)nvm(-exec)?\.sh$|(^|/)(lazy|telescope)\.lua$"
)
_asked_about: set[int] = set()


def excluded() -> list[str]:
    return [line for line in EXCLUDED.read_text().splitlines() if line and not line.startswith("#")]


def _extract(task: tuple[Source, Path]) -> tuple[str, float, Counter[str]]:
    source, target = task
    began = time.monotonic()
    chance = random.Random(source.name)
    found = []
    copies = 0
    for path, data in files(source):
        if _SHARED.search(path):
            continue
        mine = shingles(decode(data))
        if len(mine) >= 5 and len(mine & _asked_about) > 0.2 * len(mine):
            copies += 1
            continue
        found += of_file(path, data, chance)
    found += of_commits(source)
    kept = capped(found, source.name)
    part = target.with_suffix(".part")
    with open(part, "w", encoding="utf-8") as out:
        for pair in kept:
            out.write(json.dumps(pair, ensure_ascii=False).encode("utf-8", "replace").decode() + "\n")
    part.rename(target)
    return source.name, time.monotonic() - began, Counter(pair.kind for pair in kept) + Counter(copies=copies)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m training.extract", description=__doc__)
    parser.add_argument("repositories", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument(
        "--benchmark", type=Path, help="work trees that questions are asked about: copies of their files are left out"
    )
    given = parser.parse_args()
    for path in given.benchmark.rglob("*") if given.benchmark else ():
        if path.is_file() and ".git" not in path.parts and path.stat().st_size < 1_000_000:
            _asked_about.update(shingles(path.read_bytes().decode("utf-8", "replace")))
    target = given.work / "pairs"
    target.mkdir(parents=True, exist_ok=True)
    found = sources(given.repositories, excluded())
    (given.work / "licences.tsv").write_text(
        "".join(f"{source.name}\t{source.licence or 'left out'}\n" for source in found)
    )
    tasks = [
        (source, target / f"{source.name}.jsonl")
        for source in found
        if source.licence is not None and not (target / f"{source.name}.jsonl").exists()
    ]
    print(f"{len(found)} repositories, {len(tasks)} to do", flush=True)
    total: Counter[str] = Counter()
    with multiprocessing.get_context("fork").Pool(2) as pool:
        for name, seconds, counts in pool.imap_unordered(_extract, tasks):
            total += counts
            print(f"{name}: {dict(counts)} in {seconds:.0f} s", flush=True)
    print(dict(total))
    return 0


if __name__ == "__main__":
    sys.exit(main())
