"""Evaluations of instruction-following models, with their texts inside: PandaLM, Tulu, Self-Instruct. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from annotate.formats.jsonl import Refused
from annotate.formats.readers.base import (
    Context,
    Format,
    Numbered,
    Row,
    check_replies,
    each,
    instruction,
    name,
    need,
    prompt,
    rest,
    text,
)
from annotate.formats.readers.votes import FIRST, SECOND, TIE, choice, has, vote
from annotate.formats.records import Rating, Record, Response

# PandaLM ------------------------------------------------------------------------------------------------------------


def read_pandalm(row: Row, line: int, context: Context) -> Record:
    """Two responses to an instruction, judged by the columns annotator1, annotator2, ...: 1, 2, or 0 for a tie."""
    models = name(row.get("cmp_key")).split("_")
    generators = models if len(models) == 2 else ["", ""]
    responses = tuple(
        Response(_written(row, f"response{side}"), generator=generator)
        for side, generator in zip((1, 2), generators, strict=True)
    )
    check_replies(responses, context, different=False)
    signs = {"1": FIRST, "2": SECOND, "0": TIE}
    judges = sorted(key for key in row if re.fullmatch(r"annotator\d+", key))
    return Record(
        "pair",
        line,
        instruction(row),
        responses,
        pairs=tuple(vote(choice(row, judge, signs), context, judge) for judge in judges),
        source_id=name(row.get("idx")),
        metadata=rest(row, "instruction", "input", "response1", "response2", "idx", *judges),
    )


def _written(row: Row, key: str) -> str:
    """A response as text; the file has some that became true or false on the way."""
    value = row.get(key)
    return str(value) if isinstance(value, bool) else text(row, key)


# Tulu and Self-Instruct ---------------------------------------------------------------------------------------------

_STRENGTHS = {
    "a-is-better": (FIRST, 2.0),
    "a-is-slightly-better": (FIRST, 1.0),
    "tie": (TIE, 0.0),
    "b-is-slightly-better": (SECOND, 1.0),
    "b-is-better": (SECOND, 2.0),
}


def read_tulu(row: Row, line: int, context: Context) -> Record:
    """A vote of five points on the completions of two models, and whether each is acceptable."""
    responses = tuple(
        Response(text(row, f"completion_{side}", default=""), generator=name(row.get(f"model_{side}"))) for side in "ab"
    )
    check_replies(responses, context, different=False)
    said = str(need(row, "preference")).strip()
    if said not in _STRENGTHS:
        raise Refused(f"preference is “{said[:30]}”; expected one of: {', '.join(_STRENGTHS)}.")
    sign, strength = _STRENGTHS[said]
    judge = name(row.get("evaluator"))
    accepted = [row.get(f"completion_{side}_is_acceptable") for side in "ab"]
    scores = tuple({"yes": 1.0, "no": 0.0}.get(str(value)) for value in accepted)
    return Record(
        "pair",
        line,
        prompt([{"role": "user", "content": text(row, "prompt").strip()}]),
        responses,
        pairs=(vote(sign, context, judge, margin=strength),),
        ratings=(Rating(scores, "acceptable", judge),) if any(value is not None for value in scores) else (),
        source_id=name(row.get("instance_id")),
    )


def read_completions(row: Row, line: int, context: Context) -> Record:
    """A prompt with the completions of models, not judged."""
    given = need(row, "completions")
    if not isinstance(given, list) or not all(isinstance(item, dict) for item in given):
        raise Refused("completions must be a list of objects.")
    responses = tuple(Response(text(item, "completion"), generator=name(item.get("model"))) for item in given)
    check_replies(responses, context, different=False)
    turns = prompt([{"role": "user", "content": text(row, "prompt").strip()}])
    return Record("responses", line, turns, responses, source_id=name(row.get("id")))


def read_self_instruct(rows: Sequence[Numbered], context: Context) -> Iterable[Record]:
    """An instruction with instances of input and output: a demonstration each."""
    for line, row in rows:
        instances = need(row, "instances")
        if not isinstance(instances, list) or not all(isinstance(item, dict) for item in instances):
            raise Refused("instances must be a list of objects.")
        for item in instances:
            response = Response(text(item, "output"))
            check_replies([response], context)
            turns = instruction({"instruction": row.get("instruction"), "input": item.get("input")})
            more = rest(row, "id", "instruction", "instances")
            yield Record("demonstration", line, turns, (response,), source_id=name(row.get("id")), metadata=more)


def read_predictions(row: Row, line: int, context: Context) -> Record:
    """One model's response to an instruction; the model is named by the file."""
    model = re.sub(r"(_predictions)?\.jsonl?(\.gz|\.zst)?$", "", context.name.replace("\\", "/").rsplit("/", 1)[-1])
    response = Response(text(row, "response"), generator=name(model))
    check_replies([response], context)
    more = rest(row, "prompt", "instruction", "input", "response")
    return Record("responses", line, instruction(row), (response,), metadata=more)


# recognition ----------------------------------------------------------------------------------------------------------


def _fits_completions(row: Row) -> str:
    given = row.get("completions")
    found = isinstance(given, list) and given and isinstance(given[0], dict) and "completion" in given[0]
    return "it has a prompt with completions of models" if found and "prompt" in row else ""


FORMATS = (
    Format(
        "pandalm",
        "PandaLM",
        "pair",
        each(read_pandalm),
        has("it has two responses and annotators", "instruction", "response1", "response2", "annotator1"),
        0.98,
    ),
    Format(
        "tulu",
        "Tulu human evaluation",
        "pair",
        each(read_tulu),
        has("it has two completions, a preference and an evaluator", "completion_a", "completion_b", "preference"),
        0.95,
    ),
    Format("tulu-instances", "Tulu instances", "responses", each(read_completions), _fits_completions, 0.9),
    Format(
        "self-instruct",
        "Self-Instruct",
        "demonstration",
        read_self_instruct,
        has("it has an instruction with instances", "instruction", "instances"),
        0.95,
    ),
    Format(
        "self-instruct-predictions",
        "Self-Instruct predictions",
        "responses",
        each(read_predictions),
        has("it has an instruction, a response and a target", "instruction", "response", "target"),
        0.9,
    ),
)
