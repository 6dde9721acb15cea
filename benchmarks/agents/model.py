"""A language model that is made up: it asks for one tool call after another and keeps what it is told in return.

It speaks the protocols that coding agents speak with their makers' services, each with and without streaming: Anthropic
messages, OpenAI responses and chat completions, and Gemini's generateContent.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

Body = dict[str, Any]


@dataclass(frozen=True)
class Call:
    """A tool call that the model is to make.

    `raw`: `tool` is the client's own tool, named as it stands. `mistaken`: an error is the right answer. `loose`: its
    arguments do not fit the published schema, though the server understands them; the client may refuse to send it.
    """

    label: str
    tool: str
    arguments: Mapping[str, Any] | str
    raw: bool = False
    mistaken: bool = False
    loose: bool = False


class Tool(NamedTuple):
    """A tool as a client offers it to its model."""

    name: str
    namespace: str | None
    definition: Body


class ToolUse(NamedTuple):
    """A call as the model makes it."""

    id: str
    name: str
    namespace: str | None
    arguments: Mapping[str, Any] | str


class Request(NamedTuple):
    """What a client sends to its model: the tools it offers and the results so far, by the id of their call."""

    tools: list[Tool]
    results: dict[str, str]


@dataclass
class Conversation:
    """The calls to make, in order, and the text that came back for each.

    `find` names a client's tool for one of the server's where the client did not offer it by a name that tells.
    `on_start()` is called before the first call, `on_result(call, text)` once for each result.
    """

    calls: Sequence[Call]
    find: Callable[[str], str]
    on_result: Callable[[Call, str], None]
    on_start: Callable[[], None] = lambda: None
    script: Callable[[Call], str] | None = None  # for clients whose tools are called from a program
    offered: dict[tuple[str | None, str], Tool] = field(default_factory=dict)
    requests: int = 0
    _next: int = -1
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def answer(self, request: Request) -> ToolUse | None:
        """Return the call to make now, or None when all were made or the request is a side matter, a title say."""
        self.requests += 1
        if not request.tools:
            return None
        with self._lock:
            self.offered.update({(tool.namespace, tool.name): tool for tool in request.tools})
            result = request.results.get(f"call_{self._next}")
            if self._next < 0:
                self.on_start()
                self._next = 0
            elif result is not None and self._next < len(self.calls):
                self.on_result(self.calls[self._next], result)
                self._next += 1
            return self._use() if self._next < len(self.calls) else None

    def server_tools(self, names: Sequence[str]) -> list[Tool]:
        """Return what was offered of the server's tools."""
        return [tool for name in names if (tool := self._offered_as(name)) is not None]

    def _use(self) -> ToolUse:
        call, number = self.calls[self._next], f"call_{self._next}"
        if call.raw:
            return ToolUse(number, call.tool, None, call.arguments)
        if self.script is not None:
            return ToolUse(number, "exec", "functions", self.script(call))
        tool = self._offered_as(call.tool)
        return ToolUse(number, tool.name if tool else self.find(call.tool), tool and tool.namespace, call.arguments)

    def _offered_as(self, name: str) -> Tool | None:
        ending = re.compile(rf"(^|[^a-z]){re.escape(name)}$")
        fitting = [tool for tool in self.offered.values() if ending.search(tool.name)]
        return next((tool for tool in fitting if "recollect" in f"{tool.namespace} {tool.name}"), None) or next(
            (tool for tool in fitting if tool.name == name), None
        )


# -- protocols --------------------------------------------------------------------------------------------------------


class Protocol(NamedTuple):
    """How a request is read, how a reply is written, and into which events (type, data) a reply is cut."""

    read: Callable[[Body], Request]
    reply: Callable[[ToolUse | None], Body]
    events: Callable[[Body], list[tuple[str | None, Body | str]]]


DONE = "Done."


def text_of(content: Any) -> str:
    """Return what the model reads of a tool result, whatever way the protocol packs it."""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "\n".join(text_of(part) for part in content)
    if isinstance(content, dict):
        keys = [key for key in ("text", "content", "output", "error") if isinstance(content.get(key), str | list)]
        if keys and not set(content) - {"type", "text", "content", "output", "error", "success", "annotations"}:
            return text_of(content[keys[0]])
        return json.dumps(content, ensure_ascii=False)
    return "" if content is None else str(content)


def _read_messages(body: Body) -> Request:
    tools = [Tool(tool.get("name", ""), None, tool) for tool in body.get("tools", [])]
    parts = (part for message in body["messages"] for part in message["content"] if isinstance(part, dict))
    return Request(
        tools, {p["tool_use_id"]: text_of(p.get("content")) for p in parts if p.get("type") == "tool_result"}
    )


def _messages_reply(use: ToolUse | None) -> Body:
    block: Body = {"type": "text", "text": DONE}
    if use:
        block = {"type": "tool_use", "id": use.id, "name": use.name, "input": use.arguments}
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "made-up",
        "content": [block],
        "stop_reason": "tool_use" if use else "end_turn",
        "stop_sequence": None,
        "usage": {"input_tokens": 10, "output_tokens": 10},
    }


def _messages_events(reply: Body) -> list[tuple[str | None, Body | str]]:
    block = reply["content"][0]
    start, delta = {**block, "text": ""}, {"type": "text_delta", "text": DONE}
    if block["type"] == "tool_use":
        start, delta = {**block, "input": {}}, {"type": "input_json_delta", "partial_json": json.dumps(block["input"])}
    events: list[Body] = [
        {"type": "message_start", "message": {**reply, "content": [], "stop_reason": None}},
        {"type": "content_block_start", "index": 0, "content_block": start},
        {"type": "content_block_delta", "index": 0, "delta": delta},
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": reply["stop_reason"]}, "usage": reply["usage"]},
        {"type": "message_stop"},
    ]
    return [(event["type"], event) for event in events]


def _read_chat(body: Body) -> Request:
    tools = [Tool(tool["function"]["name"], None, tool["function"]) for tool in body.get("tools") or []]
    messages = [message for message in body["messages"] if message.get("role") == "tool"]
    return Request(tools, {message["tool_call_id"]: text_of(message.get("content")) for message in messages})


def _chat_reply(use: ToolUse | None) -> Body:
    message: Body = {"role": "assistant", "content": None if use else DONE}
    if use:
        function = {"name": use.name, "arguments": json.dumps(use.arguments)}
        message["tool_calls"] = [{"index": 0, "id": use.id, "type": "function", "function": function}]
    return {
        "id": "chat_1",
        "object": "chat.completion",
        "created": 1,
        "model": "made-up",
        "choices": [{"index": 0, "message": message, "finish_reason": "tool_calls" if use else "stop"}],
        "usage": {"prompt_tokens": 10, "completion_tokens": 10, "total_tokens": 20},
    }


def _chat_events(reply: Body) -> list[tuple[str | None, Body | str]]:
    choice, rest = reply["choices"][0], {**reply, "object": "chat.completion.chunk"}
    del rest["usage"]
    chunks: tuple[tuple[Body, str | None], ...] = ((choice["message"], None), ({}, choice["finish_reason"]))
    events: list[tuple[str | None, Body | str]] = [
        (None, {**rest, "choices": [{"index": 0, "delta": delta, "finish_reason": reason}]}) for delta, reason in chunks
    ]
    return [*events, (None, {**rest, "choices": [], "usage": reply["usage"]}), (None, "[DONE]")]


def _read_responses(body: Body) -> Request:
    results, groups = {}, list(body.get("tools") or [])
    for item in body["input"] if isinstance(body.get("input"), list) else []:
        if str(item.get("type")).endswith("_output"):
            results[item["call_id"]] = text_of(item.get("output"))
        if item.get("type") in ("additional_tools", "tool_search_output"):
            groups += item.get("tools", [])
    tools = []
    for group in groups:  # a tool, or a namespace with tools
        name = group.get("name", group.get("type", ""))
        tools += [Tool(inner["name"], name, inner) for inner in group.get("tools", [])] or [Tool(name, None, group)]
    return Request(tools, results)


def _responses_reply(use: ToolUse | None) -> Body:
    item: Body
    if use is None:
        content = [{"type": "output_text", "text": DONE, "annotations": []}]
        item = {"type": "message", "id": "message_1", "role": "assistant", "content": content}
    elif use.name == "tool_search":
        item = {"type": "tool_search_call", "call_id": use.id, "execution": "client", "arguments": use.arguments}
    elif isinstance(use.arguments, str):
        item = {"type": "custom_tool_call", "call_id": use.id, "name": use.name, "input": use.arguments}
    else:
        item = {"type": "function_call", "call_id": use.id, "name": use.name, "arguments": json.dumps(use.arguments)}
    if use and use.namespace:
        item["namespace"] = use.namespace
    usage: Body = {"input_tokens": 10, "output_tokens": 10, "total_tokens": 20}
    usage |= {"input_tokens_details": {"cached_tokens": 0}, "output_tokens_details": {"reasoning_tokens": 0}}
    reply: Body = {"id": "response_1", "object": "response", "created_at": 1, "model": "made-up", "usage": usage}
    return {**reply, "status": "completed", "output": [{**item, "status": "completed"}]}


def _responses_events(reply: Body) -> list[tuple[str | None, Body | str]]:
    events: list[Body] = [
        {"type": "response.created", "response": {**reply, "status": "in_progress", "output": []}},
        {"type": "response.output_item.done", "output_index": 0, "item": reply["output"][0]},
        {"type": "response.completed", "response": reply},
    ]
    return [(event["type"], {**event, "sequence_number": number}) for number, event in enumerate(events)]


def _read_gemini(body: Body) -> Request:
    declared = (tool for group in body.get("tools", []) for tool in group.get("functionDeclarations", []))
    results: dict[str, str] = {}  # they carry no id that could be relied on, but come in the order of their calls
    for content in body.get("contents", []):
        for part in content.get("parts", []):
            if "functionResponse" in part:
                results[f"call_{len(results)}"] = text_of(part["functionResponse"].get("response"))
            elif results and "text" in part and "functionResponse" in content["parts"][0]:
                results[f"call_{len(results) - 1}"] += "\n" + part["text"]
    return Request([Tool(tool["name"], None, tool) for tool in declared], results)


def _gemini_reply(use: ToolUse | None) -> Body:
    part = {"functionCall": {"name": use.name, "args": use.arguments}} if use else {"text": DONE}
    return {
        "candidates": [{"index": 0, "content": {"role": "model", "parts": [part]}, "finishReason": "STOP"}],
        "usageMetadata": {"promptTokenCount": 10, "candidatesTokenCount": 10, "totalTokenCount": 20},
    }


PROTOCOLS = {  # how the path of a request ends → its protocol
    re.compile(r"/messages$"): Protocol(_read_messages, _messages_reply, _messages_events),
    re.compile(r"/chat/completions$"): Protocol(_read_chat, _chat_reply, _chat_events),
    re.compile(r"/responses$"): Protocol(_read_responses, _responses_reply, _responses_events),
    re.compile(r":(streamG|g)enerateContent$"): Protocol(_read_gemini, _gemini_reply, lambda reply: [(None, reply)]),
}


# -- the server -------------------------------------------------------------------------------------------------------


@contextmanager
def serving(conversation: Conversation) -> Iterator[int]:
    """Serve the model on a free port of the loopback device, which is what this gives."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            pass

        def do_GET(self) -> None:
            models = {
                "object": "list",
                "data": [{"id": "made-up", "object": "model", "created": 1, "owned_by": "nobody"}],
            }
            self._send(json.dumps({**models, "models": []}))

        do_HEAD = do_GET

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers.get("content-length") or 0)) or b"{}")
            path = self.path.partition("?")[0]
            protocol = next((known for ending, known in PROTOCOLS.items() if ending.search(path)), None)
            if protocol is None:  # it counts tokens, or reports to its maker
                size = len(json.dumps(body)) // 4
                self._send(json.dumps({"input_tokens": size, "totalTokens": size}))
                return
            reply = protocol.reply(conversation.answer(protocol.read(body)))
            if body.get("stream") or "streamGenerateContent" in path:
                lines = [
                    (f"event: {kind}\n" if kind else "")
                    + f"data: {data if isinstance(data, str) else json.dumps(data)}\n\n"
                    for kind, data in protocol.events(reply)
                ]
                self._send("".join(lines), "text/event-stream")
            else:
                self._send(json.dumps(reply))

        def _send(self, text: str, kind: str = "application/json") -> None:
            self.send_response(200)
            self.send_header("content-type", kind)
            self.send_header("content-length", str(len(text.encode())))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(text.encode())

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: object) -> None:
            pass  # a client that hung up

    with Server(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()
