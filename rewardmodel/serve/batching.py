"""One model, many askers: what waits at the same time is scored together, and every prompt is run once."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import islice

from lm.prefix import Group

Rows = list[list[float]]
"""One list a member of the ensemble of one score a dimension."""

Score = Callable[[Sequence[Group]], list[list[Rows]]]
"""Scores of groups: for each, one `Rows` a response."""


class Busy(Exception):
    """More waits already than may wait."""


class Closed(Exception):
    """The server is shutting down and takes no more."""


@dataclass
class _Job:
    """One request: done when the last of its responses is."""

    results: list[Rows | None]
    left: int
    done: threading.Event = field(default_factory=threading.Event)
    error: BaseException | None = None


class Batcher:
    """Lets requests wait for one another for a moment and runs the model on what has come together.

    A batch takes the prompts in the order in which they were first asked for, each with every response that waits for
    it, up to `batch_tokens` (a longer one stands alone). max_delay: seconds that a request may wait for company.
    max_waiting: tokens that may wait; a request that finds nothing waiting is taken whatever its size.
    """

    def __init__(self, score: Score, *, batch_tokens: int, max_delay: float, max_waiting: int) -> None:
        self._score = score
        self._batch_tokens, self._max_delay, self._max_waiting = batch_tokens, max_delay, max_waiting
        self._waiting: OrderedDict[tuple[int, ...], deque[tuple[list[int], _Job, int]]] = OrderedDict()
        self._tokens = 0
        self._closing = self._hurrying = False
        self._changed = threading.Condition()
        self.batches = self.responses = 0
        self._thread = threading.Thread(target=self._work, name="batcher")
        self._thread.start()

    def submit(self, asked: Sequence[Group]) -> list[list[Rows]]:
        """Score groups, shared with whoever asks at the same time; blocks until they are scored.

        Raises Busy, Closed, or what the model raised.
        """
        count = sum(len(group.responses) for group in asked)
        job = _Job([None] * count, count)
        if not count:
            return [[] for _ in asked]
        with self._changed:
            if self._closing:
                raise Closed
            if self._tokens and self._tokens + sum(group.tokens for group in asked) > self._max_waiting:
                raise Busy
            place = 0
            for group in asked:
                key = tuple(group.prompt)
                if key not in self._waiting:
                    self._waiting[key] = deque()
                    self._tokens += len(key)
                for response in group.responses:
                    self._waiting[key].append((response, job, place))
                    self._tokens += len(response)
                    place += 1
            self._changed.notify_all()
        job.done.wait()
        if job.error is not None:
            raise job.error
        found = (rows for rows in job.results if rows is not None)
        return [list(islice(found, len(group.responses))) for group in asked]

    @property
    def waiting_tokens(self) -> int:
        return self._tokens

    def hurry(self) -> None:
        """Let nobody wait for company any more."""
        with self._changed:
            self._hurrying = True
            self._changed.notify_all()

    def close(self) -> None:
        """Take no more, finish what waits, and end."""
        with self._changed:
            self._closing = self._hurrying = True
            self._changed.notify_all()
        self._thread.join()

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._closing)
                if not self._waiting:
                    return
                deadline = time.monotonic() + self._max_delay
                while self._tokens < self._batch_tokens and not self._hurrying:
                    left = deadline - time.monotonic()
                    if left <= 0 or not self._changed.wait(left):
                        break
                groups, owners = self._take()
            self._run(groups, owners)

    def _take(self) -> tuple[list[Group], list[list[tuple[_Job, int]]]]:
        """The next batch, and whose each of its responses is."""
        groups: list[Group] = []
        owners: list[list[tuple[_Job, int]]] = []
        room = self._batch_tokens
        for key in list(self._waiting):
            queue = self._waiting[key]
            if groups and len(key) + len(queue[0][0]) > room:
                break
            room -= len(key)
            groups.append(Group(list(key), []))
            owners.append([])
            while queue and (not owners[-1] or len(queue[0][0]) <= room):
                response, job, place = queue.popleft()
                groups[-1].responses.append(response)
                owners[-1].append((job, place))
                room -= len(response)
                self._tokens -= len(response)
            if queue:
                break
            del self._waiting[key]
            self._tokens -= len(key)
        return groups, owners

    def _run(self, groups: list[Group], owners: list[list[tuple[_Job, int]]]) -> None:
        error: BaseException | None = None
        found: list[list[Rows]] = []
        try:
            found = self._score(groups)
        except Exception as failure:  # whatever the model raises belongs to those who asked; the server lives on
            error = failure
        self.batches += 1
        self.responses += sum(map(len, owners))
        for number, group_owners in enumerate(owners):
            for position, (job, place) in enumerate(group_owners):
                if error is not None:
                    job.error = error
                else:
                    job.results[place] = found[number][position]
                job.left -= 1
                if not job.left:
                    job.done.set()
