"""Power cuts, simulated: record what a real run writes, then keep only what the disk had to keep.

`recording` runs a program with `record.c` preloaded and reads what it recorded; `disk` says what may
lie on the disk after a cut at any point of it; `scenario` is the run, and what must hold afterwards.
"""
