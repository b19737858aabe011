"""What the page of an evaluation says and draws, made from its report. Knows no request."""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]


def page_of(report: Json) -> Json:
    """What the template shows."""
    return {"dimensions": [{"name": name, **each} for name, each in report["dimensions"].items()]}


def shown(line: Json) -> Json:
    """A pair for people: the response that they prefer first, each with its score."""
    first, second = line["responses"]
    responses = [
        {**first, "score": line["score_i"], "length": line["length_i"], "share": line["p"]},
        {**second, "score": line["score_j"], "length": line["length_j"], "share": 1 - line["p"]},
    ]
    if line["p"] < 0.5:
        responses.reverse()
    highest = max(each["score"] for each in responses)
    for each in responses:
        each["is_choice"] = each["score"] == highest and responses[0]["score"] != responses[1]["score"]
    return {
        **line,
        "responses": responses,
        "confidence": max(line["probability"], 1 - line["probability"]),
        "earlier": line["prompt"][:-1],
        "question": line["prompt"][-1]["content"],
        "is_tie": line["p"] == 0.5,
    }
