"""The endpoint generator against a real HTTP server, in this process and on a free port."""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from lm.config import Sampling
from lm.endpoint import Completion, Endpoint
from runs.child import MachineError, UserError

PROMPTS = [[{"role": "user", "content": f"Question {number}"}] for number in range(5)]


class Server(ThreadingHTTPServer):
    """Answers each question with itself and the seed; `status` and `delay` make it misbehave."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.requests: list[dict] = []
        self.keys: list[str | None] = []
        self.statuses: list[int] = []
        self.delay = 0.0
        self.body: bytes | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.requests.append(asked)
        self.server.keys.append(self.headers.get("Authorization"))
        time.sleep(self.server.delay)
        status = self.server.statuses.pop(0) if self.server.statuses else 200
        text = f"{asked['messages'][-1]['content']} with {asked['seed']}"
        answer: dict = {"error": {"message": f"status {status} on purpose"}}
        if status == 200:
            answer = {
                "id": "1",
                "object": "chat.completion",
                "created": 0,
                "model": asked["model"],
                "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "length"}],
                "usage": {"prompt_tokens": 3, "completion_tokens": len(text), "total_tokens": 3 + len(text)},
            }
        body = self.server.body or json.dumps(answer).encode()
        with contextlib.suppress(ConnectionError):  # the client may have given up
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_a_request_says_what_was_asked_for_and_the_answer_is_kept(server, monkeypatch):
    monkeypatch.setenv("SOME_KEY", "secret")
    endpoint = Endpoint(server.url, "some-model", "SOME_KEY")
    sampling = Sampling(temperature=0.3, top_p=0.9, top_k=7, max_tokens=11)
    answer = endpoint.complete(PROMPTS[0], sampling, 42)
    assert answer == Completion("Question 0 with 42", 18, "length")
    (asked,) = server.requests
    assert asked == {
        "model": "some-model",
        "messages": PROMPTS[0],
        "temperature": 0.3,
        "top_p": 0.9,
        "top_k": 7,
        "max_tokens": 11,
        "seed": 42,
    }
    assert server.keys == ["Bearer secret"]


def test_every_sample_of_every_prompt_comes_with_its_seed(server):
    found: dict[int, list[str]] = {}
    endpoint = Endpoint(server.url, "m")
    endpoint.sample(
        PROMPTS,
        3,
        Sampling(),
        list(range(15)),
        parallel=4,
        on_prompt=lambda number, some: found.update({number: [one.text for one in some]}),
    )
    assert found == {
        number: [f"Question {number} with {number * 3 + index}" for index in range(3)] for number in range(5)
    }
    assert all("top_k" not in asked for asked in server.requests)


def test_a_busy_server_is_asked_again(server):
    server.statuses = [503, 429]
    assert Endpoint(server.url, "m", retries=2).complete(PROMPTS[0], Sampling(), 1).text == "Question 0 with 1"
    assert len(server.requests) == 3


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_server_that_stays_busy_is_the_machines_fault(server, status):
    server.statuses = [status] * 2
    with pytest.raises(MachineError, match=f"{status} on purpose"):
        Endpoint(server.url, "m", retries=1).complete(PROMPTS[0], Sampling(), 1)


@pytest.mark.parametrize(("status", "words"), [(400, "refuses the request"), (401, "key"), (404, "no model “m”")])
def test_what_the_server_refuses_is_the_users_to_change(server, status, words):
    server.statuses = [status]
    with pytest.raises(UserError, match=words):
        Endpoint(server.url, "m").complete(PROMPTS[0], Sampling(), 1)
    assert len(server.requests) == 1, "asking again would not help"


def test_a_server_that_is_down_is_the_machines_fault():
    with Server() as server:
        url = server.url
    with pytest.raises(MachineError, match="cannot be reached"):
        Endpoint(url, "m", retries=0).complete(PROMPTS[0], Sampling(), 1)


def test_a_server_that_does_not_answer_is_given_up(server):
    server.delay = 5
    with pytest.raises(MachineError, match="in time"):
        Endpoint(server.url, "m", timeout=0.2, retries=0).complete(PROMPTS[0], Sampling(), 1)


@pytest.mark.parametrize(
    "body",
    [
        b"<html>hello</html>",
        b"{}",
        b'{"choices": []}',
        b"[]",
        b"null",
        b'{"choices": "many"}',
        b'{"choices": [{}]}',
        b'{"choices": [{"message": null}]}',
        b'{"choices": [{"message": {"content": 7}}]}',
        b'{"choices": [{"message": {"content": ["a"]}}]}',
        b'{"choices": [null]}',
        b"\xff\xfe",
    ],
)
def test_a_page_that_is_no_such_server_is_the_users_to_change(server, body):
    server.body = body
    with pytest.raises(UserError, match="OpenAI-compatible"):
        Endpoint(server.url, "m", retries=0).complete(PROMPTS[0], Sampling(), 1)


def test_an_answer_of_nothing_is_an_empty_response_and_odd_counts_are_none(server):
    server.body = (
        b'{"choices": [{"message": {"content": null}, "finish_reason": 3}], "usage": {"completion_tokens": "x"}}'
    )
    assert Endpoint(server.url, "m").complete(PROMPTS[0], Sampling(), 1) == Completion("", None, "stop")


def test_requests_keep_the_pace_that_was_asked_for(server, monkeypatch):
    slept = []
    real = asyncio.sleep

    async def sleep(seconds, *rest):
        slept.append(seconds)
        await real(0, *rest)

    monkeypatch.setattr("lm.endpoint.asyncio.sleep", sleep)
    monkeypatch.setattr("lm.endpoint.time.monotonic", lambda: 100.0)
    found = []
    Endpoint(server.url, "m", per_minute=30).sample(
        PROMPTS[:4], 1, Sampling(), [1, 2, 3, 4], on_prompt=lambda number, answers: found.append(number)
    )
    assert sorted(found) == [0, 1, 2, 3]
    # 30 a minute are two seconds apart: the first goes at once, the others wait for their turns.
    assert [seconds for seconds in slept if seconds >= 1] == [2.0, 4.0, 6.0]


def test_a_stop_does_not_wait_for_turns(server):
    endpoint = Endpoint(server.url, "m", per_minute=1)
    endpoint.sample(PROMPTS, 1, Sampling(), list(range(5)), stop=lambda: len(server.requests) >= 1)
    assert len(server.requests) == 1


def test_prompts_done_before_an_error_are_handed_over(server):
    server.statuses = [200, 200, 400]
    handed: list[int] = []
    endpoint = Endpoint(server.url, "m", retries=0)
    with pytest.raises(UserError):
        endpoint.sample(
            PROMPTS, 1, Sampling(), list(range(5)), parallel=1, on_prompt=lambda number, _: handed.append(number)
        )
    assert handed == [0, 1]


def test_a_stop_does_not_wait_for_answers_under_way(server):
    server.delay = 20
    started = time.monotonic()
    Endpoint(server.url, "m").sample(
        PROMPTS, 1, Sampling(), list(range(5)), stop=lambda: time.monotonic() > started + 0.3
    )
    assert server.requests, "there were answers under way"
    assert time.monotonic() < started + 15


def test_a_key_that_is_not_there_is_missed_before_any_request(monkeypatch):
    monkeypatch.delenv("SOME_KEY", raising=False)
    with pytest.raises(UserError, match="SOME_KEY"):
        Endpoint("http://127.0.0.1:1/v1", "m", "SOME_KEY")
    with pytest.raises(UserError, match="http"):
        Endpoint("localhost:8000", "m")


def test_it_works_where_an_event_loop_runs_already():
    """As in a notebook."""
    import asyncio
    from threading import Thread

    from lm.endpoint import _complete

    seen = []

    async def work() -> None:
        seen.append(1)

    async def cell() -> None:
        _complete(work())

    # In a thread of its own: a browser test of this process may have left a loop running in this one.
    thread = Thread(target=lambda: asyncio.run(cell()))
    thread.start()
    thread.join()
    assert seen == [1]
