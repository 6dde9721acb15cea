"""Exchanges two names again and again, as fast as it can, until it is ended: `python exchanger.py ONE OTHER`."""

from __future__ import annotations

import ctypes
import os
import sys


def main() -> None:
    one, other = map(os.fsencode, sys.argv[1:3])
    renameat2 = ctypes.CDLL(None, use_errno=True).renameat2
    parent = os.getppid()
    print("ready", flush=True)
    turns = 0
    while turns % 1024 or os.getppid() == parent:
        renameat2(-100, one, -100, other, 2)  # of the current folder; RENAME_EXCHANGE
        turns += 1


if __name__ == "__main__":
    main()
