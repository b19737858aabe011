"""What other annotation platforms export: Label Studio (JSON) and Argilla (records as JSON). Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from annotate.formats.jsonl import Refused, Unusable, kind_of
from annotate.formats.readers.base import (
    Context,
    Format,
    Row,
    check_replies,
    each,
    messages,
    name,
    need,
    number,
    prompt,
    rest,
    text,
)
from annotate.formats.records import Pair, Ranking, Rating, Record, Response, dense, rated

ASKED = ("prompt", "instruction", "question", "query", "input", "context", "conversation", "messages", "text")


def _asked(fields: Row, taken: Sequence[str] = ()) -> str:
    found = next((key for key in ASKED if fields.get(key) and key not in taken), None)
    if found is None:
        keys = ", ".join(f"“{key[:40]}”" for key in list(fields)[:6])
        raise Refused(f"None of its fields is named like a prompt. They are: {keys}. Name it with a column mapping.")
    return found


# Label Studio -------------------------------------------------------------------------------------------------------


def read_label_studio(row: Row, line: int, context: Context) -> Record:
    """One task with its annotations: Pairwise (left, right) or Ranker (a list of ids, or one bucket of them)."""
    data = need(row, "data")
    if not isinstance(data, dict):
        raise Refused(f"data must be an object, found {kind_of(data)}.")
    given = row.get("annotations") or []
    if not isinstance(given, list) or not all(isinstance(item, dict) for item in given):
        raise Refused("annotations must be a list of objects.")
    results = [
        (name(_who(annotation)), result)
        for annotation in given
        if not annotation.get("was_cancelled")
        for result in _listed(annotation.get("result"))
        if isinstance(result, dict) and isinstance(result.get("value"), dict)
    ]
    if any(result.get("type") == "ranker" or "ranker" in result["value"] for _, result in results):
        return _ranker(row, data, results, line, context)
    if any(result.get("type") == "pairwise" for _, result in results):
        return _pairwise(row, data, results, line, context)
    raise Unusable("None of its annotations is of Pairwise or Ranker.")


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _who(annotation: Row) -> Any:
    who = annotation.get("completed_by")
    return who.get("email") or who.get("id") if isinstance(who, dict) else who


def _pairwise(row: Row, data: Row, results: Sequence[tuple[str, Row]], line: int, context: Context) -> Record:
    keys = _sides(data, next(name(result.get("to_name")) for _, result in results if result.get("type") == "pairwise"))
    responses = tuple(Response(text(data, key)) for key in keys)
    check_replies(responses, context, different=False)
    asked = _asked(data, keys)
    pairs = []
    for who, result in results:
        if result.get("type") != "pairwise":
            continue
        side = result["value"].get("selected")
        if side not in ("left", "right", "none", "tie", None):
            raise Refused(f"selected is “{str(side)[:20]}”; expected left or right.")
        if side == "left" or side == "right":
            pairs.append(Pair(int(side == "right"), int(side == "left"), context.dimension, who))
    if not pairs:
        raise Unusable("No annotation selects a side.")
    return Record(
        "pair",
        line,
        prompt(messages(data[asked], asked)),
        responses,
        pairs=tuple(pairs),
        source_id=name(row.get("id")),
        metadata=rest(data, asked, *keys),
    )


def _sides(data: Row, to_name: str) -> tuple[str, str]:
    """The two fields that were compared: named by the control, or two whose names differ by 1 and 2, a and b."""
    named = [key.strip() for key in to_name.split(",")]
    if len(named) == 2 and all(key in data for key in named):
        return named[0], named[1]
    for first in data:
        for one, two in (("1", "2"), ("a", "b"), ("A", "B"), ("left", "right"), ("x", "y"), ("0", "1")):
            start, mark, end = first.rpartition(one)
            second = start + two + end
            if mark and second in data and isinstance(data[first], str) and isinstance(data[second], str):
                return first, second
    raise Refused("The two compared fields are not clear. Name them answer1 and answer2 with a column mapping.")


def _ranker(row: Row, data: Row, results: Sequence[tuple[str, Row]], line: int, context: Context) -> Record:
    key = next((key for key, value in data.items() if _items(value)), None)
    if key is None:
        raise Refused("data holds no list of items with ids.")
    ids = [name(item.get("id")) for item in data[key]]
    responses = tuple(
        Response(text(item, next((k for k in ("body", "text", "title", "html") if item.get(k)), "body")), id=found)
        for item, found in zip(data[key], ids, strict=True)
    )
    check_replies(responses, context, different=False)
    known = set(ids)
    asked = _asked(data, (key,))
    rankings = []
    for who, result in results:
        order = _order(result["value"].get("ranker"))
        if order is None:
            continue
        unknown = next((found for found in order if found not in known), None)
        if unknown is not None:
            raise Refused(f"The ranking names “{unknown[:40]}”, which is none of the items.")
        if len(order) < 2:
            continue
        places = {found: rank for rank, found in enumerate(order, 1)}
        rankings.append(Ranking(tuple(map(places.get, ids)), context.dimension, who))
    if not rankings:
        raise Unusable("No annotation ranks two items.")
    return Record(
        "ranking",
        line,
        prompt(messages(data[asked], asked)),
        responses,
        rankings=tuple(rankings),
        source_id=name(row.get("id")),
        metadata=rest(data, asked, key),
    )


def _items(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(item, dict) and "id" in item for item in value)


def _order(value: Any) -> list[str] | None:
    if isinstance(value, dict):
        filled = [bucket for bucket, items in value.items() if items]
        # `_` holds what was not sorted, unless it is the only list there is.
        sorted_ = [bucket for bucket in filled if bucket != "_"] or filled
        if len(sorted_) > 1:
            raise Unusable("Its items are in several buckets, and the export does not say which is better.")
        value = value[sorted_[0]] if sorted_ else []
    if value is None:
        return None
    if not isinstance(value, list):
        raise Refused(f"ranker must be a list or an object of lists, found {kind_of(value)}.")
    return list(dict.fromkeys(name(item) for item in value))


# Argilla ------------------------------------------------------------------------------------------------------------


def read_argilla(row: Row, line: int, context: Context) -> Record:
    """One record with fields, and the responses (or else the suggestion) to its ranking and rating questions."""
    fields = need(row, "fields")
    if not isinstance(fields, dict):
        raise Refused(f"fields must be an object, found {kind_of(fields)}.")
    fields = {key: value for key, value in fields.items() if value}
    answers = _answers(row)
    asked = _asked(fields)
    keys = [key for key in fields if key != asked and isinstance(fields[key], str)]
    named = {_plain(key): key for key in keys}
    ranked = [key for key in keys if any(_plain(key) in map(_plain, _labels(value)) for _, _, value in answers)]
    keys = ranked or [key for key in keys if re.search(r"respon|answer|completion|output|generation|text|chosen", key)]
    if not keys:
        raise Refused("None of its fields is named like a response. Name them response1, response2, ...")
    responses = tuple(Response(fields[key], id=key) for key in keys)
    check_replies(responses, context, different=False)
    places = {key: position for position, key in enumerate(keys)}
    rankings: list[Ranking] = []
    scores: dict[tuple[str, str], list[float | None]] = {}
    for question, who, value in answers:
        if isinstance(value, list):
            ranks = _argilla_ranks(value, named, places)
            if ranks and sum(rank is not None for rank in ranks) >= 2:
                rankings.append(Ranking(ranks, _dimension(question, keys) or context.dimension, who))
        elif isinstance(value, int | float) and not isinstance(value, bool):
            position = next((places[key] for key in keys if _plain(key) in _plain(question)), 0)
            about = _dimension(question, keys) or context.dimension
            scores.setdefault((about, who), [None] * len(keys))[position] = number(value, question)
    ratings = tuple(Rating(tuple(values), about, who) for (about, who), values in scores.items())
    judged = (*rankings, *rated(ratings))
    metadata = row.get("metadata") if isinstance(row.get("metadata"), dict) else {}
    return Record(
        "ranking" if judged else "responses",
        line,
        prompt(messages(fields[asked], asked)),
        responses,
        rankings=judged,
        ratings=ratings,
        source_id=name(row.get("id") or row.get("external_id")),
        metadata={**rest(fields, asked, *keys), **(metadata or {})},
    )


def _answers(row: Row) -> list[tuple[str, str, Any]]:
    """(question, annotator, value) of every submitted response; of the suggestions where nobody responded."""
    found: list[tuple[str, str, Any]] = []
    given = row.get("responses") or {}
    if isinstance(given, list):  # the older client: [{"user_id", "values": {question: {"value"}}, "status"}]
        for response in given:
            if not isinstance(response, dict) or response.get("status") in ("discarded", "draft"):
                continue
            for question, answer in (response.get("values") or {}).items():
                found.append((question, name(response.get("user_id")), _value(answer)))
    elif isinstance(given, dict):
        for question, answers in given.items():
            for answer in answers if isinstance(answers, list) else []:
                if isinstance(answer, dict) and answer.get("status") not in ("discarded", "draft"):
                    found.append((question, name(answer.get("user_id")), _value(answer)))
    else:
        raise Refused(f"responses must be an object or a list, found {kind_of(given)}.")
    if found:
        return found
    suggestions = row.get("suggestions") or {}
    if isinstance(suggestions, list):
        suggestions = {name(item.get("question_name")): item for item in suggestions if isinstance(item, dict)}
    if not isinstance(suggestions, dict):
        raise Refused(f"suggestions must be an object or a list, found {kind_of(suggestions)}.")
    return [
        (question, name(item.get("agent") if isinstance(item, dict) else "") or "suggestion", _value(item))
        for question, item in suggestions.items()
    ]


def _value(answer: Any) -> Any:
    return answer.get("value") if isinstance(answer, dict) else answer


def _labels(value: Any) -> list[str]:
    items = value if isinstance(value, list) else []
    return [name(item.get("value") if isinstance(item, dict) else item) for item in items]


def _argilla_ranks(value: list[Any], named: dict[str, str], places: dict[str, int]) -> tuple[int | None, ...] | None:
    ranks: list[float | None] = [None] * len(places)
    for position, (item, label) in enumerate(zip(value, _labels(value), strict=True), 1):
        key = named.get(_plain(label))
        if key not in places:
            return None  # a question about something else than the responses
        rank = item.get("rank", position) if isinstance(item, dict) else position
        ranks[places[key]] = number(rank, "A rank")
    return dense(ranks)


def _plain(key: str) -> str:
    return re.sub(r"[^a-z0-9]", "", key.lower())


def _dimension(question: str, keys: Sequence[str]) -> str:
    """What a question is about, by its name, without the response it is about: `helpfulness_response_1`."""
    about = question.lower()
    for key in keys:
        about = about.replace(key.lower(), "")
    about = about.strip("_- ")
    generic = ("ranking", "rating", "rank", "preference", "score", "quality", "")
    return "" if about in generic else about[:60]


# recognition --------------------------------------------------------------------------------------------------------


def _fits_label_studio(row: Row) -> str:
    found = isinstance(row.get("data"), dict) and isinstance(row.get("annotations"), list)
    return "it has tasks with data and annotations" if found else ""


def _fits_argilla(row: Row) -> str:
    found = isinstance(row.get("fields"), dict) and ("responses" in row or "suggestions" in row)
    return "it has records with fields and responses" if found else ""


FORMATS = (
    Format(
        "label-studio",
        "Label Studio (JSON export)",
        "pair",
        each(read_label_studio),
        _fits_label_studio,
        0.95,
        ("data",),
    ),
    Format("argilla", "Argilla (records as JSON)", "ranking", each(read_argilla), _fits_argilla, 0.95),
)
