"""The command line: arguments → the daemon's socket → text or --json. It decides nothing."""

from __future__ import annotations

import io
import json
import os
import sys
import traceback

from typer.exceptions import Abort, Exit, TyperException

from recollect import escape
from recollect.errors import RecollectError
from recollect.home import home_directory, run_folder
from recollect.private import opener


def run(arguments: list[str] | None = None) -> int:
    """Run a command; the exit code. The one place that turns failures into exit codes and messages."""
    from recollect.cli.app import app

    given = sys.argv[1:] if arguments is None else arguments
    try:
        code = app(given, standalone_mode=False, prog_name="recollect")
        sys.stdout.flush()
        return code if isinstance(code, int) else 0
    except RecollectError as error:
        return _said(error, "--json" in given)
    except Exit as ended:
        return ended.exit_code
    except TyperException as error:
        return _misused(error)
    except (KeyboardInterrupt, Abort):
        sys.stderr.write("interrupted\n")
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # the reader (head, less) has enough
        return 0
    except Exception:
        return _our_bug()


def _said(error: RecollectError, as_json: bool) -> int:
    if as_json:
        sys.stdout.write(json.dumps({"error": error.to_dict()}) + "\n")
    from recollect.calls import as_command, told
    from recollect.cli.output import note

    note(f"recollect: {error.message}")
    if said := told(error.hint, error.call, as_command):
        note(said)
    return error.exit_code


def _misused(error: TyperException) -> int:
    """Say what is wrong with the arguments, on lines of our own: arguments may hold what others wrote."""
    error.message = escape.line(error.message)
    show = getattr(error, "show", None)  # usage errors print their command's usage too
    if show is None:
        sys.stderr.write(f"recollect: {error.message}\n")
        return 2
    said = io.StringIO()
    show(file=said)
    sys.stderr.write(escape.block(said.getvalue()))
    return 2


def _our_bug() -> int:
    try:
        path = run_folder(home_directory()) / "crash.log"
        with open(path, "w", opener=opener) as file:
            file.write(f"recollect {' '.join(sys.argv[1:])}\n{traceback.format_exc()}")
        place = f"details: {escape.line(str(path))}"
    except (OSError, RecollectError):
        place = escape.block(traceback.format_exc())
    sys.stderr.write(f"recollect: this is a bug of ours; {place}\n")
    return 3
