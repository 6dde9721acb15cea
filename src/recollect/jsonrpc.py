"""JSON-RPC 2.0 as clients really send it: one message or one batch per line. Standard library only.

The pump and the daemon parse the same lines with this module, so they agree on which answers a line is owed:
one for each request, one for each thing that is no message, none for notifications and responses.
"""

from __future__ import annotations

import json
import math
import re

TYPE_CHECKING = False  # as in `recollect`
if TYPE_CHECKING:
    from typing import Any, Final

PARSE_ERROR: Final = -32700
INVALID_REQUEST: Final = -32600
INVALID_PARAMS: Final = -32602
NO_ID: Final = "null"  # the key of an answer to something whose id cannot be told
MOST_IN_BATCH: Final = 1_000
_MOST_NESTED: Final = 200  # far below the limit of the parser, which differs with the depth of the caller's stack
_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"
_STRING = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)


class Message:
    """One message of a line. `key` is the id as JSON text: of a request, or of what `error` answers."""

    __slots__ = ("body", "error", "key", "kind")

    def __init__(self, kind: str, body: dict[str, Any], key: str | None = None, error: Any = None) -> None:
        self.kind = kind  # request, notification, response or invalid
        self.body = body
        self.key = key
        self.error: dict[str, Any] | None = error

    @property
    def params(self) -> dict[str, Any]:
        params = self.body.get("params")
        return params if isinstance(params, dict) else {}


def parse(line: bytes) -> tuple[list[Message], bool]:
    """The messages of a line, and whether they are a batch, which is answered by one array."""
    text = line.strip().removeprefix(_BYTE_ORDER_MARK).decode("utf-8", "replace")
    if _is_too_deep(text):
        return [_invalid(PARSE_ERROR, f"Parse error: nested more than {_MOST_NESTED} levels deep")], False
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        return [_invalid(PARSE_ERROR, f"Parse error: this line is not JSON ({str(error)[:100]})")], False
    if not isinstance(value, list):
        return [_message(value)], False
    if not value:
        return [_invalid(INVALID_REQUEST, "Invalid request: the batch is empty")], False
    if len(value) > MOST_IN_BATCH:
        said = f"Invalid request: a batch holds at most {MOST_IN_BATCH} messages, this one has {len(value)}"
        return [_invalid(INVALID_REQUEST, said)], False
    return [_message(item) for item in value], True


def is_blank(line: bytes) -> bool:
    """Whether a line holds nothing: it is skipped."""
    return not line.strip().removeprefix(_BYTE_ORDER_MARK).strip()


def key_of(identity: Any) -> str | None:
    """The id of a request as JSON text; None where it cannot be one."""
    if isinstance(identity, float):
        return json.dumps(identity) if math.isfinite(identity) else None
    if isinstance(identity, int | str) and not isinstance(identity, bool):
        return json.dumps(identity)
    return None


def owed(messages: list[Message]) -> list[str]:
    """The keys of the answers that these messages get."""
    return [message.key for message in messages if message.key is not None and message.kind != "response"]


def response(key: str, *, result: str | None = None, error: dict[str, Any] | None = None) -> str:
    """The text of an answer. `key` and `result` are JSON text."""
    if error is not None:
        return f'{{"jsonrpc":"2.0","id":{key},"error":{json.dumps(error)}}}'
    return f'{{"jsonrpc":"2.0","id":{key},"result":{result}}}'


def _message(item: Any) -> Message:
    if not isinstance(item, dict):
        return _invalid(INVALID_REQUEST, "Invalid request: a message is a JSON object")
    key = key_of(item.get("id"))
    if "method" not in item:
        if "result" in item or "error" in item:
            return Message("response", item, key)  # never answered, however odd it is
        return _invalid(INVALID_REQUEST, "Invalid request: it has no method", key)
    is_request = "id" in item
    if not isinstance(item["method"], str):
        return _invalid(INVALID_REQUEST, "Invalid request: its method is not a string", key)
    if item.get("jsonrpc") != "2.0":
        fault = _invalid(INVALID_REQUEST, 'Invalid request: it lacks "jsonrpc": "2.0"', key)
        return fault if is_request else Message("notification", {})
    if is_request and key is None:
        return _invalid(INVALID_REQUEST, "Invalid request: its id is neither a string nor a number")
    item = _with_objects(item)
    if not isinstance(item.get("params", {}), dict | None):
        if is_request:
            return _invalid(INVALID_PARAMS, "Invalid params: they are not a JSON object", key)
        return Message("notification", {})
    return Message("request" if is_request else "notification", item, key if is_request else None)


def _with_objects(item: dict[str, Any]) -> dict[str, Any]:
    """A message in which `[]`, as which some languages write an empty object, is one; arguments may be JSON text."""
    params = item.get("params")
    if params == []:
        return {**item, "params": {}}
    if item["method"] != "tools/call" or not isinstance(params, dict):
        return item
    arguments = params.get("arguments")
    if isinstance(arguments, str):
        try:
            arguments = json.loads(arguments) if arguments.strip() else {}
        except (ValueError, RecursionError):
            return item
    if arguments == []:
        arguments = {}
    return {**item, "params": {**params, "arguments": arguments}} if isinstance(arguments, dict) else item


def _invalid(code: int, message: str, key: str | None = None) -> Message:
    return Message("invalid", {}, key or NO_ID, {"code": code, "message": message})


def _is_too_deep(text: str) -> bool:
    if text.count("[") + text.count("{") <= _MOST_NESTED:
        return False
    depth = 0
    for bracket in re.finditer(r"[\[{\]}]", _STRING.sub("", text)):
        depth += 1 if bracket[0] in "[{" else -1
        if depth > _MOST_NESTED:
            return True
    return False
