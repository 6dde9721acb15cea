"""The public MCP conformance suite against `/mcp`: the scenarios that apply to a server of tools.

`python -m benchmarks.conformance` (needs Node 22 and npx, which fetches the suite) or `--suite PATH/dist/index.js`. The suite sends no
token, so a proxy on loopback adds it and hands all else on as it is. Exit code 1 where a scenario fails.
"""

from __future__ import annotations

import argparse
import http.client
import os
import subprocess
import sys
import tempfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from recollect.client import Connection

SUITE = "@modelcontextprotocol/conformance@0.1.16"
SCENARIOS = (
    "server-initialize",
    "ping",
    "tools-list",
    "tools-call-error",
    "server-sse-multiple-streams",
    "dns-rebinding-protection",
)


def proxy(port: int, token: str) -> ThreadingHTTPServer:
    """Adds the token; its own address in Host and Origin becomes that of the server."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            pass

        def _hand_on(self) -> None:
            own = self.server.server_address[1]
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
            connection.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                if name.lower() in ("host", "origin"):
                    for host in (f"localhost:{own}", f"127.0.0.1:{own}"):
                        value = value.replace(host, f"127.0.0.1:{port}")
                if name.lower() != "connection":
                    connection.putheader(name, value)
            connection.putheader("authorization", f"Bearer {token}")
            connection.endheaders(body or None)
            answer = connection.getresponse()
            self.send_response(answer.status)
            for name, value in answer.getheaders():
                if name.lower() not in ("transfer-encoding", "connection", "content-length"):
                    self.send_header(name, value)
            self.send_header("connection", "close")
            self.end_headers()
            while part := answer.read1(65536):
                self.wfile.write(part)
                self.wfile.flush()
            self.close_connection = True

        do_GET = do_POST = do_DELETE = do_OPTIONS = _hand_on

    return ThreadingHTTPServer(("127.0.0.1", 0), Handler)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--suite", help="index.js of the suite, where it is installed already")
    given = parser.parse_args()
    program: list[str] = ["node", given.suite] if given.suite else ["npx", "--yes", SUITE]
    failed: list[str] = []
    with tempfile.TemporaryDirectory(prefix="rf-") as folder:
        os.environ["RECOLLECT_HOME"] = folder
        with Connection() as daemon:
            served: dict[str, Any] = daemon.call("web", {})
            handing_on = proxy(served["port"], (Path(folder) / "run" / "token").read_text().strip())
            threading.Thread(target=handing_on.serve_forever, daemon=True).start()
            url = f"http://localhost:{handing_on.server_address[1]}/mcp"
            for scenario in SCENARIOS:
                command = [*program, "server", "--url", url, "--scenario", scenario]
                done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
                print(f"{scenario}: {'passed' if done.returncode == 0 else 'FAILED'}", flush=True)
                if done.returncode:
                    failed.append(scenario)
                    print(done.stdout[-2000:], done.stderr[-1000:])
            handing_on.shutdown()
            daemon.call("stop", {})
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
