"""Answers spelt in the letters of the page, and in the ids of responses.

Ids count upwards in the order in which things were generated, and an attentive annotator would learn to read them; so
the page knows letters only.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from annotate.ranking.models import Assignment
from annotate.ranking.selectors import letters

_KEY = re.compile(r"[a-z][a-z0-9_]{0,39}\Z")


def to_letters(assignment: Assignment, answer: Mapping[str, Any]) -> dict[str, Any]:
    """An answer in response ids, spelt in the letters of the page."""
    return _spell(answer, letters(assignment.display_order))


def to_ids(assignment: Assignment, answer: Mapping[str, Any]) -> dict[str, Any]:
    """An answer in letters, spelt in response ids. Unknown letters stay, for the service to refuse."""
    spelt = _spell(answer, {letter: pk for pk, letter in letters(assignment.display_order).items()})
    if not _KEY.match(str(spelt.get("step") or "")):
        spelt.pop("step", None)
    return spelt


def _spell(answer: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    result = dict(answer)
    for part in ("rankings", "strengths", "ratings"):
        if isinstance(answer.get(part), Mapping):
            result[part] = {
                key: {names.get(str(response), response): value for response, value in row.items()}
                if isinstance(row, Mapping)
                else row
                for key, row in answer[part].items()
            }
    if isinstance(answer.get("flags"), list):
        result["flags"] = [_spell_response(flag, names) for flag in answer["flags"]]
    result["edit"] = _spell_response(answer.get("edit"), names)
    return result


def _spell_response(value: Any, names: Mapping[str, str]) -> Any:
    if isinstance(value, dict) and value.get("response") is not None:
        return value | {"response": names.get(str(value["response"]), value["response"])}
    return value
