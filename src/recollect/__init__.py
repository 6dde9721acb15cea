"""Recollect: sight and memory for coding agents.

`from recollect.workspace import Workspace` is the door for Python; importing this package alone costs nothing.
"""

__version__ = "0.1.0"
