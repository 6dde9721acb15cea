"""`python -m training.pack WORK TABLE.npy… [--out FOLDER]`: rows as int8 with a scale each, and the vocabulary, as they are shipped.

Several tables, trained from the same beginning, are averaged (Wortsman et al., 2022, "Model soups"): on average better than each.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

PACKAGED = Path(__file__).resolve().parent.parent / "src" / "recollect" / "index" / "model"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m training.pack", description=__doc__)
    parser.add_argument("work", type=Path)
    parser.add_argument("table", type=Path, nargs="+")
    parser.add_argument("--out", dest="folder", type=Path, default=PACKAGED)
    given = parser.parse_args()
    tables = [np.load(path).astype(np.float32) for path in given.table]
    table = np.mean([one / np.linalg.norm(one, axis=1).mean() for one in tables], axis=0)
    scale = (np.abs(table).max(axis=1, keepdims=True) / 127).astype(np.float16).astype(np.float32)
    rows = np.clip(np.rint(table / np.maximum(scale, 1e-9)), -127, 127).astype(np.int8)
    given.folder.mkdir(parents=True, exist_ok=True)
    np.save(given.folder / "rows.npy", rows)
    np.save(given.folder / "scale.npy", scale[:, 0])
    (given.folder / "vocabulary.txt").write_text((given.work / "vocabulary.txt").read_text("utf-8"), "utf-8")
    size = sum(path.stat().st_size for path in given.folder.iterdir())
    print(f"{len(rows)} words x {rows.shape[1]}, {size / 1e6:.1f} MB, in {given.folder}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
