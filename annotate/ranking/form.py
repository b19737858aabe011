"""The answer of the page without JavaScript: plain form fields, read in letters, as they were chosen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django.http import QueryDict

from annotate.pairs import dense

Rows = dict[str, dict[str, int]]


def form_read(form: QueryDict, keys: Sequence[str]) -> dict[str, Any]:
    """The answer in `form`; `keys` are the letters of the item.

    Fields: rank-DIMENSION-A, points-KEY-A, verdict-DIMENSION (A, B, tie or bad), strength-DIMENSION, best-DIMENSION,
    all_bad, flag (KEY:A, or KEY: about the prompt), rationale, edit-response with edit-text.
    """
    rankings, all_bad, strengths = rows_read(form, "rank"), form.getlist("all_bad"), {}
    for dimension, verdict in _chosen(form, "verdict").items():
        if verdict == "bad":
            all_bad.append(dimension)
        known = verdict in ("tie", "bad", *keys)  # what is not is left for `to_ids` to refuse
        rankings[dimension] = (
            {key: 1 if verdict in ("tie", "bad", key) else 2 for key in keys} if known else {verdict: 1}
        )
        strength = form.get(f"strength-{dimension}", "")
        if verdict in keys and strength.isdecimal():
            strengths[dimension] = {verdict: int(strength)}
    for dimension, best in _chosen(form, "best").items():
        rankings[dimension] = {best: 1}
    flags = []
    for value in form.getlist("flag"):
        key, _, letter = str(value).partition(":")
        flags.append({"flag": key} | ({"response": letter} if letter else {}))
    edited = form.get("edit-response")
    return {
        "rankings": rankings,
        "strengths": strengths,
        "ratings": rows_read(form, "points"),
        "all_bad": all_bad,
        "flags": flags,
        "rationale": form.get("rationale", ""),
        "edit": {"response": edited, "text": form.get("edit-text", "")} if edited else None,
    }


def gaps_closed(given: Mapping[str, Any]) -> dict[str, Any]:
    """A person who chose 1 and 3 meant 1 and 2."""
    return dict(given) | {"rankings": {d: dense(ranks) for d, ranks in given["rankings"].items()}}


def rows_read(form: QueryDict, prefix: str) -> Rows:
    """{key: {letter: number}} of the fields PREFIX-KEY-LETTER that hold a number."""
    rows: Rows = {}
    for name, value in form.items():
        if name.startswith(f"{prefix}-") and str(value).isdecimal():
            key, _, letter = name.removeprefix(f"{prefix}-").rpartition("-")
            rows.setdefault(key, {})[letter] = int(str(value)[:9])
    return rows


def _chosen(form: QueryDict, prefix: str) -> dict[str, str]:
    return {
        name.removeprefix(f"{prefix}-"): str(value)
        for name, value in form.items()
        if name.startswith(f"{prefix}-") and value
    }
