"""The check of what reaches a model (`benchmarks.agents`): how it judges, and that its model speaks every protocol."""

from __future__ import annotations

import json
from typing import Any

import pytest
from benchmarks.agents import verdict
from benchmarks.agents.clients import CLIENTS
from benchmarks.agents.model import PROTOCOLS, Call, Conversation, Protocol, Request, Tool, ToolUse, text_of
from benchmarks.agents.verdict import Form, Verdict
from benchmarks.agents.wire import Exchange

TEXT = (
    'shop/cart.py:10-20 Cart.total (method)\n10\tdef total(self):\n11\t    return sum("price" in x for x in self.items)'
)
SHAPE = {
    "query": "total",
    "hits": [{"path": "shop/cart.py", "start_line": 10, "snippet": "def total(self):\n    pass"}],
}


def answer(text: str = TEXT, structured: Any = None, is_error: bool = False) -> Exchange:
    result: dict[str, Any] = {"content": [{"type": "text", "text": text}], "isError": is_error}
    return Exchange("search_code", result if structured is None else {**result, "structuredContent": structured})


def judge(told: str | None, exchange: Exchange | None, **options: bool) -> Verdict:
    return verdict.judge(Call("a call", "search_code", {}, **options), told, exchange)


def as_json(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))


@pytest.mark.parametrize(
    ("told", "form"),
    [
        (TEXT, Form.TEXT),
        (f"Wall time: 0.1 seconds\nOutput:\n{TEXT}\n", Form.TEXT),
        (as_json({"content": [{"type": "text", "text": TEXT}]}), Form.QUOTED),
        (json.dumps({"result": as_json({"content": [{"type": "text", "text": TEXT}]})}), Form.QUOTED),
        (as_json(SHAPE), Form.JSON),
        (json.dumps(SHAPE, indent=2, sort_keys=True), Form.JSON),
        (f"{TEXT}\n{as_json(SHAPE)}", Form.BOTH),
        (as_json({"content": [{"type": "text", "text": TEXT}], "structuredContent": SHAPE}), Form.BOTH),
        ("Something else altogether.", Form.LOST),
    ],
)
def test_the_form_in_which_an_answer_arrives_is_recognised(told: str, form: Form) -> None:
    assert judge(told, answer(structured=SHAPE)).form is form


def test_numbers_are_the_same_however_a_language_writes_them() -> None:
    structured = {"took_ms": 3.0, "score": [1.0, 0.5]}
    assert judge('{"took_ms":3,"score":[1,0.5]}', answer(structured=structured)).form is Form.JSON


def test_only_text_that_arrives_alone_is_good() -> None:
    exchange = answer(structured=SHAPE)
    assert not judge(TEXT, exchange).is_bad
    assert not judge(as_json(TEXT), exchange).is_bad
    assert judge(as_json(SHAPE), exchange).is_bad
    assert judge(TEXT + as_json(SHAPE), exchange).is_bad
    assert judge(None, None).is_bad


def test_an_error_or_a_refusal_is_good_only_where_the_call_is_a_mistake() -> None:
    error = answer("limit is no number", is_error=True)
    assert judge("limit is no number", error).is_bad
    assert judge("limit is no number", error, loose=True).is_bad
    assert not judge("limit is no number", error, mistaken=True).is_bad
    assert judge("params/limit must be integer", None).is_bad
    assert not judge("params/limit must be integer", None, mistaken=True).is_bad
    assert not judge("params/limit must be integer", None, loose=True).is_bad


def test_json_that_is_the_servers_own_text_is_text() -> None:
    assert judge(as_json(SHAPE), answer(as_json(SHAPE), SHAPE)).form is Form.TEXT


def test_an_answer_that_is_cut_is_known_by_its_beginning() -> None:
    long = "\n".join(f"{number}\tline of a long answer" for number in range(2000))
    cut = judge(f"{long[:3000]}\n… tokens truncated …\n{long[-3000:]}", answer(long))
    assert (cut.form, cut.cut, cut.is_bad) == (Form.TEXT, True, False)
    assert cut.tokens < cut.own_tokens
    assert str(cut) == "text, cut"
    quoted = judge(as_json([{"type": "text", "text": long}])[:2000], answer(long))
    assert (quoted.form, quoted.cut) == (Form.QUOTED, True)
    gone = judge("The output was saved to a file.", answer(long))
    assert (str(gone), gone.is_bad) == ("cut to nothing", False)


def test_an_error_counts_as_read_only_if_what_the_server_said_is_there() -> None:
    error = answer("no repository is called nowhere\nlist_repositories names them", {"code": "unknown"}, is_error=True)
    assert not judge("no repository is called nowhere\nlist_repositories names them", error, mistaken=True).is_bad
    mismatch = "MCP error -32602: Structured content does not match the tool's output schema"
    unreadable = judge(mismatch, error, mistaken=True)
    assert (str(unreadable), unreadable.is_bad) == ("error unreadable", True)


def test_what_the_client_refuses_or_does_not_wait_for_is_told_apart() -> None:
    assert judge("params/limit must be integer", None).form is Form.REFUSED
    assert judge("MCP error -32001: Request timed out", Exchange("search_code")).form is Form.GIVEN_UP
    assert judge(None, None).form is Form.MISSING


def test_the_ratio_counts_what_the_model_pays_for_one_token_of_ours() -> None:
    assert judge(TEXT * 3, answer()).ratio == pytest.approx(3, abs=0.1)
    assert judge("refused", None).ratio is None


# -- the model --------------------------------------------------------------------------------------------------------

CALLS = (
    Call("search", "search_code", {"query": "x"}),
    Call("read", "read_code", {"path": "a.py"}),
)


def conversation(results: dict[str, str], **options: Any) -> Conversation:
    return Conversation(
        CALLS, "mcp__recollect__{}".format, lambda call, text: results.update({call.label: text}), **options
    )


def offering(*names: str, namespace: str | None = None, **results: str) -> Request:
    return Request([Tool(name, namespace, {"name": name}) for name in names], results)


def test_the_model_makes_its_calls_in_order_and_keeps_what_each_gave() -> None:
    results: dict[str, str] = {}
    model = conversation(results)
    tools = ("Bash", "mcp__recollect__search_code", "mcp__recollect__read_code")
    first = model.answer(offering(*tools))
    assert first == ToolUse("call_0", "mcp__recollect__search_code", None, {"query": "x"})
    second = model.answer(offering(*tools, call_0="found"))
    assert second == ToolUse("call_1", "mcp__recollect__read_code", None, {"path": "a.py"})
    assert model.answer(offering(*tools, call_0="found", call_1="read")) is None
    assert results == {"search": "found", "read": "read"}


def test_a_request_that_comes_again_gets_the_same_call_again() -> None:
    model = conversation({})
    assert model.answer(offering("search_code")) == model.answer(offering("search_code"))


def test_a_request_without_tools_is_no_part_of_the_conversation() -> None:
    model = conversation({})
    assert model.answer(Request([], {})) is None
    assert model.answer(offering("search_code")) is not None


def test_the_servers_tool_is_preferred_to_one_of_the_client_that_is_called_alike() -> None:
    model = conversation({})
    use = model.answer(Request([Tool("search_code", None, {}), Tool("search_code", "mcp__recollect", {})], {}))
    assert use is not None
    assert use.namespace == "mcp__recollect"
    unknown = conversation({}).answer(offering("Bash"))
    assert unknown is not None
    assert unknown.name == "mcp__recollect__search_code"


@pytest.mark.parametrize(
    ("packed", "text"),
    [
        ("plain", "plain"),
        ([{"type": "text", "text": "one"}, {"type": "text", "text": "two"}], "one\ntwo"),
        ({"output": "from Gemini"}, "from Gemini"),
        ({"error": "an error"}, "an error"),
        ({"output": [{"type": "input_text", "text": "from Codex"}], "success": True}, "from Codex"),
        ({"hits": []}, '{"hits": []}'),
        (None, ""),
    ],
)
def test_a_result_is_read_however_it_is_packed(packed: Any, text: str) -> None:
    assert text_of(packed) == text


def protocol(path: str) -> Protocol:
    return next(known for ending, known in PROTOCOLS.items() if ending.search(path))


REQUESTS = {
    "/v1/messages": {
        "tools": [{"name": "search_code", "input_schema": {}}],
        "messages": [
            {"role": "user", "content": "go"},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "call_0", "content": "found"}]},
        ],
    },
    "/v1/chat/completions": {
        "tools": [{"type": "function", "function": {"name": "search_code"}}],
        "messages": [{"role": "tool", "tool_call_id": "call_0", "content": "found"}],
    },
    "/v1/responses": {
        "tools": [{"type": "namespace", "name": "mcp__recollect", "tools": [{"name": "search_code"}]}],
        "input": [{"type": "function_call_output", "call_id": "call_0", "output": "found"}],
    },
    "/v1beta/models/some:streamGenerateContent": {
        "tools": [{"functionDeclarations": [{"name": "search_code"}]}],
        "contents": [{"parts": [{"functionResponse": {"name": "search_code", "response": {"output": "found"}}}]}],
    },
}


@pytest.mark.parametrize("path", REQUESTS)
def test_every_protocol_reads_tools_and_results_and_says_the_same_in_one_piece_as_in_events(path: str) -> None:
    spoken = protocol(path)
    request = spoken.read(json.loads(json.dumps(REQUESTS[path])))
    assert [tool.name for tool in request.tools] == ["search_code"]
    assert request.results == {"call_0": "found"}
    for use in (ToolUse("call_1", "search_code", None, {"query": "carts"}), None):
        reply = spoken.reply(use)
        for text in (json.dumps(reply), json.dumps([data for _, data in spoken.events(reply)])):
            assert ("carts" in text) == ("search_code" in text) == (use is not None)
            assert ("Done." in text) == (use is None)


def test_every_client_calls_a_tool_of_ours_by_a_name_that_tells_the_server() -> None:
    assert all("recollect" in client.tool("search_code") for client in CLIENTS if client.program)
    assert len({client.name for client in CLIENTS}) == len(CLIENTS)
