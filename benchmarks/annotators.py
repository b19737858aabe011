"""How many annotators two cores serve, and whether anything is lost: `python -m benchmarks.annotators`.

Real PostgreSQL and Valkey, real gunicorn and Celery as `manage.py serve` starts them, real HTTP over loopback, all of
it and the clients on the same machine. Four parts, each bounded in count and time:

1. A million responses in 250,000 comparisons, 100,000 of which are judged and done.
2. 200 annotators who think for 5 s an item: how long the next item and a submission take.
3. 100 clients that do not think: submissions a second.
4. 200 clients that do not think, on a project they reach the end of: what is in the database afterwards is compared
   with what was acknowledged. Lost, doubled and surplus judgements are counted.

`--chaos N` instead kills web processes and workers at random while N submissions are made (benchmarks/chaos.py).
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.common import Result, percentile, report, within
from benchmarks.crowd import Annotator, Tally, crowd
from benchmarks.platform import Platform

LIMIT_MS = 100.0
WARM_UP = 10.0  # seconds of each measured part that are not counted


@dataclass(frozen=True)
class Sizes:
    comparisons: int = 250_000
    closed: int = 100_000
    annotators: int = 200
    think: float = 5.0
    think_seconds: float = 70.0
    clients: int = 100
    loop_seconds: float = 40.0
    hammers: int = 200
    places: int = 2_000  # judgements that the project with an end needs; its overlap is 2


QUICK = Sizes(comparisons=2_000, closed=500, annotators=20, think=0.5, think_seconds=14, clients=10, loop_seconds=13,
              hammers=20, places=120)  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.annotators")
    parser.add_argument("--quick", action="store_true", help="small sizes and short parts")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here")
    parser.add_argument("--var", type=Path, metavar="DIR", help="keep the database here and use it again")
    parser.add_argument("--comparisons", type=int, help=f"default {Sizes.comparisons:,}; four responses each")
    parser.add_argument("--seconds", type=float, help="length of parts 2 and 3, warm-up included")
    parser.add_argument("--parts", default="234", help="which of the parts 2, 3, 4 (default 234)")
    parser.add_argument("--chaos", type=int, metavar="N", help="N submissions while processes are killed")
    parser.add_argument("--no-browser", action="store_true", help="do not count keystrokes in Chromium")
    options = parser.parse_args(arguments)
    sizes = _sizes(options)
    with (
        tempfile.TemporaryDirectory(prefix="plumbline-bench-") as folder,
        Platform(options.var or Path(folder) / "var") as platform,
    ):
        if options.chaos:
            from benchmarks.chaos import chaos

            results = chaos(platform, options.chaos)
        else:
            results = measure(platform, sizes, options.parts, browser=not options.no_browser)
    report("annotators", results, options.json)
    return 0 if all(result.met is not False for result in results) else 1


def _sizes(options: argparse.Namespace) -> Sizes:
    from dataclasses import replace

    sizes = QUICK if options.quick else Sizes()
    if options.comparisons:
        sizes = replace(sizes, comparisons=options.comparisons, closed=options.comparisons * 2 // 5)
    if options.seconds:
        sizes = replace(sizes, think_seconds=options.seconds, loop_seconds=options.seconds)
    return sizes


def measure(platform: Platform, sizes: Sizes, parts: str, *, browser: bool) -> list[Result]:
    slug = _world(sizes)
    say(f"load average {os.getloadavg()[0]:.1f} on {len(os.sched_getaffinity(0))} cores before the clients begin")
    results: list[Result] = []
    if "2" in parts:
        results += _thinking(platform, slug, sizes)
    if "3" in parts:
        results += _closed_loop(platform, slug, sizes)
    if "4" in parts:
        results += _hammering(platform, sizes)
    if browser:
        from benchmarks.keystrokes import keystrokes

        results += keystrokes(platform)
    return results


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _world(sizes: Sizes) -> str:
    from annotate.models import Project, Response
    from benchmarks.million import load

    began = time.monotonic()
    found = Project.objects.order_by("pk").values_list("slug", flat=True).first()
    slug = found or load(comparisons=sizes.comparisons, closed=sizes.closed, annotators=sizes.annotators)
    say(f"{Response.objects.count():,} responses in the database after {time.monotonic() - began:.0f} s")
    return slug


def sessions(count: int) -> list[str]:
    """Cookies of the first `count` annotators, as if they had logged in."""
    from importlib import import_module

    from django.conf import settings
    from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY

    from accounts.models import User

    store = import_module(settings.SESSION_ENGINE).SessionStore
    keys = []
    names = [f"annotator-{n}" for n in range(count)]
    users = {user.username: user for user in User.objects.filter(username__in=names)}
    for name in names:
        session = store()
        session[SESSION_KEY] = str(users[name].pk)
        session[BACKEND_SESSION_KEY] = "django.contrib.auth.backends.ModelBackend"
        session[HASH_SESSION_KEY] = users[name].get_session_auth_hash()
        session.create()
        keys.append(session.session_key)
    return keys


def annotators(platform: Platform, slug: str, count: int, tally: Tally, *, stubborn: bool = False) -> list[Annotator]:
    return [
        Annotator(platform.port, slug, key, tally, seed, stubborn=stubborn) for seed, key in enumerate(sessions(count))
    ]


def _run(platform: Platform, people: list[Annotator], *, think: float, seconds: float) -> tuple[dict[str, float], int]:
    """Let them work; returns the share of one core that each part of the platform used, and how many gave up."""
    before, began = platform.cpu_seconds(), time.monotonic()
    errors = asyncio.run(crowd(people, think=think, until=began + seconds))
    passed, after = time.monotonic() - began, platform.cpu_seconds()
    for error in errors[:3]:
        say(f"gave up: {error!r}")
    return {name: (after[name] - before[name]) / passed for name in after}, len(errors)


def _times(label: str, times: list[float], *, limit: bool = True) -> list[Result]:
    if not times:
        return [Result(f"{label}: none", 0.0, "ms", met=False)]
    rows = [Result(f"{label} p{q}", 1000 * percentile(times, q), "ms") for q in (50, 99)]
    at_95 = 1000 * percentile(times, 95)
    rows.insert(1, within(f"{label} p95", at_95, "ms", LIMIT_MS) if limit else Result(f"{label} p95", at_95, "ms"))
    return rows


def _cores(label: str, cores: dict[str, float]) -> list[Result]:
    return [Result(f"{label} CPU: {name}", share, "cores") for name, share in cores.items()]


def _thinking(platform: Platform, slug: str, sizes: Sizes) -> list[Result]:
    """The figures begin after the warm-up, in which everybody opens their first page at about the same time."""
    tally = Tally()
    people = annotators(platform, slug, sizes.annotators, tally)
    warm: dict[str, int] = {}

    async def go() -> list[BaseException]:
        began = time.monotonic()
        work = asyncio.create_task(crowd(people, think=sizes.think, until=began + sizes.think_seconds))
        await asyncio.sleep(min(WARM_UP, sizes.think_seconds / 3))
        warm.update({name: len(getattr(tally, name)) for name in vars(tally) if name.endswith("_times")})
        return await work

    before, began = platform.cpu_seconds(), time.monotonic()
    errors = asyncio.run(go())
    passed, after = time.monotonic() - began, platform.cpu_seconds()
    for error in errors[:3]:
        say(f"gave up: {error!r}")
    label = f"{sizes.annotators} annotators, {sizes.think:g} s"
    rows = _times(f"{label}: next item (ahead)", tally.next_times[warm["next_times"] :])
    rows += _times(f"{label}: submit", tally.submit_times[warm["submit_times"] :])
    rows += _times(f"{label}: draft", tally.draft_times[warm["draft_times"] :], limit=False)
    rows += _times(f"{label}: first page (next)", tally.open_times, limit=False)
    rows.append(Result(f"{label}: submissions", len(tally.submit_times) / passed, "/s"))
    rows += _cores(label, {name: (after[name] - before[name]) / passed for name in after})
    rows.append(within(f"{label}: clients that gave up", len(errors), "", 0))
    return rows + _compare(label, tally)


def _closed_loop(platform: Platform, slug: str, sizes: Sizes) -> list[Result]:
    tally = Tally()
    people = annotators(platform, slug, sizes.clients, tally)
    began = time.monotonic()
    cores, gave_up = _run(platform, people, think=0.0, seconds=sizes.loop_seconds)
    counted = [at for at in tally.submitted_at if at - began >= min(WARM_UP, sizes.loop_seconds / 3)]
    rate = len(counted) / (max(counted) - min(counted)) if len(counted) > 1 else 0.0
    label = f"{sizes.clients} clients, no pause"
    row = Result(f"{label}: submissions", rate, "/s", target=50.0, met=rate >= 50.0)
    rows = [row, *_times(f"{label}: next item", tally.next_times, limit=False)]
    rows += _times(f"{label}: submit", tally.submit_times, limit=False)
    rows += _cores(label, cores)
    rows.append(within(f"{label}: clients that gave up", gave_up, "", 0))
    return rows + _compare(label, tally)


def _hammering(platform: Platform, sizes: Sizes) -> list[Result]:
    from annotate.models import Project
    from benchmarks.million import small_project

    number = Project.objects.count()
    slug = small_project(f"With an end {number}", comparisons=sizes.places // 2, overlap=2, people=sizes.hammers)
    tally = Tally()
    people = annotators(platform, slug, sizes.hammers, tally)
    began = time.monotonic()
    cores, gave_up = _run(platform, people, think=0.0, seconds=180.0)
    label = f"{sizes.hammers} clients to the end of {sizes.places:,} places"
    rows = [
        Result(f"{label}: seconds", time.monotonic() - began, "s"),
        within(f"{label}: clients that gave up", gave_up, "", 0),
        *_cores(label, cores),
        within(f"{label}: places left empty", places_empty(slug), "", 0),
    ]
    return rows + _compare(label, tally) + overshoot(label, slug)


def _compare(label: str, tally: Tally) -> list[Result]:
    """What was acknowledged against what is in the database."""
    from annotate.models import Judgement

    told = tally.acknowledged
    kept: set[int] = set()
    for start in range(0, len(told), 5000):
        kept.update(Judgement.objects.filter(pk__in=told[start : start + 5000]).values_list("pk", flat=True))
    return [
        Result(f"{label}: submissions acknowledged", len(told), ""),
        within(f"{label}: acknowledged but lost", len(set(told) - kept), "", 0),
        within(f"{label}: acknowledged twice", len(told) - len(set(told)), "", 0),
    ]


def places_empty(slug: str) -> int:
    from django.db.models import Sum

    from annotate.models import Assignment, Comparison

    asked = Comparison.objects.filter(project__slug=slug).aggregate(places=Sum("overlap"))["places"] or 0
    seated = Assignment.objects.filter(comparison__project__slug=slug, state="submitted", slot__isnull=False)
    return asked - seated.count()


def overshoot(label: str, slug: str) -> list[Result]:
    """Counted from the judgements themselves, not from what the engine keeps about them."""
    from django.db.models import Count, F

    from annotate.models import Judgement

    counting = Judgement.objects.filter(comparison__project__slug=slug, is_current=True).order_by()
    people = counting.values("comparison", "annotator").annotate(n=Count("pk")).filter(n__gt=1).count()
    over = (
        counting.filter(assignment__slot__isnull=False)
        .values("comparison", "comparison__overlap")
        .annotate(n=Count("pk"))
        .filter(n__gt=F("comparison__overlap"))
        .count()
    )
    extra = counting.filter(assignment__slot__isnull=True).count()
    return [
        within(f"{label}: the same person twice on one comparison", people, "", 0),
        within(f"{label}: comparisons with more judgements than their overlap", over, "", 0),
        within(f"{label}: judgements without a place", extra, "", 0),
    ]


if __name__ == "__main__":
    sys.exit(main())
