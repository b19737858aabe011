"""gunicorn's threaded worker, which shares the work evenly with the other processes.

gunicorn keeps a connection with the process that happened to accept it, and accepts more than it can serve. Then one
process has a queue while another one is idle, and connections that browsers open in advance hold threads that nobody
uses. Here a process takes a new connection only when a thread is free for it, gives a thread only to a connection that
has something to say, and, while all its threads are busy, lets connections go after their answer, so that the next
request of that browser is served by whoever is free first. What waits, waits in one line, in the kernel.
"""

from __future__ import annotations

import errno
import selectors
import socket
import time
from concurrent.futures import Future
from functools import partial
from typing import Any

from gunicorn.workers.gthread import TConn, ThreadWorker


class Worker(ThreadWorker):
    busy = 0  # requests handed to the threads and not finished; changed by the main thread only

    @property
    def is_full(self) -> bool:
        return self.busy >= self.cfg.threads

    # What gunicorn asks for before it accepts a connection, and before it keeps one.

    @property
    def worker_connections(self) -> int:
        return 0 if self.is_full else self._worker_connections

    @worker_connections.setter
    def worker_connections(self, most: int) -> None:
        self._worker_connections = most

    @property
    def max_keepalived(self) -> int:
        return 0 if self.is_full else self._max_keepalived

    @max_keepalived.setter
    def max_keepalived(self, most: int) -> None:
        self._max_keepalived = most

    def accept(self, listener: socket.socket) -> None:
        try:
            client, address = listener.accept()
        except OSError as error:
            if error.errno not in (errno.EAGAIN, errno.ECONNABORTED, errno.EWOULDBLOCK):
                raise
            return
        self.nr_conns += 1
        connection = TConn(self.cfg, client, address, listener.getsockname())
        connection.timeout = time.monotonic() + self.cfg.keepalive
        self.pending_conns.append(connection)
        self.poller.register(client, selectors.EVENT_READ, partial(self.on_pending_socket_readable, connection))

    def enqueue_req(self, conn: TConn) -> None:
        self.busy += 1
        super().enqueue_req(conn)

    def finish_request(self, conn: TConn, fs: Future[Any]) -> None:
        self.busy -= 1
        super().finish_request(conn, fs)
