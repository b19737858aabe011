"""Preferences as research groups publish them: HH, Open-Assistant, UltraFeedback, HelpSteer, FineGrainedRLHF. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import partial
from itertools import combinations
from typing import Any

from annotate.formats.conversations import Message
from annotate.formats.jsonl import Findings, Refused, Unusable, kind_of
from annotate.formats.rankings import RankingRecord, hh_record, oasst_comparisons
from annotate.formats.readers.base import (
    Context,
    Format,
    Numbered,
    Row,
    check_replies,
    each,
    messages,
    name,
    need,
    number,
    of_rows,
    pair_record,
    prompt,
    rest,
    score,
    text,
)
from annotate.formats.readers.trl import completed
from annotate.formats.records import Pair, Ranking, Rating, Record, Response, rated, weak_order

# Anthropic HH and Open-Assistant ------------------------------------------------------------------------------------


def read_hh(row: Row, line: int, context: Context) -> Record:
    """Two transcripts, chosen and rejected, alike up to the last reply."""
    found = hh_record(row, line)
    chosen, rejected = (response.text for response in found.responses)
    return pair_record(line, found.messages, chosen, rejected, context, metadata=rest(row, "chosen", "rejected"))


def read_trees(rows: Sequence[Numbered], context: Context) -> Iterable[Record]:
    """One message tree a row: every prompter message with two ranked replies is a comparison."""
    for line, row in rows:
        yield from _tree(row.get("prompt", row), line, context)


def read_messages(rows: Sequence[Numbered], context: Context) -> Iterable[Record]:
    """The rows of one tree, a message each, put together by their parents."""
    children: dict[str, list[Row]] = {}
    for _, row in rows:
        rank = row.get("rank")
        message = {**row, "rank": int(rank) if isinstance(rank, float) and rank.is_integer() else rank}
        children.setdefault(name(row.get("parent_id")), []).append(message)
    seen: set[str] = set()
    level = roots = children.get("", [])
    while level:
        below = []
        for message in level:
            key = name(message.get("message_id"))
            message["replies"] = [] if key in seen else children.get(key, [])
            seen.add(key)
            below += message["replies"]
        level = below
    for root in roots:
        yield from _tree(root, rows[0][0], context)


def _tree(root: Any, line: int, context: Context) -> Iterable[Record]:
    if not isinstance(root, dict) or "replies" not in root:
        raise Refused("It is no message tree: there is no prompt with replies.")
    findings = Findings()
    found = [_ranked(record, context) for record in oasst_comparisons(root, line, findings)]
    if findings.skipped and not found:
        raise Unusable(findings.skipped[0].reason)
    if not found:
        raise Unusable("No message in this tree has two ranked replies.")
    return found


def _ranked(found: RankingRecord, context: Context) -> Record:
    responses = tuple(Response(response.text, generator=name(response.generator)) for response in found.responses)
    check_replies(responses, context)
    return Record(
        "ranking",
        found.line,
        found.messages,
        responses,
        rankings=(Ranking(tuple(response.rank for response in found.responses), context.dimension),),
        language=found.language,
        source_id=name(found.metadata.get("message_id")),
    )


# UltraFeedback ------------------------------------------------------------------------------------------------------


def read_ultrafeedback(row: Row, line: int, context: Context) -> Record:
    """An instruction with completions, each with a rating and a rationale per aspect, and an overall score."""
    given = need(row, "completions")
    if not isinstance(given, list) or not all(isinstance(item, dict) for item in given):
        raise Refused("completions must be a list of objects.")
    if not given:
        raise Unusable("It has no completions.")
    responses = tuple(
        Response(text(item, "response"), generator=name(item.get("model")), metadata=rest(item, *_COMPLETION))
        for item in given
    )
    check_replies(responses, context, different=False)
    scores: dict[str, list[float | None]] = {}
    for position, item in enumerate(given):
        annotations = item.get("annotations") or {}
        if not isinstance(annotations, dict):
            raise Refused(f"annotations must be an object, found {kind_of(annotations)}.")
        aspects = {aspect: found.get("Rating") for aspect, found in annotations.items() if isinstance(found, dict)}
        aspects["overall"] = item.get("overall_score")
        for aspect, value in aspects.items():
            points = score(value, f"The rating of {aspect}")
            if points is not None:
                scores.setdefault(aspect, [None] * len(given))[position] = points
    ratings = tuple(Rating(tuple(values), aspect) for aspect, values in sorted(scores.items()))
    return Record(
        "ranking" if ratings else "responses",
        line,
        prompt(messages(text(row, "instruction"), "instruction")),
        responses,
        rankings=rated(ratings),
        ratings=ratings,
        source=name(row.get("source")),
        metadata=rest(row, "instruction", "completions", "source", "models"),
    )


_COMPLETION = ("response", "model", "overall_score")


def read_binarized(row: Row, line: int, context: Context) -> Record:
    """prompt, chosen and rejected as conversations that repeat it, with the score of each."""
    given = messages(row["prompt"], "prompt") if row.get("prompt") is not None else None
    turns, chosen = completed(given, need(row, "chosen"), "chosen")
    others, rejected = completed(given, need(row, "rejected"), "rejected")
    if turns != others:
        raise Unusable("chosen and rejected do not answer the same prompt.")
    found = [score(row.get(a, row.get(b)), a) for a, b in zip(_SCORES, _RATINGS, strict=True)]
    return pair_record(
        line,
        turns,
        chosen,
        rejected,
        context,
        generators=(name(row.get("chosen-model")), name(row.get("rejected-model"))),
        ratings=(Rating(tuple(found), context.dimension),) if None not in found else (),
        source=name(row.get("source")),
        source_id=name(row.get("prompt_id")),
        metadata=rest(row, "prompt", "chosen", "rejected", "messages", "source", "prompt_id", *_SCORES, *_RATINGS),
    )


_SCORES, _RATINGS = ("score_chosen", "score_rejected"), ("chosen-rating", "rejected-rating")


# HelpSteer ----------------------------------------------------------------------------------------------------------

ATTRIBUTES = ("helpfulness", "correctness", "coherence", "complexity", "verbosity")
_TURN = re.compile(r"\n?<extra_id_1>(User|Assistant)\n")


def read_helpsteer(rows: Sequence[Numbered], context: Context) -> Iterable[Record]:
    """Rows of one prompt, a response each with five scores: a ranking per attribute of the responses side by side."""
    line, first = rows[0]
    responses = tuple(of_rows(lambda row: Response(text(row, "response")), rows))
    check_replies(responses, context, different=False)
    ratings = tuple(
        Rating(tuple(of_rows(partial(_points, attribute), rows)), attribute)
        for attribute in ATTRIBUTES
        if any(row.get(attribute) is not None for _, row in rows)
    )
    rankings = rated(ratings)
    yield Record(
        "ranking" if rankings else "responses",
        line,
        prompt(_turns(text(first, "prompt"))),
        responses,
        rankings=rankings,
        ratings=ratings,
        metadata=rest(first, "prompt", "response", *ATTRIBUTES),
    )


def _points(attribute: str, row: Row) -> float | None:
    return score(row.get(attribute), attribute)


def _turns(value: str) -> list[Message]:
    parts = _TURN.split(value)
    roles = ["user", *("user" if role == "User" else "assistant" for role in parts[1::2])]
    return [{"role": role, "content": said} for role, said in zip(roles, parts[0::2], strict=True)]


def read_helpsteer_preference(row: Row, line: int, context: Context) -> Record:
    """HelpSteer2's preferences: response_1, response_2, and a strength from -3 (the first) to 3 (the second)."""
    turns = _turns(text(row, "prompt"))
    scores = [(number(need(row, "preference_strength"), "preference_strength"), "")]
    return _strengths(row, line, turns, ("response_1", "response_2"), scores, context)


def read_helpsteer3(row: Row, line: int, context: Context) -> Record:
    """HelpSteer3: a context, response1, response2, and the preference of each of its annotators."""
    single = row.get("individual_preference") or []
    if not isinstance(single, list) or not all(isinstance(item, dict) for item in single):
        raise Refused("individual_preference must be a list of objects.")
    scores = [(number(need(item, "score"), "score"), name(item.get("reasoning"))) for item in single]
    scores = scores or [(number(need(row, "overall_preference"), "overall_preference"), "")]
    return _strengths(row, line, messages(need(row, "context"), "context"), ("response1", "response2"), scores, context)


def _strengths(
    row: Row,
    line: int,
    turns: list[Message],
    keys: tuple[str, str],
    scores: Sequence[tuple[float, str]],
    context: Context,
) -> Record:
    responses = (Response(text(row, keys[0])), Response(text(row, keys[1])))
    check_replies(responses, context)
    pairs = tuple(
        Pair(
            int(value > 0),
            int(value <= 0),
            dimension=context.dimension,
            annotator=str(position) if len(scores) > 1 else "",
            preference=0.5 if value == 0 else 1.0,
            margin=abs(value),
            rationale=why,
        )
        for position, (value, why) in enumerate(scores, 1)
    )
    more = rest(row, "prompt", "context", *keys, "preference_strength", "individual_preference", "split", "language")
    return Record(
        "pair",
        line,
        prompt(turns),
        responses,
        pairs=pairs,
        language=name(row.get("language"))[:16],
        split=name(row.get("split")),
        metadata=more,
    )


# FineGrainedRLHF ----------------------------------------------------------------------------------------------------


def read_finegrained(row: Row, line: int, context: Context) -> Record:
    """A question, passages, four predictions, and a preference (1 first, 2 second, 0 even) for each of their pairs."""
    passages = row.get("passages") or []
    if not isinstance(passages, list) or not all(isinstance(passage, list) for passage in passages):
        raise Refused("passages must be a list of lists.")
    parts = [text(row, "question"), *("\n".join(map(str, passage)) for passage in passages)]
    keys = sorted(key for key in row if re.fullmatch(r"prediction \d", key))
    responses = tuple(Response(text(row, key)) for key in keys)
    check_replies(responses, context, different=False)
    given = need(row, "preference")
    couples = list(combinations(range(len(keys)), 2))
    if not isinstance(given, list) or len(given) != len(couples):
        raise Refused(f"preference must have {len(couples)} values for {len(keys)} predictions.")
    if not all(value in (0, 1, 2) and not isinstance(value, bool) for value in given):
        raise Refused("A preference must be 0, 1 or 2.")
    signs = {couple: {0: 0, 1: 1, 2: -1}[value] for couple, value in zip(couples, given, strict=True)}
    ranks = weak_order(len(keys), signs)
    return Record(
        "ranking" if ranks else "pair",
        line,
        prompt([{"role": "user", "content": "\n\n".join(parts)}]),
        responses,
        rankings=(Ranking(ranks, context.dimension),) if ranks else (),
        pairs=() if ranks else tuple(_pair(i, j, sign, context) for (i, j), sign in signs.items()),
        metadata=rest(row, "question", "passages", "preference", *keys),
    )


def _pair(i: int, j: int, sign: int, context: Context) -> Pair:
    chosen, rejected = (j, i) if sign < 0 else (i, j)
    return Pair(chosen, rejected, dimension=context.dimension, preference=1.0 if sign else 0.5)


# recognition --------------------------------------------------------------------------------------------------------


def _fits_hh(row: Row) -> str:
    chosen = row.get("chosen")
    found = isinstance(chosen, str) and isinstance(row.get("rejected"), str) and chosen.startswith("\n\nHuman:")
    return "chosen and rejected are transcripts of Human and Assistant" if found else ""


def _fits_trees(row: Row) -> str:
    root = row.get("prompt", row)
    found = isinstance(root, dict) and "replies" in root and "text" in root
    return "it has messages with replies" if found else ""


def _fits_messages(row: Row) -> str:
    return "it has messages with parents and trees" if {"message_id", "message_tree_id", "role"} <= row.keys() else ""


def _fits_ultrafeedback(row: Row) -> str:
    given = row.get("completions")
    first = given[0] if isinstance(given, list) and given else None
    found = "instruction" in row and isinstance(first, dict) and {"response", "annotations"} <= first.keys()
    return "its completions have annotations" if found else ""


def _fits_binarized(row: Row) -> str:
    scored = {*_SCORES} <= row.keys() or {*_RATINGS} <= row.keys()
    return "it has chosen and rejected with their scores" if scored and {"chosen", "rejected"} <= row.keys() else ""


def _fits_helpsteer(row: Row) -> str:
    return "it has a response with five scores" if {"prompt", "response", *ATTRIBUTES} <= row.keys() else ""


def _fits_helpsteer_preference(row: Row) -> str:
    return "it has two responses and preference_strength" if {"response_1", "preference_strength"} <= row.keys() else ""


def _fits_helpsteer3(row: Row) -> str:
    found = {"context", "response1", "response2", "overall_preference"} <= row.keys()
    return "it has context, two responses and overall_preference" if found else ""


def _fits_finegrained(row: Row) -> str:
    return "it has a question, predictions and preference" if {"prediction 1", "preference"} <= row.keys() else ""


FORMATS = (
    Format(
        "hh", "Anthropic HH", "pair", each(read_hh), _fits_hh, 0.98, ("chosen", "rejected"), dimension="harmlessness"
    ),
    Format("oasst", "Open-Assistant trees", "ranking", read_trees, _fits_trees, 0.95),
    Format(
        "oasst-messages",
        "Open-Assistant messages",
        "ranking",
        read_messages,
        _fits_messages,
        0.9,
        group=lambda row: name(row.get("message_tree_id")),
    ),
    Format("ultrafeedback", "UltraFeedback", "ranking", each(read_ultrafeedback), _fits_ultrafeedback, 0.98),
    Format("ultrafeedback-binarized", "UltraFeedback binarized", "pair", each(read_binarized), _fits_binarized, 0.95),
    Format(
        "helpsteer",
        "HelpSteer, HelpSteer2",
        "ranking",
        read_helpsteer,
        _fits_helpsteer,
        0.98,
        ("prompt", "response", *ATTRIBUTES),
        group=lambda row: row.get("prompt") if isinstance(row.get("prompt"), str) else "",
    ),
    Format(
        "helpsteer2-preference",
        "HelpSteer2 preference",
        "pair",
        each(read_helpsteer_preference),
        _fits_helpsteer_preference,
        0.98,
    ),
    Format("helpsteer3", "HelpSteer3 preference", "pair", each(read_helpsteer3), _fits_helpsteer3, 0.98),
    Format("finegrained", "FineGrainedRLHF", "ranking", each(read_finegrained), _fits_finegrained, 0.98),
)
