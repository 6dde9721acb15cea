"""Simulated power cuts: `python -m benchmarks.power_cuts [CUTS] [--seed N] [--keep FOLDER]`.

A run of the whole product (daemon, indexer, workers; memories, syncs, edits, a backup, a second work tree) is recorded,
then cut at random moments: only what was synced to disk survives for certain, the rest in any order and torn at pages
(`tests/power_cuts`). After each cut every memory, setting and repository whose call was answered must be there, and
answers must be those of an index made anew. Prints what does not hold, and counts; exit status 1 where anything does not.
Needs a C compiler and Linux.
"""

from __future__ import annotations

import argparse
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from tests.chaos.test_crash_points import from_scratch
from tests.power_cuts import scenario, simulate


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cuts", type=int, nargs="?", default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", type=Path, help="copy the homes in which something broke into this folder")
    options = parser.parse_args()
    counts: Counter[str] = Counter()
    with tempfile.TemporaryDirectory(prefix="rp-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        log, repository, inode = simulate.record(folder)
        scratch = from_scratch(repository, folder / "scratch")
        print(f"recorded {log.stat().st_size / 1e6:.0f} MB of writes", flush=True)
        began = time.monotonic()
        choice = random.Random(options.seed)
        for number, cut in enumerate(simulate.cuts(log, inode, options.cuts, choice, folder / "cut"), 1):
            print(f"\r{number} of {options.cuts} cuts", end="", file=sys.stderr, flush=True)
            if options.keep is not None:
                shutil.rmtree(folder / "before", ignore_errors=True)
                shutil.copytree(folder / "cut", folder / "before")
            broken = scenario.check(folder / "cut" / "home", repository, cut.promises, scratch)
            counts[f"{cut.rest}: {'broken' if broken else 'well'}"] += 1
            for line in broken:
                print(f"cut at {cut.moment}, {cut.rest}, after {len(cut.promises)} calls: {line}", flush=True)
            if broken and options.keep is not None:
                shutil.copytree(folder / "before", options.keep / f"{cut.moment}-{cut.rest}", dirs_exist_ok=True)
        print(file=sys.stderr)
        print(f"{options.cuts} cuts in {time.monotonic() - began:.0f} s: {dict(sorted(counts.items()))}")
    return int(any("broken" in key for key in counts))


if __name__ == "__main__":
    sys.exit(main())
