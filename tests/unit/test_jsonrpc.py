"""What a line of a client is, and which answers it is owed."""

from __future__ import annotations

import json
from typing import Any

import pytest

from recollect import jsonrpc


def request(identity: Any = 1, method: Any = "ping", **more: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": identity, "method": method, **more}


@pytest.mark.parametrize("identity", [0, 1, -1, 2**70, 1.5, 1.0, "", "a", "\ud800", "7", 'quo"te'])
def test_the_id_of_a_request_is_kept_as_it_is(identity: Any) -> None:
    (message,), is_batch = jsonrpc.parse(json.dumps(request(identity)).encode())
    assert (message.kind, is_batch, message.error) == ("request", False, None)
    assert json.loads(jsonrpc.response(str(message.key), result="{}"))["id"] == identity


@pytest.mark.parametrize("identity", [None, True, [1], {"a": 1}])
def test_what_cannot_be_an_id_is_answered_without_one(identity: Any) -> None:
    (message,), _ = jsonrpc.parse(json.dumps(request(identity)).encode())
    assert (message.kind, message.key) == ("invalid", "null")
    assert message.error is not None
    assert message.error["code"] == -32600


@pytest.mark.parametrize(
    ("line", "code", "key"),
    [
        (b"no JSON", -32700, "null"),
        (b'{"jsonrpc": "2.0", "id": 1, "method": ', -32700, "null"),
        (b'{"jsonrpc":"2.0","id":1e999,"method":"ping"}', -32600, "null"),
        (b'{"jsonrpc":"2.0","id":' + b"1" * 5000 + b',"method":"ping"}', -32700, "null"),
        (b"[" * 100_000, -32700, "null"),
        (b'{"jsonrpc":"2.0","id":1,"method":"ping","params":{"a":' + b"[" * 300 + b"]" * 300 + b"}}", -32700, "null"),
        (b"1", -32600, "null"),
        (b'"text"', -32600, "null"),
        (b"null", -32600, "null"),
        (b"[]", -32600, "null"),
        (b"{}", -32600, "null"),
        (b'{"jsonrpc":"2.0","id":3}', -32600, "3"),
        (b'{"id":3,"method":"ping"}', -32600, "3"),
        (b'{"jsonrpc":"1.0","id":3,"method":"ping"}', -32600, "3"),
        (b'{"jsonrpc":"2.0","id":"x","method":5}', -32600, '"x"'),
        (b'{"jsonrpc":"2.0","method":1,"params":"bar"}', -32600, "null"),
        (b'{"jsonrpc":"2.0","id":3,"method":"ping","params":[1]}', -32602, "3"),
        (b'{"jsonrpc":"2.0","id":3,"method":"ping","params":"x"}', -32602, "3"),
        (b"[" + b"1," * 1000 + b"1]", -32600, "null"),
    ],
)
def test_what_is_no_request_is_owed_one_error(line: bytes, code: int, key: str) -> None:
    messages, is_batch = jsonrpc.parse(line)
    assert not is_batch
    assert jsonrpc.owed(messages) == [key]
    assert messages[0].error is not None
    assert messages[0].error["code"] == code
    assert json.loads(jsonrpc.response(key, error=messages[0].error))["error"]["code"] == code


@pytest.mark.parametrize(
    "message",
    [
        {"jsonrpc": "2.0", "method": "notifications/initialized"},
        {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": [1]},
        {"method": "notifications/initialized"},
        {"jsonrpc": "2.0", "id": 1, "result": {}},
        {"jsonrpc": "2.0", "id": None, "error": {"code": -32700, "message": "what?"}},
        {"id": True, "result": 5},
    ],
)
def test_notifications_and_answers_are_owed_nothing(message: dict[str, Any]) -> None:
    messages, _ = jsonrpc.parse(json.dumps(message).encode())
    assert jsonrpc.owed(messages) == []


@pytest.mark.parametrize(("before", "after"), [(b"\xef\xbb\xbf", b"\n"), (b"", b"\r\n"), (b" \t", b" \r\n")])
def test_marks_and_spaces_around_a_message_are_no_part_of_it(before: bytes, after: bytes) -> None:
    (message,), _ = jsonrpc.parse(before + json.dumps(request()).encode() + after)
    assert message.kind == "request"


@pytest.mark.parametrize("line", [b"\n", b"\r\n", b"  \t\n", b"\xef\xbb\xbf\r\n"])
def test_a_blank_line_holds_nothing(line: bytes) -> None:
    assert jsonrpc.is_blank(line)


def test_brackets_in_texts_are_no_nesting() -> None:
    code = 'f("[{' * 500 + "\\"
    (message,), _ = jsonrpc.parse(json.dumps(request(params={"text": code})).encode())
    assert message.params == {"text": code}


def test_each_message_of_a_batch_is_judged_by_itself() -> None:
    batch = [request(1), {"jsonrpc": "2.0", "method": "n"}, 1, [], request(1), {"foo": "bar"}, request("1", 5)]
    messages, is_batch = jsonrpc.parse(json.dumps(batch).encode())
    assert is_batch
    assert jsonrpc.owed(messages) == ["1", "null", "null", "1", "null", '"1"']
