"""Answers spelt in the letters of the page, and in the ids of responses.

Ids count upwards in the order in which things were generated, and an attentive annotator would learn to read them; so
pages and clients of annotators know letters only.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from django.core.exceptions import ValidationError

from annotate.ranking.answer import foreign
from annotate.ranking.models import Assignment, Judgement
from annotate.ranking.selectors import letters

_KEY = re.compile(r"[a-z][a-z0-9_]{0,39}\Z")

Spell = Callable[[str, object], str | None]  # (part of the answer, name of a response) -> its other name


def to_letters(shown: Assignment | Judgement, answer: Mapping[str, Any]) -> dict[str, Any]:
    """An answer in response ids, spelt in the letters of the page; what speaks of no response on it is left out."""
    names = letters(shown.display_order)
    return _spell(answer, lambda part, response: names.get(str(response)))


def to_ids(assignment: Assignment, answer: Mapping[str, Any]) -> dict[str, Any]:
    """An answer in letters, spelt in response ids. ValidationError if it speaks of something else, ids included."""
    names = {letter: pk for pk, letter in letters(assignment.display_order).items()}

    def spell(part: str, letter: object) -> str:
        if (pk := names.get(str(letter))) is None:
            raise ValidationError({part: [foreign(letter)]})
        return pk

    spelt = _spell(answer, spell)
    if not _KEY.match(str(spelt.get("step") or "")):
        spelt.pop("step", None)
    return spelt


def _spell(answer: Mapping[str, Any], spell: Spell) -> dict[str, Any]:
    """What has another shape than an answer stays, for the service to refuse."""
    result = dict(answer)
    for part in ("rankings", "strengths", "ratings"):
        if isinstance(answer.get(part), Mapping):
            result[part] = {
                key: _spell_row(part, row, spell) if isinstance(row, Mapping) else row
                for key, row in answer[part].items()
            }
    if isinstance(answer.get("flags"), list):
        spelt = [_spell_response("flags", flag, spell) for flag in answer["flags"]]
        result["flags"] = [flag for flag in spelt if flag is not None]
    if "edit" in answer:
        result["edit"] = _spell_response("edit", answer["edit"], spell)
    return result


def _spell_row(part: str, row: Mapping[str, Any], spell: Spell) -> dict[str, Any]:
    spelt = ((spell(part, response), value) for response, value in row.items())
    return {name: value for name, value in spelt if name is not None}


def _spell_response(part: str, value: Any, spell: Spell) -> Any:
    if not isinstance(value, dict) or value.get("response") is None:
        return value
    name = spell(part, value["response"])
    return None if name is None else value | {"response": name}
