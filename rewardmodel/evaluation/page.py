"""What the page of an evaluation says and draws, made from its report. Knows no request."""

from __future__ import annotations

from typing import Any

from config.templatetags.plumbline import interval, number, percent
from rewardmodel.evaluation.charts import histogram, picks, reliability, strip

Json = dict[str, Any]

CURVES = 3  # of best of n, by K

SLICES = {
    "length": "How long the preferred response is beside the other",
    "size": "Length of the longer response",
    "strength": "How much better it was called",
    "people": "How many people agree",
    "tags": "Tag of the prompt",
    "languages": "Language",
}


def page_of(report: Json) -> Json:
    """What the template shows of each dimension, and one sentence on it all."""
    every = enumerate(report["dimensions"].items(), start=1)
    dimensions = [_dimension(number, name, each) for number, (name, each) in every]
    return {"dimensions": dimensions, "second": report["second"], "overlap": report["overlap"]}


def _dimension(key: int, name: str, found: Json) -> Json:
    several, single = found["ceiling"]["pairs"], found["ceiling"]["single"]
    curves = [each for each in found["best_of_n"] if each["k"] > 2][:CURVES]
    return {
        "name": name,
        "key": f"{key}",  # of its charts
        "found": found,
        "summary": summary(found),
        "rows": _rows(found),
        "several": several,
        "single": single,
        "calibration": found["calibration"],
        "calibration_words": calibration_words(found["calibration"]),
        "reliability": reliability(found["calibration"]["bins"]),
        "histogram": histogram(found["distribution"]) if found["distribution"] else None,
        "curves": [
            {**each, "plot": picks(each["curve"]), "last": each["curve"][-1], "key": f"best-{key}-{each['k']}"}
            for each in curves
        ],
        "length": found["length_correlation"],
        "slices": [
            {"key": key, "title": title, "rows": [_row(row["name"], row) for row in found["slices"][key]]}
            for key, title in SLICES.items()
            if key in found["slices"]
        ],
        "second": found.get("second"),
    }


def summary(found: Json) -> str:
    """The finding in one or two sentences, as a paper would have it."""
    accuracy, duel, people = found["accuracy"], found["better_than_longer"], found["ceiling"]["people"]
    if accuracy is None:
        return "People tied every pair, so there is nothing to be right about."
    sentences = [
        f"It orders {interval(accuracy, 'percent')} of {number(accuracy['n'], 9)} pairs from "
        f"{number(accuracy['prompts'], 9)} prompts as most people do; choosing the longer response "
        f"{interval(found['longer'], 'percent')}."
    ]
    longer = found["longer"]
    if longer["high"] < 0.5:
        shorter = {"value": 1 - longer["value"], "low": 1 - longer["high"], "high": 1 - longer["low"]}
        sentences.append(f"Choosing the shorter would be right on {interval(shorter, 'percent')}.")
    if duel:
        verdict = (
            "It is better than choosing the longer"
            if duel["low"] > 0.5
            else "It is worse than choosing the longer"
            if duel["high"] < 0.5
            else "It cannot be told apart from choosing the longer"
        )
        sentences.append(f"{verdict}: ahead on {interval(duel, 'percent')} of the prompts on which the two differ.")
    if people:
        ceiling = found["ceiling"]
        sentences.append(
            f"Where several judged a pair, two people agree on {interval(people, 'percent')} and the model agrees with "
            f"one of them on {interval(ceiling['model'], 'percent')}."
        )
    return " ".join(sentences)


def calibration_words(found: Json) -> str:
    """What the calibration means, in a sentence."""
    scale, ece = found["scale"], found["ece"]
    said = f"Off by {interval(ece, 'percent')} on average"
    said += f"; a calibrated model would seem off by {percent(found['ece_by_chance'])} on as few pairs."
    if scale is None:
        return said
    if scale <= 0:
        return f"{said} Its scores point the wrong way: turned round, they would fit better."
    if scale < 0.9:
        return f"{said} It is surer than it is right: scores {number(scale, 2)} times as large would fit best."
    if scale > 1.1:
        return f"{said} It is less sure than it could be: scores {number(scale, 2)} times as large would fit best."
    return f"{said} The size of its scores fits."


def _rows(found: Json) -> list[Json]:
    """The table of accuracy: the model between floor and ceiling, on all pairs and on those judged by several."""
    ceiling = found["ceiling"]
    rows = [
        _estimate_row("Model", found["accuracy"], "the majority of judgements", is_main=True),
        _estimate_row("Choosing the longer", found["longer"], "the majority of judgements"),
    ]
    without = (found.get("without_overlap") or {}).get("accuracy")
    if found.get("without_overlap"):
        rows.append(_estimate_row("Model, on prompts it was not trained on", without, "the majority of judgements"))
    if ceiling["people"]:
        rows += [
            _estimate_row("Another person", ceiling["people"], "one person"),
            _estimate_row("Model", ceiling["model"], "one person", is_main=True),
            _estimate_row("Choosing the longer", ceiling["longer"], "one person"),
        ]
    return rows


def _estimate_row(name: str, found: Json | None, against: str, *, is_main: bool = False) -> Json:
    return {"name": name, "found": found, "against": against, "strip": strip(found), "is_main": is_main}


def _row(name: str, found: Json) -> Json:
    return {**found, "name": name, "strip": strip(found["accuracy"], found["longer"])}


def shown(line: Json) -> Json:
    """A pair for people: the response that they prefer first, each with its score."""
    first, second = line["responses"]
    responses = [
        {**first, "score": line["score_i"], "length": line["length_i"], "share": line["p"]},
        {**second, "score": line["score_j"], "length": line["length_j"], "share": 1 - line["p"]},
    ]
    if line["p"] < 0.5:
        responses.reverse()
    for each, other in zip(responses, responses[::-1], strict=True):
        each["is_choice"] = each["score"] > other["score"]
    return {
        **line,
        "responses": responses,
        "confidence": max(line["probability"], 1 - line["probability"]),
        "earlier": line["prompt"][:-1],
        "question": line["prompt"][-1]["content"],
        "is_tie": line["p"] == 0.5,
    }
