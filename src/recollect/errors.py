"""Every failure a caller may see: a small tree, each with a code, an exit code, and whether trying again can help."""

from __future__ import annotations

import re

from recollect import escape

TYPE_CHECKING = False  # as in `recollect`
if TYPE_CHECKING:
    from typing import Any, ClassVar

_LONGEST = 1_500  # characters of a message or a hint, which may repeat what a caller sent
_END = 300  # of these, which say what is wrong with it
_URL_CREDENTIALS = re.compile(r"(?i)\b([a-z][a-z0-9+.-]*://)[^/\s@]+@")


def without_credentials(text: str) -> str:
    """Cut user names, passwords and tokens out of every URL in `text` (git's output, messages, logs)."""
    return _URL_CREDENTIALS.sub(r"\1", text)


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - _END]} … {text[-_END:]}"


class RecollectError(Exception):
    """A bug of ours, unless a subclass says otherwise."""

    code: str = "internal"
    exit_code: ClassVar[int] = 3
    retry: ClassVar[bool] = False

    def __init__(
        self,
        message: str | None = None,
        *,
        hint: str = "",
        code: str | None = None,
        call: dict[str, Any] | None = None,
    ) -> None:
        """`hint`: what to do now; `call`: the call that does it (`recollect.calls`), which each surface spells."""
        said = message if message is not None else (type(self).__doc__ or "").strip()
        # It names files, URLs, branches: others chose them.
        self.message = escape.line(_short(without_credentials(said)))
        self.hint = escape.line(_short(hint))
        self.call = call
        if code is not None:
            self.code = code
        super().__init__(self.message)

    def to_dict(self) -> dict[str, Any]:
        """`{code, message, hint, exit_code, retry, call?}`: the shape that crosses the socket and reaches agents."""
        shape = {
            "code": self.code,
            "message": self.message,
            "hint": self.hint,
            "exit_code": self.exit_code,
            "retry": self.retry,
        }
        return shape if self.call is None else {**shape, "call": self.call}


class UserError(RecollectError):
    """The request cannot be understood or names something that does not exist."""

    code = "invalid_request"
    exit_code = 2


class Unavailable(RecollectError):
    """Not possible at the moment; the same request may succeed later."""

    code = "unavailable"
    exit_code = 4
    retry = True


class AlreadyRunning(Unavailable):
    """Another process owns this data directory."""

    code = "already_running"


class Refused(RecollectError):
    """Understood, and not allowed."""

    code = "refused"
    exit_code = 5


class Corrupt(RecollectError):
    """Stored data is damaged; it is being rebuilt."""

    folder: Any = None  # of the index that is damaged, where that is known
    code = "corrupt"
    exit_code = 6
    retry = True


class Cancelled(RecollectError):
    """Stopped because somebody asked for it."""

    code = "cancelled"
    exit_code = 130


_BY_EXIT_CODE: dict[int, type[RecollectError]] = {
    cls.exit_code: cls for cls in (RecollectError, UserError, Unavailable, Refused, Corrupt, Cancelled)
}


def from_dict(error: dict[str, Any]) -> RecollectError:
    """The exception that `to_dict` described, on the other side of a socket."""
    cls = _BY_EXIT_CODE.get(int(error.get("exit_code", 3)), RecollectError)
    return cls(
        str(error.get("message", "")),
        hint=str(error.get("hint", "")),
        code=str(error.get("code", cls.code)),
        call=error.get("call"),
    )
