"""Messages between our own processes: pickles with a length in front, over a pair of sockets.

Both ends are this program, started by it; nothing else can reach the sockets, so unpickling is safe.
"""

from __future__ import annotations

import contextlib
import pickle
import socket
import threading
from typing import Any


class Pipe:
    """One end. `send` from any thread, `receive` from one."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._reader = connection.makefile("rb", buffering=1 << 18)
        self._sending = threading.Lock()

    def send(self, message: Any) -> None:
        """Raises OSError where the other end is gone."""
        block = pickle.dumps(message, protocol=pickle.HIGHEST_PROTOCOL)
        with self._sending:
            self._connection.sendall(len(block).to_bytes(8, "little") + block)

    def receive(self) -> Any:
        """The next message. Raises EOFError where the other end is gone."""
        try:
            header = self._reader.read(8)
            size = int.from_bytes(header, "little")
            block = self._reader.read(size) if len(header) == 8 else b""
        except OSError as error:
            raise EOFError from error
        if len(header) < 8 or len(block) < size:
            raise EOFError
        return pickle.loads(block)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._connection.shutdown(socket.SHUT_RDWR)
        self._connection.close()
