"""Annotators at their browsers, as HTTP clients: what static/js/ranking.js asks of the server, in the same order.

An item is opened once as a page. From then on, as soon as an item is on screen, the one after it is fetched ahead; a
submission and the fetching ahead for the next item are on their way at the same time. The client is written on bare
sockets because it shares the machine with what it measures.
"""

from __future__ import annotations

import asyncio
import html
import json
import random
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

ITEM = re.compile(r'data-item="([^"]*)"')
RETRY_SECONDS = 0.1
PATIENCE = 150.0  # seconds; somebody who gets no answer for so long has found a bug


class GaveUpError(RuntimeError):
    """The server gave no answer, or one that no browser could go on with."""


@dataclass
class Tally:
    """What the clients saw. Times in seconds."""

    next_times: list[float] = field(default_factory=list)
    submit_times: list[float] = field(default_factory=list)
    draft_times: list[float] = field(default_factory=list)
    open_times: list[float] = field(default_factory=list)
    acknowledged: list[int] = field(default_factory=list)  # ids of judgements
    submitted_at: list[float] = field(default_factory=list)
    outcomes: dict[str, int] = field(default_factory=dict)
    retries: int = 0


@dataclass
class Reply:
    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


class Wire:
    """One keep-alive connection that repeats what got no answer, as the page's outbox does."""

    def __init__(self, port: int, cookies: str, tally: Tally, *, stubborn: bool) -> None:
        self.port, self.cookies, self.tally, self.stubborn = port, cookies, tally, stubborn
        self.reader: asyncio.StreamReader | None = None
        self.writer: asyncio.StreamWriter | None = None
        self.csrf = ""

    async def request(self, method: str, path: str, body: object = None) -> Reply:
        deadline = time.monotonic() + PATIENCE
        while True:
            fresh = self.writer is None
            try:
                reply = await asyncio.wait_for(self._once(method, path, body), PATIENCE)
                if reply.status < 500:
                    return reply
                trouble = f"{method} {path}: {reply.status}"
            except (OSError, asyncio.IncompleteReadError, TimeoutError) as error:
                trouble = f"{method} {path}: {error!r}"
            self.close()
            # A server may close an idle connection at any time; browsers then ask again without a word.
            if (fresh and not self.stubborn) or time.monotonic() > deadline:
                raise GaveUpError(trouble)
            if fresh:
                self.tally.retries += 1
                await asyncio.sleep(RETRY_SECONDS)

    async def _once(self, method: str, path: str, body: object) -> Reply:
        if self.writer is None:
            self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.port)
        assert self.reader is not None
        content = b"" if body is None else json.dumps(body).encode()
        cookies = f"{self.cookies}; csrftoken={self.csrf}" if self.csrf else self.cookies
        head = (
            f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\nCookie: {cookies}\r\n"
            f"X-CSRFToken: {self.csrf}\r\nContent-Type: application/json\r\nAccept: application/json\r\n"
            f"Content-Length: {len(content)}\r\n\r\n"
        )
        self.writer.write(head.encode() + content)
        lines = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers: dict[str, str] = {}
        for line in lines[1:]:
            name, _, value = line.partition(": ")
            if name.lower() == "set-cookie" and value.startswith("csrftoken="):
                self.csrf = value.partition("=")[2].partition(";")[0]
            headers[name.lower()] = value
        status = int(lines[0].split(" ", 2)[1])
        length = int(headers.get("content-length", 0))
        content = await self.reader.readexactly(length) if length else b""
        if headers.get("connection") == "close":
            self.close()
        return Reply(status, headers, content)

    def close(self) -> None:
        if self.writer is not None:
            self.writer.close()
        self.reader = self.writer = None


@dataclass
class Item:
    id: int
    given: dict[str, Any]

    @classmethod
    def read(cls, page: str) -> Item:
        found = ITEM.search(page)
        if found is None:
            raise GaveUpError("There is no item on the page.")
        given = json.loads(html.unescape(found.group(1)))
        return cls(given["id"], given)


class Annotator:
    """One person with one browser tab, at work in one project until nothing is left or time is up."""

    def __init__(self, port: int, slug: str, session: str, tally: Tally, seed: int, *, stubborn: bool = False) -> None:
        cookies = f"sessionid={session}"
        self.slug, self.tally, self.dice = slug, tally, random.Random(seed)  # noqa: S311
        self.desk_wire = Wire(port, cookies, tally, stubborn=stubborn)
        self.ahead_wire = Wire(port, cookies, tally, stubborn=stubborn)

    async def work(
        self, *, think: float, until: float = float("inf"), most: int | None = None, walk_away: bool = False
    ) -> None:
        """Rank until monotonic time `until`. think: mean seconds before each submission, 0 for none.

        most: submissions. walk_away: leave with the next item in hand.
        """
        ahead = delivery = None
        done = 0
        try:
            await asyncio.sleep(self.dice.random() * think)
            item = await self._open()
            while item is not None:
                ahead = asyncio.create_task(self._ahead(item))
                if delivery is not None:  # the page shows the next item before the last one has arrived
                    await delivery
                if think:
                    await self._think(item, think)
                following = await ahead
                if walk_away and done == most:
                    break
                delivery = asyncio.create_task(self._submit(item))
                done += 1
                if time.monotonic() >= until or (done == most and not walk_away):
                    break
                if following is None:
                    await delivery
                    following = await self._open()
                item = following
            if delivery is not None:
                await delivery
        finally:
            for task in (ahead, delivery):
                if task is not None and not task.done():
                    task.cancel()
            self.desk_wire.close()
            self.ahead_wire.close()

    async def _think(self, item: Item, seconds: float) -> None:
        spent = self.dice.uniform(0.5, 1.5) * seconds
        await asyncio.sleep(spent * 0.7)
        began = time.monotonic()
        await self._post(self.desk_wire, item.given["draftUrl"], self._answer(item, final=False))
        self.tally.draft_times.append(time.monotonic() - began)
        await asyncio.sleep(spent * 0.3)

    async def _open(self) -> Item | None:
        began = time.monotonic()
        reply = await self.desk_wire.request("GET", f"/annotate/{self.slug}/next")
        if reply.status == 200:
            return None  # the page that says so
        page = await self.desk_wire.request("GET", reply.headers["location"])
        if page.status != 200:
            raise GaveUpError(f"{reply.headers['location']}: {page.status}")
        self.tally.open_times.append(time.monotonic() - began)
        self.ahead_wire.csrf = self.desk_wire.csrf
        return Item.read(page.body.decode())

    async def _ahead(self, item: Item) -> Item | None:
        began = time.monotonic()
        reply = await self._post(self.ahead_wire, item.given["aheadUrl"], {})
        if reply.status == 204:
            return None
        self.tally.next_times.append(time.monotonic() - began)
        return Item.read(reply.json()["html"])

    async def _submit(self, item: Item) -> None:
        answer = self._answer(item, final=True)
        began = time.monotonic()
        reply = await self._post(self.desk_wire, item.given["submitUrl"], answer)
        said, now = reply.json(), time.monotonic()
        self.tally.submit_times.append(now - began)
        self.tally.submitted_at.append(now)
        self.tally.acknowledged.append(said["judgement"])
        self.tally.outcomes[said["outcome"]] = self.tally.outcomes.get(said["outcome"], 0) + 1

    async def _post(self, wire: Wire, path: str, body: object) -> Reply:
        reply = await wire.request("POST", path, body)
        if reply.status not in (200, 204):
            raise GaveUpError(f"{path}: {reply.status} {reply.body[:200]!r}")
        return reply

    def _answer(self, item: Item, *, final: bool) -> dict[str, Any]:
        answer: dict[str, Any] = {"rankings": {}, "seconds_active": 3.0}
        for dimension in item.given["dimensions"]:
            places = list(range(1, len(item.given["keys"]) + 1))
            self.dice.shuffle(places)
            answer["rankings"][dimension["key"]] = dict(zip(item.given["keys"], places, strict=True))
        return answer if final else answer | {"step": "", "revises": item.given["revises"]}


async def crowd(
    annotators: Sequence[Annotator],
    *,
    think: float,
    until: float = float("inf"),
    most: int | None = None,
    walk_away: bool = False,
) -> list[BaseException]:
    """All at work at once; the errors of those who gave up."""
    work = (annotator.work(think=think, until=until, most=most, walk_away=walk_away) for annotator in annotators)
    ended = await asyncio.gather(*work, return_exceptions=True)
    return [error for error in ended if isinstance(error, BaseException)]
