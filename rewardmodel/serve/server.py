"""The reward server's HTTP: JSON in, JSON out, every error a sentence, and a shutdown that loses no request."""

from __future__ import annotations

import contextlib
import json
import logging
import socket
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from rewardmodel.serve.protocol import Desk, Refusal

log = logging.getLogger(__name__)

READ_SECONDS = 60.0
CONNECTIONS = 1024
PIECE = 2**16


class RewardServer(ThreadingHTTPServer):
    """A thread a connection, at most CONNECTIONS of them; who comes later waits to be accepted."""

    daemon_threads = False  # they are joined: whoever asked gets an answer
    request_queue_size = CONNECTIONS

    def __init__(self, address: tuple[str, int], desk: Desk, *, max_body: int) -> None:
        self.desk, self.max_body = desk, max_body
        self.draining = False
        self._idle: set[socket.socket] = set()
        self._guard = threading.Lock()
        self._free = threading.BoundedSemaphore(CONNECTIONS)
        if ":" in address[0]:
            self.address_family = socket.AF_INET6
        super().__init__(address, Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        while not self._free.acquire(timeout=0.5):
            if self.draining:
                break
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        super().shutdown_request(request)
        with self._guard:
            self._idle.discard(request)
        with contextlib.suppress(ValueError):  # of connections that came in while draining
            self._free.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no error of ours."""
        log.debug("A connection broke.", exc_info=True)

    def busy(self, connection: socket.socket) -> None:
        with self._guard:
            self._idle.discard(connection)

    def idle(self, connection: socket.socket) -> bool:
        """The connection waits for its next request; False if there shall be none."""
        with self._guard:
            if not self.draining:
                self._idle.add(connection)
            return not self.draining

    def drain(self) -> None:
        """Stop listening, answer what has been sent, and return when the last answer is out.

        Not from the thread that runs `serve_forever`.
        """
        self.shutdown()
        self.socket.setblocking(False)
        with contextlib.suppress(BlockingIOError, ConnectionError):
            while True:  # who was connected but not yet accepted has perhaps asked already
                connection, address = self.socket.accept()
                self.process_request(connection, address)
        with self._guard:
            self.draining = True
            for connection in self._idle:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RD)  # what has arrived is still read; what comes later is not
        self.server_close()


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    server: RewardServer
    protocol_version = "HTTP/1.1"
    default_request_version = "HTTP/1.0"  # whoever does not say: an answer without headers helps nobody
    server_version = "Plumbline"
    sys_version = ""
    timeout = READ_SECONDS
    disable_nagle_algorithm = True

    def setup(self) -> None:
        super().setup()
        if not self.server.idle(self.connection):
            self.connection.settimeout(1.0)  # what it has to say must be there already

    def parse_request(self) -> bool:
        self.server.busy(self.connection)
        self.began = time.monotonic()
        return super().parse_request()

    def handle_one_request(self) -> None:
        super().handle_one_request()
        if not self.server.idle(self.connection):
            self.close_connection = True

    def do_GET(self) -> None:
        self._answer({"/health": self._health, "/info": self.server.desk.info})

    def do_POST(self) -> None:
        path = urlsplit(self.path)
        chosen = parse_qs(path.query).get("dimension", [None])[0]
        desk = self.server.desk
        self._answer(
            {
                "/get_reward": lambda: desk.get_reward(self._body(), chosen),
                "/score": lambda: desk.score(self._body()),
            }
        )

    def _health(self) -> dict[str, Any]:
        if self.server.draining:
            raise Refusal(503, "The server is shutting down.")
        return {"status": "ok"}

    def _answer(self, places: dict[str, Callable[[], dict[str, Any]]]) -> None:
        path = urlsplit(self.path).path.rstrip("/")
        other = {"/health", "/info", "/get_reward", "/score"} - places.keys()
        try:
            if path in other:
                raise Refusal(405, f"{path} does not take {self.command}.")
            if path not in places:
                raise Refusal(404, "There is nothing here. Ask /get_reward, /score, /info or /health.")
            self._send(200, places[path]())
        except Refusal as refusal:
            if refusal.__cause__ is not None:
                log.error("%s", refusal, exc_info=refusal.__cause__)
            self._send(refusal.status, {"error": str(refusal)})
        except (ConnectionError, TimeoutError):
            raise
        except Exception as error:  # the last resort: the asker learns that it is not their fault
            log.exception("A request failed.")
            self._send(500, {"error": f"The server failed: {type(error).__name__}."})

    def _body(self) -> Any:
        given = self.headers.get("Content-Length", "")
        if "chunked" in self.headers.get("Transfer-Encoding", "").lower() or not given.isdecimal():
            self.close_connection = True
            raise Refusal(411, "Send the length of the request in Content-Length; chunks are not read.")
        length = int(given)
        if length > self.server.max_body:
            self.close_connection = True
            self._discard(length)
            raise Refusal(413, f"The request has {length} bytes; at most {self.server.max_body} are taken.")
        raw = self.rfile.read(length)
        if len(raw) < length:
            self.close_connection = True
            raise Refusal(400, "The request ended before its Content-Length.")
        try:
            return json.loads(raw)
        except RecursionError:
            raise Refusal(400, "The request is nested too deeply.") from None
        except ValueError as error:
            raise Refusal(400, f"The request is not JSON: {error}.") from None

    def _discard(self, length: int) -> None:
        """Read away a body that is too large, so that its sender comes to reading our answer; not one without end."""
        left = min(length, 16 * self.server.max_body)
        while left > 0 and (piece := self.rfile.read(min(left, PIECE))):
            left -= len(piece)

    def _send(self, status: int, content: dict[str, Any]) -> None:
        body = json.dumps(content, ensure_ascii=False).encode("utf-8", "replace")
        # A body that was not read would be taken for the next request.
        if self.server.draining or (status in (404, 405) and self.headers.get("Content-Length", "0") != "0"):
            self.close_connection = True
        self.send_response(status)
        self.send_header("Content-Type", "application/json; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        if status == 503:
            self.send_header("Retry-After", "1")
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)
        log.info("%s %s %d in %.3f s", self.command, self.path[:200], status, time.monotonic() - self.began)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """What the standard library refuses (bad request lines, unknown methods) is answered in JSON too."""
        self.close_connection = True
        body = json.dumps({"error": f"{message or self.responses.get(code, ('Error',))[0]}."}).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Connection", "close")
        self.end_headers()
        with contextlib.suppress(OSError):
            self.wfile.write(body)

    def log_request(self, code: Any = "-", size: Any = "-") -> None:
        """Said by `_send`, with the time it took and without anybody's text."""

    def log_message(self, format: str, *args: Any) -> None:
        log.debug(format, *args)
