"""A service on loopback that answers as OpenAI's embeddings do, by hashing words: near texts have near vectors."""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

DIMENSIONS = 48
ALIKE = {"sum": "add", "total": "add", "plus": "add", "gather": "add"}  # what words alone do not tell


def vector(text: str) -> list[float]:
    made = [0.0] * DIMENSIONS
    for word in re.findall(r"[a-z]+", text.lower()):
        digest = hashlib.sha256(ALIKE.get(word, word).encode()).digest()
        for at in range(6):
            made[digest[at] % DIMENSIONS] += 1.0 if digest[at + 6] % 2 else -1.0
    return made


@dataclass
class Service:
    url: str
    requests: list[dict[str, Any]] = field(default_factory=list)
    keys: list[str | None] = field(default_factory=list)
    fails: int = 0  # of the next requests, with 503
    status: int = 0  # of all answers, where set
    dimensions: int = DIMENSIONS


@contextmanager
def serving() -> Iterator[Service]:
    service = Service("")

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            service.requests.append({"path": self.path, **body})
            service.keys.append(self.headers.get("Authorization"))
            if service.fails or service.status:
                service.fails = max(service.fails - 1, 0)
                self.send_error(service.status or 503)
                return
            rows = [
                {"index": i, "embedding": vector(text)[: service.dimensions]} for i, text in enumerate(body["input"])
            ]
            answer = json.dumps({"data": rows[::-1]}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *arguments: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    service.url = f"http://127.0.0.1:{server.server_port}/v1"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield service
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
