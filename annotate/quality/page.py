"""From a quality report to what its page shows: rows in words, and charts."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.utils import timezone

from accounts.models import User
from annotate.projects.models import Project
from annotate.quality.charts import band_chart, bar_chart, dot_plot
from annotate.quality.selectors import quality_of
from annotate.quality.words import FLAGS, GROUPS, STATISTICS, STRENGTHS, statistic_text, two
from annotate.ranking.vocabulary import SKIP_REASONS

STUCK = timedelta(minutes=2)  # that long, a worker would have taken it
SHOWN = 40  # annotators in the chart
LISTED = 200  # in the table; the endpoint has all

Json = dict[str, Any]


def quality_page(project: Project, group: str = "") -> Json:
    """The context of the page. group: which kind of annotators to show, if there are both."""
    report = quality_of(project)
    now = timezone.now()
    waiting = report is not None and report.requested_at is not None
    data: Json = report.data if report else {}
    groups: Json = data.get("groups", {})
    chosen = group if group in groups else next(iter(groups), "")
    return {
        "project": project,
        "report": report,
        "waiting": waiting,
        "stuck": waiting and now - report.requested_at > STUCK,
        "age": now - report.computed_at if report and report.computed_at else None,
        "counts": data.get("counts"),
        "skips": [
            {"reason": SKIP_REASONS.get(reason, reason), "n": n} for reason, n in data.get("skips", {}).items()
        ],
        "groups": [{"key": key, "label": GROUPS[key], "here": key == chosen} for key in groups],
        "group": chosen,
        "statistics": STATISTICS,
        "flag_words": FLAGS,
        **(_group(project, groups[chosen]) if chosen else {}),
    }  # fmt: skip


def _group(project: Project, group: Json) -> Json:
    labels = dict(project.dimensions.values_list("key", "label"))
    people = _people(group, labels)
    return {
        "figures": group,
        "dimensions": [_dimension(one, labels) for one in group["dimensions"]],
        "people": people[:LISTED],
        "people_count": len(people),
        "flagged": sum(bool(person["flags"]) for person in people),
        "reliability_chart": _reliability_chart(people),
        "shown": min(len(people), SHOWN),
        "places_chart": _places_chart(group["places"]),
        "seconds_chart": _seconds_chart(group["seconds"]),
    }


def _dimension(one: Json, labels: dict[str, str]) -> Json:
    strict = one["statistics"][0]
    weeks = one["slices"]["week"]
    return {
        **one,
        "label": labels.get(one["key"], one["key"]),
        "rows": [
            {**row, "label": STATISTICS[row["key"]].label, "text": statistic_text(row),
             "by_chance": statistic_text({**row, "value": row["chance"], "low": None})}
            for row in one["statistics"]
        ],
        "overall": strict,
        "chart": band_chart([(row["name"], _triple(row)) for row in weeks], chance=0.5) if len(weeks) > 1 else None,
        "tags": one["slices"]["tag"],
        "weeks": weeks,
        "strengths": [{**row, "label": STRENGTHS[row["name"]]} for row in one["slices"]["strength"]],
    }  # fmt: skip


def _people(group: Json, labels: dict[str, str]) -> list[Json]:
    """The annotators, those with flags first, then by rising reliability."""
    users = User.objects.in_bulk([int(key) for key in group["annotators"]])
    found = []
    for key, person in group["annotators"].items():
        user = users.get(int(key))
        found.append(
            {
                **person,
                "user": user,
                "name": user.username if user else f"annotator {key}",
                "flags": [FLAGS[flag] for flag in person["flags"]],
                "tau": {**person["tau"], "text": two(person["tau"]["value"])} if person["tau"] else None,
                "dimensions": [
                    {"label": labels.get(name, name), **one} for name, one in person["by_dimension"].items()
                ],
            }
        )  # fmt: skip
    return sorted(found, key=lambda person: (not person["flags"], person["reliability"]["value"], person["name"]))


def _reliability_chart(people: list[Json]) -> Any:
    rows = [
        (person["name"], _triple(person["reliability"]), bool(person["flags"]))
        for person in people[:SHOWN]
        if person["reliability"]["votes"]
    ]
    return dot_plot(rows, chance=0.5) if rows else None


def _places_chart(places: Json | None) -> Any:
    if not places:
        return None
    bars = [(_ordinal(n), _triple(place)) for n, place in enumerate(places["places"], 1)]
    return bar_chart(bars, chance=places["chance"])


def _seconds_chart(seconds: Json | None) -> Any:
    if not seconds:
        return None
    edges = seconds["edges"]
    bars = [
        (_short_time(edge), (count / seconds["n"], None, None))
        for edge, count in zip(edges, seconds["counts"], strict=True)
    ]
    while bars and not bars[-1][1][0]:
        bars.pop()
    return bar_chart(bars)


def _triple(estimate: Json) -> tuple[float, float | None, float | None]:
    return estimate["value"], estimate["low"], estimate["high"]


def _short_time(seconds: int) -> str:
    return f"{seconds}" if seconds < 60 else f"{seconds // 60}m" if seconds % 60 == 0 else f"{seconds / 60:g}m"


def _ordinal(n: int) -> str:
    return f"{n}{'th' if 10 <= n % 100 <= 20 else {1: 'st', 2: 'nd', 3: 'rd'}.get(n % 10, 'th')}"
