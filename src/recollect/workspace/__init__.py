"""The use-cases, and the only door to everything below: what command line, agents and Python all call."""

from recollect.workspace.places import Caller
from recollect.workspace.workspace import Workspace

__all__ = ["Caller", "Workspace"]
