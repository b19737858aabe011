"""Plumbline's own files: prompts, prompts with responses, and the rankings and pairs of a dataset version. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from annotate.formats.conversations import check_conversation
from annotate.formats.formulas import cell_text
from annotate.formats.json_values import parse_cell
from annotate.formats.jsonl import Refused, kind_of
from annotate.formats.limits import MAX_RESPONSES
from annotate.formats.prompts import KNOWN, parse_prompt
from annotate.formats.readers.base import (
    Context,
    Format,
    Row,
    each,
    messages,
    name,
    names,
    need,
    number,
    prompt,
    rest,
    text,
)
from annotate.formats.records import Pair, Ranking, Record, Response, dense

RESPONSE_KEYS = ("text", "id", "generator", "is_edit")


def read_prompt(row: Row, line: int, context: Context) -> Record:
    """{"prompt": text or messages} or {"messages": [...]}, with tags, language, source and metadata."""
    if isinstance(row.get("tags"), str):
        row = {**row, "tags": [tag for tag in row["tags"].split(",") if tag.strip()]}  # a cell of a table
    if isinstance(row.get("metadata"), str):
        row = {**row, "metadata": parse_cell(row["metadata"])}
    found = parse_prompt(row, line)
    return Record(
        "prompt",
        line,
        found.messages,
        tags=tuple(found.tags),
        language=found.language,
        source=found.source,
        source_id=name(row.get("id")),
        metadata=found.metadata,
    )


def read_responses(row: Row, line: int, context: Context) -> Record:
    """A prompt with `responses`: texts, or objects with text and generator; `ranks` beside them if they are ranked."""
    start = read_prompt({key: value for key, value in row.items() if key in KNOWN}, line, context)
    responses = _responses(need(row, "responses"), context)
    ranks = row.get("ranks")
    given = need(row, "responses")
    if ranks is None and all(isinstance(item, dict) and "rank" in item for item in given):
        ranks = [item["rank"] for item in given]
    rankings: tuple[Ranking, ...] = ()
    if ranks is not None:
        placed = dense(_ranks(ranks, len(responses)))
        rankings = (Ranking(placed, name(row.get("dimension")) or context.dimension, name(row.get("annotator"))),)
    return Record(
        "ranking" if rankings else "responses",
        line,
        start.prompt,
        responses,
        rankings=rankings,
        tags=start.tags,
        language=start.language,
        source=start.source,
        source_id=name(row.get("id")),
        metadata={**rest(row, *KNOWN, "responses", "ranks", "dimension", "annotator", "id"), **start.metadata},
    )


def _responses(value: Any, context: Context) -> tuple[Response, ...]:
    if not isinstance(value, list) or not value:
        raise Refused(f"responses must be a list of responses, found {kind_of(value) if value != [] else 'none'}.")
    if len(value) > MAX_RESPONSES:
        raise Refused(f"It has {len(value)} responses; at most {MAX_RESPONSES} can be compared.")
    found = []
    for position, item in enumerate(value, 1):
        if isinstance(item, str):
            item = {"text": item}
        if not isinstance(item, dict):
            raise Refused(f"Response {position} must be text or an object, found {kind_of(item)}.")
        said = text(item, "text" if "text" in item else "content")
        if not said.strip() and not context.keep_empty:
            raise Refused(f"Response {position} is empty.")
        found.append(
            Response(
                said,
                id=name(item.get("id")),
                generator=name(item.get("generator") or item.get("model")),
                is_edit=bool(item.get("is_edit")),
                metadata=rest(item, *RESPONSE_KEYS, "content", "model", "rank"),
            )
        )
    return tuple(found)


def _ranks(value: Any, n: int) -> list[int | None]:
    if not isinstance(value, list):
        raise Refused(f"ranks must be a list, found {kind_of(value)}.")
    if len(value) != n:
        raise Refused(f"There are {len(value)} ranks for {n} responses.")
    for rank in value:
        if rank is not None and (isinstance(rank, bool) or not isinstance(rank, int) or rank < 0):
            raise Refused(f"A rank must be a whole number or null, found {str(rank)[:20]}.")
    return value


# dataset versions ---------------------------------------------------------------------------------------------------

RANKING_KEYS = ("comparison", "dimension", "split", "prompt", "responses", "rankings", "tags")
ONE_RANKING = ("ranks", "weight", "annotator", "strengths", "rationale")


def read_ranking(row: Row, line: int, context: Context) -> Record:
    """A line of rankings.jsonl: one comparison and dimension with all its rankings."""
    given = need(row, "responses")
    if not isinstance(given, list):
        raise Refused(f"responses must be a list, found {kind_of(given)}.")
    responses = _responses(given, Context(keep_empty=True))
    dimension = text(row, "dimension")
    rankings, more = [], []
    for item in need(row, "rankings"):
        if not isinstance(item, dict):
            raise Refused(f"A ranking must be an object, found {kind_of(item)}.")
        ranks = tuple(_ranks(need(item, "ranks"), len(responses)))
        strengths = item.get("strengths")
        if strengths is not None and (not isinstance(strengths, list) or len(strengths) != len(responses)):
            raise Refused("strengths must be a list as long as the responses.")
        rankings.append(
            Ranking(
                ranks,
                dimension,
                text(item, "annotator", default=""),
                number(item.get("weight", 1.0), "weight"),
                tuple(strengths) if strengths is not None else None,
                text(item, "rationale", default=""),
            )
        )
        more.append(_others(item, ONE_RANKING))
    metadata = _others(row, RANKING_KEYS)
    if any(more):
        metadata["rankings"] = more
    return Record(
        "ranking",
        line,
        check_conversation(need(row, "prompt")),
        responses,
        rankings=tuple(rankings),
        tags=names(row.get("tags") or []),
        source_id=name(row.get("comparison")),
        split=text(row, "split", default=""),
        metadata=metadata,
    )


PAIR_KEYS = (
    "prompt",
    "chosen",
    "rejected",
    "dimension",
    "margin",
    "weight",
    "preference",
    "split",
    "comparison",
    "chosen_response",
    "rejected_response",
)


def read_pair(row: Row, line: int, context: Context) -> Record:
    """A line of pairs.jsonl, or a row of it as Parquet or CSV."""
    if isinstance(row.get("prompt"), str):  # only a table keeps the question as a text
        row = {key: cell_text(cell) if isinstance(cell, str) else cell for key, cell in row.items()}
    turns = messages(need(row, "prompt"), "prompt")
    if row.get("context"):
        turns = [*messages(parse_cell(text(row, "context")), "context"), *turns]
    extra = _others(row, (*PAIR_KEYS, "context", "extra"))
    if row.get("extra"):
        extra |= parse_cell(text(row, "extra"))
    pair = Pair(
        0,
        1,
        dimension=text(row, "dimension"),
        preference=number(row.get("preference", 1.0), "preference"),
        margin=number(row.get("margin", 0.0), "margin"),
        weight=number(row.get("weight", 1.0), "weight"),
    )
    if not 0 <= pair.preference <= 1:
        raise Refused("preference must be from 0 to 1.")
    responses = (
        Response(_said(row, "chosen"), id=name(row.get("chosen_response"))),
        Response(_said(row, "rejected"), id=name(row.get("rejected_response"))),
    )
    return Record(
        "pair",
        line,
        prompt(turns),
        responses,
        pairs=(pair,),
        source_id=name(row.get("comparison")),
        split=text(row, "split", default=""),
        metadata=extra,
    )


def _others(row: Row, known: Sequence[str]) -> Row:
    """What a line holds besides, nulls too: a version's lines come back as they were."""
    return {key: value for key, value in row.items() if key not in known}


def _said(row: Row, key: str) -> str:
    value = row.get(key)
    if value is None or isinstance(value, str):  # an empty cell of a table is an empty response
        return value or ""
    turns = messages(value, key)
    if len(turns) != 1 or turns[0]["role"] != "assistant":
        raise Refused(f"{key} must be one message of the assistant.")
    return turns[0]["content"]


def pair_row(record: Record) -> Row:
    """The line of pairs.jsonl that `read_pair` read."""
    pair = record.pairs[0]
    chosen, rejected = record.responses[pair.chosen], record.responses[pair.rejected]
    return {
        "prompt": record.prompt,
        "chosen": [{"role": "assistant", "content": chosen.text}],
        "rejected": [{"role": "assistant", "content": rejected.text}],
        "dimension": pair.dimension,
        "margin": pair.margin,
        "weight": pair.weight,
        "preference": pair.preference,
        "split": record.split,
        "comparison": record.source_id,
        "chosen_response": chosen.id,
        "rejected_response": rejected.id,
        **record.metadata,
    }


def ranking_row(record: Record) -> Row:
    """The line of rankings.jsonl that `read_ranking` read."""
    more = record.metadata.get("rankings") or [{}] * len(record.rankings)
    rankings = []
    for ranking, extra in zip(record.rankings, more, strict=True):
        strengths = list(ranking.strengths) if ranking.strengths is not None else None
        item = {"ranks": list(ranking.ranks), "weight": ranking.weight, "annotator": ranking.annotator}
        item |= {"strengths": strengths} | ({"rationale": ranking.rationale} if ranking.rationale else {})
        rankings.append({**item, **extra})
    responses = [
        {"id": response.id, "text": response.text, "generator": response.generator}
        | ({"is_edit": True} if response.is_edit else {})
        | dict(response.metadata)
        for response in record.responses
    ]
    return {
        "comparison": record.source_id,
        "dimension": record.rankings[0].dimension,
        "split": record.split,
        "prompt": record.prompt,
        "responses": responses,
        "rankings": rankings,
        "tags": list(record.tags),
        **{key: value for key, value in record.metadata.items() if key != "rankings"},
    }


# recognition --------------------------------------------------------------------------------------------------------


def _fits_prompt(row: Row) -> str:
    if {"chosen", "rejected", "completion", "responses", "response", "label", "completions"} & row.keys():
        return ""
    if "prompt" in row and "messages" not in row:
        return "it has a prompt and no answers"
    turns = row.get("messages")
    last = turns[-1] if isinstance(turns, list) and turns else None
    return "its messages end with the user" if isinstance(last, dict) and last.get("role") == "user" else ""


def _fits_responses(row: Row) -> str:
    given = row.get("responses")
    if isinstance(given, list) and ("prompt" in row or "messages" in row) and "rankings" not in row:
        return "it has a prompt and a list of responses"
    return ""


def _fits_ranking(row: Row) -> str:
    return "it has responses, rankings and a dimension" if {*RANKING_KEYS[:6]} <= row.keys() else ""


def _fits_pair(row: Row) -> str:
    if {"dimension", "preference", "comparison", "chosen_response", "rejected_response"} <= row.keys():
        return "it has the columns of pairs.jsonl"
    return ""


FORMATS = (
    Format("prompts", "Prompts", "prompt", each(read_prompt), _fits_prompt, 0.7, KNOWN),
    Format(
        "responses",
        "Prompts with responses",
        "responses",
        each(read_responses),
        _fits_responses,
        0.8,
        (*KNOWN, "responses", "ranks"),
    ),
    Format("rankings", "Plumbline rankings", "ranking", each(read_ranking), _fits_ranking, 1.0),
    Format("pairs", "Plumbline pairs", "pair", each(read_pair), _fits_pair, 1.0),
)
