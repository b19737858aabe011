"""Nothing acknowledged is lost, whatever dies: web processes and workers are killed while people submit.

gunicorn's workers, its master and the Celery worker get SIGKILL at random moments; they are started again, as `serve`
does. The clients behave as the page does: what got no answer is sent again. Some people walk away with a lease in their
hands, and one of the workers, after all that, has to give those leases back.
"""

from __future__ import annotations

import asyncio
import random
import threading
import time

from benchmarks.annotators import annotators, overshoot, places_empty, say
from benchmarks.common import Result, within
from benchmarks.crowd import Annotator, Tally, crowd
from benchmarks.million import small_project
from benchmarks.platform import Platform

PEOPLE = 24
AWAY = 4  # of them walk away
OVERLAP = 2
PAUSES = (0.3, 2.0)  # seconds between two kills
MINUTES = 8.0  # to give up after


def chaos(platform: Platform, submissions: int, *, seed: int = 1) -> list[Result]:
    """At least `submissions` judgements are asked for; all of them have to be there in the end."""
    comparisons = -(-submissions // OVERLAP)
    slug = small_project("Chaos", comparisons=comparisons, overlap=OVERLAP, people=PEOPLE)
    tally, killed = Tally(), {}
    people = annotators(platform, slug, PEOPLE, tally, stubborn=True)
    leaving, staying = people[:AWAY], people[AWAY:]
    began = time.monotonic()
    over, calm = threading.Event(), threading.Event()
    killer = threading.Thread(target=_kill, args=(platform, random.Random(seed), over, calm, killed))  # noqa: S311
    killer.start()
    try:
        errors = asyncio.run(_work(leaving, staying, until=began + 60 * MINUTES))
        calm.set()  # a worker needs a few seconds of life to begin, and on a busy machine more than it would get
        returned = _leases_come_back(platform, slug)
        calm.clear()
        # What the people who left had in their hands is now somebody else's.
        errors += asyncio.run(crowd(staying, think=0.0, until=began + 60 * MINUTES))
    finally:
        over.set()
        killer.join()
    for error in errors[:3]:
        say(f"gave up: {error!r}")
    return _results(slug, tally, killed, len(errors), returned, time.monotonic() - began)


def _kill(
    platform: Platform, dice: random.Random, over: threading.Event, calm: threading.Event, killed: dict[str, int]
) -> None:
    while not over.wait(dice.uniform(*PAUSES)):
        if calm.is_set():
            continue
        target = platform.kill_one(dice)
        if target is not None:
            killed[target] = killed.get(target, 0) + 1
        if target == "web master":  # kill on only once it serves again, or a slow machine never would
            while not platform.answers() and not over.wait(0.2):
                pass


async def _work(leaving: list[Annotator], staying: list[Annotator], *, until: float) -> list[BaseException]:
    gone = crowd(leaving, think=0.0, until=until, most=3, walk_away=True)
    stayed = crowd(staying, think=0.0, until=until)
    return [error for errors in await asyncio.gather(gone, stayed) for error in errors]


def _leases_come_back(platform: Platform, slug: str) -> int:
    """Let what is still held lapse, ask a worker to return it, and wait. How many leases did not come back."""
    from datetime import timedelta

    from django.utils import timezone

    from annotate.models import Assignment
    from annotate.ranking.tasks import expire_leases

    held = Assignment.objects.filter(comparison__project__slug=slug, state="active")
    keys = list(held.values_list("pk", flat=True))
    Assignment.objects.filter(pk__in=keys).update(lease_expires_at=timezone.now() - timedelta(seconds=1))
    deadline = time.monotonic() + 90
    while (left := Assignment.objects.filter(pk__in=keys, state="active").count()) and time.monotonic() < deadline:
        expire_leases.delay()  # beat does it every minute; the worker may be dead at this moment
        time.sleep(1.0)
    say(f"{len(keys)} leases lapsed, {len(keys) - left} came back")
    return left if keys else -1


def _results(
    slug: str, tally: Tally, killed: dict[str, int], gave_up: int, returned: int, seconds: float
) -> list[Result]:
    from annotate.models import Judgement

    label = "chaos"
    told = set(tally.acknowledged)
    kept = set(Judgement.objects.filter(pk__in=told).values_list("pk", flat=True))
    current = Judgement.objects.filter(comparison__project__slug=slug, is_current=True).count()
    rows = [Result(f"{label}: killed, {what}", count, "") for what, count in sorted(killed.items())]
    rows += [
        Result(f"{label}: seconds", seconds, "s"),
        Result(f"{label}: requests sent again", tally.retries, ""),
        Result(f"{label}: submissions acknowledged", len(tally.acknowledged), ""),
        Result(f"{label}: judgements that count", current, ""),
        within(f"{label}: acknowledged but lost", len(told - kept), "", 0),
        within(f"{label}: acknowledged twice", len(tally.acknowledged) - len(told), "", 0),
        within(f"{label}: clients that gave up", gave_up, "", 0),
        within(f"{label}: leases that did not come back", abs(returned), "", 0),
        within(f"{label}: places left empty", places_empty(slug), "", 0),
    ]
    return rows + overshoot(label, slug)
