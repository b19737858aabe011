"""The web processes' worker: who gets a thread, and who keeps a connection."""

from __future__ import annotations

import http.client
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from config import processes
from config.env import BASE_DIR
from tests.config.house import answers, free_port

THREADS = 2


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    port = free_port()
    server = subprocess.Popen(
        [sys.executable, "-m", "gunicorn", "-k", "config.worker.Worker", "--workers", "1", "--threads", str(THREADS),
         "--keep-alive", "30", "--bind", f"127.0.0.1:{port}", "tests.config.slow_app:application"],
        cwd=BASE_DIR,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    assert processes.wait_until(lambda: answers(f"http://127.0.0.1:{port}/"), 30)
    yield port
    server.terminate()
    server.wait(20)


def connect(port: int) -> http.client.HTTPConnection:
    return http.client.HTTPConnection("127.0.0.1", port, timeout=20)


def get(connection: http.client.HTTPConnection, path: str = "/") -> http.client.HTTPResponse:
    connection.request("GET", path)
    response = connection.getresponse()
    assert response.read() == b"ok\n"
    return response


def test_a_connection_is_kept_while_there_are_threads_to_spare(port):
    connection = connect(port)
    assert get(connection).getheader("Connection") != "close"
    kept = connection.sock
    get(connection)
    assert connection.sock is kept


def test_connections_that_say_nothing_hold_no_thread(port, tmp_path):
    silent = [socket.create_connection(("127.0.0.1", port)) for _ in range(3 * THREADS)]
    flag = tmp_path / "flag"
    with ThreadPoolExecutor() as pool:
        # Had any of them a thread, there were not THREADS left for these to begin at the same time.
        slow = [pool.submit(get, connect(port), f"/slow?{flag}") for _ in range(THREADS)]
        assert processes.wait_until(lambda: len(list(tmp_path.glob("flag-begun-*"))) == THREADS, 4)
        flag.touch()
        assert [answer.result().status for answer in slow] == [200] * THREADS
    for one in silent:
        one.close()


def test_while_all_threads_are_busy_others_wait_in_line_and_connections_are_let_go(port, tmp_path):
    flag = tmp_path / "flag"
    with ThreadPoolExecutor() as pool:
        slow = [pool.submit(get, connect(port), f"/slow?{flag}") for _ in range(3 * THREADS)]
        assert processes.wait_until(lambda: len(list(tmp_path.glob("flag-begun-*"))) == THREADS, 10)
        flag.touch()
        replies = [answer.result() for answer in slow]
    assert [reply.status for reply in replies] == [200] * (3 * THREADS)
    assert "close" in {reply.getheader("Connection") for reply in replies}
    kept = processes.wait_until(lambda: get(connect(port)).getheader("Connection") != "close", 10)
    assert kept, "the rush is over"
