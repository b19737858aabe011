"""Template helpers that every page may use. They format; they know no domain."""

from __future__ import annotations

import math
from datetime import timedelta

from django import template
from django.http import HttpRequest

register = template.Library()


@register.filter
def number(value: object, digits: int = 3) -> str:
    """A figure for people: significant digits, thousands separated, a real minus sign; a dash where there is none."""
    if value is None or value == "":
        return "–"
    figure = float(value)  # type: ignore[arg-type]
    if not math.isfinite(figure):
        return "–"
    if figure == int(figure) and abs(figure) < 1e15:
        text = f"{int(figure):,}"
    elif abs(figure) >= 1000:
        text = f"{figure:,.0f}"
    elif 0 < abs(figure) < 1e-3:
        text = f"{figure:.{max(int(digits) - 1, 0)}e}"
    else:
        text = f"{figure:.{int(digits)}g}"
    return text.replace("-", "−")


@register.filter
def percent(value: object, digits: int = 1) -> str:
    """A share in per cent: `12.5 %`, with a real minus sign; a dash where there is none."""
    if value is None or value == "":
        return "–"
    return f"{100 * float(value):.{int(digits)}f} %".replace("-", "−")  # type: ignore[arg-type]


@register.filter
def interval(estimate: dict[str, float] | None, style: str = "number") -> str:
    """`0.71 [0.64, 0.77]` from {"value", "low", "high"}; style "percent" for shares."""
    if not estimate or estimate.get("value") is None:
        return "–"
    show = percent if style == "percent" else number
    return f"{show(estimate['value'])} [{show(estimate.get('low'))}, {show(estimate.get('high'))}]"


@register.filter
def has(container: object, item: object) -> bool:
    """Whether `item` is in a container that is not written into the template."""
    return item in container if hasattr(container, "__contains__") else False


@register.filter
def duration(value: object) -> str:
    """Seconds or a timedelta as `4 s`, `3 min 20 s`, `2 h 05 min`."""
    if value is None or value == "":
        return "–"
    seconds = value.total_seconds() if isinstance(value, timedelta) else float(value)  # type: ignore[arg-type]
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(int(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min"


@register.filter
def filesize(value: object) -> str:
    """Bytes in binary units: `540 MiB`."""
    size = float(value or 0)  # type: ignore[arg-type]
    for unit in ("B", "KiB", "MiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "B" or size >= 10 else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} GiB"


@register.simple_tag(takes_context=True)
def current(context: dict[str, object], *prefixes: str) -> str:
    """`aria-current="page"` for a navigation link whose section the present page is in."""
    from django.utils.safestring import mark_safe

    request = context.get("request")
    inside = isinstance(request, HttpRequest) and any(request.path.startswith(prefix) for prefix in prefixes)
    return mark_safe('aria-current="page"') if inside else ""
