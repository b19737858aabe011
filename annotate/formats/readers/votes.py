"""Votes of many judges on pairs, and the texts they are about: MT-Bench, LLMFAO, UKPConvArg. Pure.

Where a file of votes refers to another for its texts, that file is its companion.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

from annotate.formats.conversations import Message
from annotate.formats.jsonl import Refused, Unusable
from annotate.formats.readers.base import (
    Companion,
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
    prompt,
    rest,
    text,
)
from annotate.formats.records import Pair, Record, Response

FIRST, SECOND, TIE = 1, -1, 0


def vote(sign: int, context: Context, annotator: str = "", *, margin: float = 0.0, rationale: str = "") -> Pair:
    """One judge's vote on two responses: FIRST, SECOND or TIE."""
    return Pair(
        int(sign < 0),
        int(sign >= 0),
        context.dimension,
        annotator,
        0.5 if sign == TIE else 1.0,
        margin,
        rationale=rationale,
    )


def choice(row: Row, key: str, choices: dict[str, int]) -> int:
    said = str(need(row, key)).strip().lower()
    if said not in choices:
        raise Refused(f"{key} is “{said[:30]}”; expected one of: {', '.join(choices)}.")
    return choices[said]


def _texts(context: Context, key: Any) -> Row:
    found = context.texts.get(name(key))
    if found is None:
        raise Unusable(f"The companion file has no row “{name(key)[:40]}”.")
    return found


# MT-Bench -----------------------------------------------------------------------------------------------------------

_WINNERS = {"model_a": FIRST, "model_b": SECOND, "tie": TIE, "tie (inconsistent)": TIE}
_BEGINS = re.compile(r"[\[,]\s*\((['\"])")
_ENDS = {quote: re.compile(rf"{quote}, ?'(user|assistant)'\)(?=,|\])") for quote in "'\""}


def read_mt_bench(rows: Sequence[Numbered], context: Context) -> Iterable[Record]:
    """Votes on two chats. A vote on the second turn is about the whole chat, whose first answers differ; its record has
    the first question as prompt and the rest of the chat as response, and the tag `turn-2`.
    """
    line, first = rows[0]
    turn = int(number(first.get("turn") or 1, "turn"))
    if turn < 1:
        raise Refused(f"turn must be 1 or more, found {turn}.")
    chats = [_chat(first, side, context) for side in ("a", "b")]
    asked = [chat[0] for chat in chats if chat]
    if len(asked) < 2 or asked[0] != asked[1] or asked[0]["role"] != "user":
        raise Unusable("The two chats do not begin with the same question.")
    responses = tuple(
        Response(_rest_of(chat[1 : 2 * turn]), id=name(first.get(f"conv_{side}")), generator=name(first.get(model)))
        for chat, side, model in zip(chats, "ab", ("model_a", "model_b"), strict=True)
    )
    check_replies(responses, context, different=False)
    pairs = of_rows(lambda row: vote(choice(row, "winner", _WINNERS), context, _judge(row)), rows)
    yield Record(
        "pair",
        line,
        prompt([asked[0]]),
        responses,
        pairs=tuple(pairs),
        tags=("mt-bench", *([name(first["category"])] if first.get("category") else [])),
        own_tags=(f"turn-{turn}",),
        source_id=name(first.get("question_id")),
        metadata=rest(first, *_MT_BENCH),
    )


_MT_BENCH = (
    *("question_id", "category", "turn", "model_a", "model_b", "judge", "winner"),
    *("conv_a", "conv_b", "conversation_a", "conversation_b"),
)


def _judge(row: Row) -> str:
    judge = row.get("judge")
    return name(judge[0] if isinstance(judge, list) and judge else judge)


def _chat(row: Row, side: str, context: Context) -> list[Message]:
    inside = row.get(f"conversation_{side}")
    if inside is not None:
        return messages(inside, f"conversation_{side}")
    found = _texts(context, need(row, f"conv_{side}"))
    if isinstance(found.get("conversation"), list):
        return messages(found["conversation"], "conversation")
    return parse_repr(text(found, "conversation_repr"))


def parse_repr(value: str) -> list[Message]:
    """Turns written as a Python list of (text, role): matched by pattern, never evaluated as code."""
    turns: list[Message] = []
    position = 0
    while begin := _BEGINS.match(value, position):
        end = _ENDS[begin[1]].search(value, begin.end())
        if end is None:
            break
        said = re.sub(r"\\([nrt\\'\"])", lambda found: _ESCAPES[found[1]], value[begin.end() : end.start()])
        turns.append({"role": end[1], "content": said})
        position = end.end()
    if not turns:
        raise Unusable("The chat could not be read.")
    return turns


_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "\\": "\\", "'": "'", '"': '"'}


def _rest_of(turns: list[Message]) -> str:
    if len(turns) <= 1:
        return turns[0]["content"] if turns else ""
    who = {"user": "User", "assistant": "Assistant"}
    return "\n\n".join([turns[0]["content"], *(f"{who[turn['role']]}: {turn['content']}" for turn in turns[1:])])


def read_questions(row: Row, line: int, context: Context) -> Record:
    """MT-Bench's questions: the first turn is the prompt, the others are kept in the metadata."""
    turns = need(row, "turns")
    if not isinstance(turns, list) or not turns or not isinstance(turns[0], str):
        raise Refused("turns must be a list of texts.")
    return Record(
        "prompt",
        line,
        prompt([{"role": "user", "content": turns[0]}]),
        tags=("mt-bench", *([name(row["category"])] if row.get("category") else [])),
        source_id=name(row.get("question_id")),
        metadata={"follow_up": turns[1:], **rest(row, "turns", "category", "question_id")},
    )


# LLMFAO -------------------------------------------------------------------------------------------------------------


def read_llmfao_pairs(row: Row, line: int, context: Context) -> Record:
    """A prompt with the results of two models, not judged."""
    responses = _llmfao_responses(row)
    check_replies(responses, context, different=False)
    return Record(
        "responses",
        line,
        prompt([{"role": "user", "content": text(row, "text")}]),
        responses,
        source_id=name(row.get("id")),
        metadata=rest(row, "text", "result_x", "result_y", "model_x", "model_y", "id"),
    )


def _llmfao_responses(row: Row, generators: Sequence[str] = ("", "")) -> tuple[Response, ...]:
    return tuple(
        Response(text(row, f"result_{side}", default=""), generator=generator or name(row.get(f"model_{side}")))
        for side, generator in zip("xy", generators, strict=True)
    )


def read_llmfao(rows: Sequence[Numbered], context: Context) -> Iterable[Record]:
    """Crowd votes on the pairs of the companion: left, right or tie."""
    line, first = rows[0]
    texts = _texts(context, need(first, "id"))
    responses = _llmfao_responses(texts, (name(first.get("left")), name(first.get("right"))))
    check_replies(responses, context, different=False)
    winners = {"left": FIRST, "right": SECOND, "tie": TIE}
    pairs = of_rows(lambda row: vote(choice(row, "winner", winners), context, name(row.get("worker"))), rows)
    yield Record(
        "pair",
        line,
        prompt([{"role": "user", "content": text(texts, "text")}]),
        responses,
        pairs=tuple(pairs),
        tags=("llmfao",),
        source_id=name(first["id"]),
        metadata=rest(texts, "text", "result_x", "result_y", "id"),
    )


# UKPConvArg ---------------------------------------------------------------------------------------------------------


def _topic(row: Row) -> list[Message]:
    return prompt([{"role": "user", "content": f"{text(row, 'debate_title')}\n{text(row, 'stance')}"}])


def read_arguments(row: Row, line: int, context: Context) -> Record:
    """One argument for one side of a debate."""
    response = Response(text(row, "text"), id=name(row.get("arg_id")))
    check_replies([response], context)
    return Record("responses", line, _topic(row), (response,), source_id=name(row.get("arg_id")))


def read_ukp(rows: Sequence[Numbered], context: Context) -> Iterable[Record]:
    """Which of two arguments convinces more: a1, a2 or equal, with the reason given."""
    line, first = rows[0]
    arguments = [_texts(context, need(first, side)) for side in ("a1", "a2")]
    responses = tuple(Response(text(argument, "text"), id=name(argument.get("arg_id"))) for argument in arguments)
    check_replies(responses, context, different=False)
    values = {"a1": FIRST, "a2": SECOND, "equal": TIE}

    def one(row: Row) -> Pair:
        why = text(row, "reason", default="")
        return vote(choice(row, "value", values), context, name(row.get("worker")), rationale=why)

    yield Record(
        "pair",
        line,
        _topic(arguments[0]),
        responses,
        pairs=tuple(of_rows(one, rows)),
        tags=("ukpconvarg",),
        source_id=name(first.get("pair")),
        metadata=rest(first, "pair", "a1", "a2", "worker", "value", "reason", "accept", "submit"),
    )


# recognition --------------------------------------------------------------------------------------------------------


def has(why: str, *keys: str) -> Any:
    wanted = set(keys)
    return lambda row: why if wanted <= row.keys() else ""


FORMATS = (
    Format(
        "mt-bench",
        "MT-Bench judgements",
        "pair",
        read_mt_bench,
        has("it has a question, two models, a judge and a winner", "question_id", "model_a", "judge", "winner"),
        0.95,
        group=lambda row: tuple(
            str(row.get(key)) for key in ("question_id", "turn", "model_a", "model_b", "conv_a", "conv_b")
        ),
        companion=Companion("the conversations, where the votes only name them", lambda row: row.get("id")),
    ),
    Format(
        "mt-bench-questions",
        "MT-Bench questions",
        "prompt",
        each(read_questions),
        has("it has a question and its turns", "question_id", "turns"),
        0.95,
    ),
    Format(
        "llmfao",
        "LLMFAO votes",
        "pair",
        read_llmfao,
        has("it has two models, a worker and a winner", "model_x", "model_y", "worker", "winner"),
        0.95,
        group=lambda row: row.get("id"),
        companion=Companion("the pairs with their texts", lambda row: row.get("id")),
    ),
    Format(
        "llmfao-pairs",
        "LLMFAO pairs",
        "responses",
        each(read_llmfao_pairs),
        has("it has the results of two models", "result_x", "result_y", "text"),
        0.95,
    ),
    Format(
        "ukp",
        "UKPConvArg judgements",
        "pair",
        read_ukp,
        has("it has two arguments, a worker and a value", "a1", "a2", "worker", "value"),
        0.95,
        dimension="convincingness",
        group=lambda row: row.get("pair"),
        companion=Companion("the arguments", lambda row: row.get("arg_id")),
    ),
    Format(
        "ukp-arguments",
        "UKPConvArg arguments",
        "responses",
        each(read_arguments),
        has("it has an argument with its debate and stance", "arg_id", "stance", "text"),
        0.95,
    ),
)
