"""From a dataset version's rankings.jsonl to what the trainer learns from."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from annotate.pairs import Edge, content_hash, edges, split_of
from lm.chat import Chat
from lm.prefix import Group
from runs.child import UserError

RANKINGS = "rankings.jsonl"
Split = Literal["train", "test"]


@dataclass(frozen=True)
class Comparison:
    """K responses to one prompt and what annotators said of them, by dimension. edited: which a person wrote.

    response_ids: aligned with the responses, where the dataset names them.
    """

    id: str
    split: Split
    prompt: list[dict[str, str]]
    responses: list[str]
    rankings: dict[str, list[dict[str, Any]]]
    edges: dict[str, list[Edge]]
    edited: tuple[int, ...] = ()
    response_ids: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    language: str = ""

    @property
    def prompt_key(self) -> str:
        """Equal for equal prompts: comparisons of one prompt are not independent evidence."""
        return content_hash(self.prompt)


@dataclass(frozen=True)
class Rankings:
    """A dataset's comparisons, and the dimensions that get a score, in order."""

    dimensions: tuple[str, ...]
    train: list[Comparison]
    test: list[Comparison]


@dataclass(frozen=True)
class Encoded:
    """A comparison as tokens, and how much of it was cut to fit."""

    comparison: Comparison
    group: Group
    prompt_cut: bool = False
    responses_cut: int = 0
    responses_empty: int = 0


def read_rankings(directory: str | Path, dimensions: Sequence[str] = ()) -> Rankings:
    """Read a dataset version directory, keeping `dimensions` (empty: all it has) and comparisons that order something.

    Raises UserError that names the file, the line and what to change.
    """
    path = Path(directory) / RANKINGS
    known, drafts = _read(path)
    chosen = _chosen_dimensions(tuple(dimensions), known, path)
    comparisons = [comparison for draft in drafts if (comparison := draft.comparison(chosen)).edges]
    train = [comparison for comparison in comparisons if comparison.split == "train"]
    test = [comparison for comparison in comparisons if comparison.split == "test"]
    _check_trainable(train, chosen, path)
    _check_apart(train, test, path)
    return Rankings(chosen, train, test)


def read_comparisons(directory: str | Path) -> list[Comparison]:
    """Every comparison of a dataset version that orders something on any dimension, to measure on or to compare with.

    Raises UserError that names the file, the line and what to change.
    """
    known, drafts = _read(Path(directory) / RANKINGS)
    return [comparison for draft in drafts if (comparison := draft.comparison(known)).edges]


def encode(comparison: Comparison, chat: Chat, *, max_prompt_tokens: int, max_response_tokens: int) -> Encoded:
    """Tokenise a comparison; what is too long is cut, and the cut is counted.

    A prompt loses its oldest turns, a response its end. Raises UserError if nothing of the prompt fits.
    """
    try:
        prompt, prompt_cut = chat.fit(comparison.prompt, max_prompt_tokens)
    except ValueError as error:
        raise UserError(f"Comparison {comparison.id}: {error} Raise max_prompt_tokens.") from error
    whole = [chat.response_ids(text) for text in comparison.responses]
    responses = [closed(ids, max_response_tokens, chat.end_id) for ids in whole]
    return Encoded(
        comparison,
        Group(prompt, responses),
        prompt_cut,
        sum(len(a) > len(b) for a, b in zip(whole, responses, strict=True)),
        sum(len(ids) == 1 for ids in responses),
    )


def fitting_lengths(context: int | None, *, prompt: int, response: int, virtual: int = 0) -> tuple[int, int]:
    """The longest prompt and response, in tokens, that together fit a model of `context` positions.

    Where the configured lengths do not fit, a response gets at most half of the context and the prompt the rest.
    Raises UserError if nothing is left.
    """
    if context is None or prompt + response + virtual <= context:
        return prompt, response
    response = min(response, context // 2)
    prompt = min(prompt, context - response - virtual)
    if prompt < 8:
        raise UserError(
            f"The model has {context} positions, of which {virtual} virtual tokens and responses of {response} tokens "
            "leave none for a prompt. Lower virtual_tokens or max_response_tokens."
        )
    return prompt, response


def held_aside(items: Sequence[Encoded], share: float) -> tuple[list[Encoded], list[Encoded]]:
    """Training comparisons apart from those that decide when to stop, split by prompt: (train, validation).

    Raises UserError if one of the two is empty.
    """
    marks = [split_of(item.comparison.prompt, share, "validation") == "test" for item in items]
    train = [item for item, mark in zip(items, marks, strict=True) if not mark]
    validation = [item for item, mark in zip(items, marks, strict=True) if mark]
    if not train or not validation:
        raise UserError(
            f"A validation share of {share:g} of {len(items)} training comparisons leaves "
            f"{'nothing to train on' if not train else 'nothing to decide by when to stop'}. "
            "Change validation_share, or set patience to 0."
        )
    return train, validation


def closed(ids: list[int], longest: int, end_id: int) -> list[int]:
    """Response ids cut to `longest` and still ending with the end-of-turn token, where the score is read."""
    return ids if len(ids) <= longest else [*ids[: longest - 1], end_id]


def sha256_of(path: str | Path) -> str:
    """sha256 of a file, hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


# reading ------------------------------------------------------------------------------------------------------------


def _read(path: Path) -> tuple[tuple[str, ...], list[_Draft]]:
    """The dimensions of a rankings.jsonl and its comparisons, both in order of their first line."""
    if not path.is_file():
        raise UserError(
            f"{path.parent} is not a dataset version: it has no {RANKINGS}. Choose a built dataset version."
        )
    seen: dict[str, _Draft] = {}
    known: dict[str, None] = {}
    for number, line in _lines(path):
        known[line["dimension"]] = None
        draft = seen.setdefault(line["comparison"], _Draft(line, number))
        draft.add(line, path, number)
    return tuple(known), list(seen.values())


@dataclass
class _Draft:
    """A comparison while its lines, one a dimension, are still coming in."""

    first: dict[str, Any]
    number: int
    rankings: dict[str, list[dict[str, Any]]] = field(default_factory=dict)

    def add(self, line: dict[str, Any], path: Path, number: int) -> None:
        for part in ("prompt", "responses", "split"):
            if line[part] != self.first[part]:
                raise _bad(
                    path,
                    number,
                    f"comparison {line['comparison']} has another {part} than on line {self.number}",
                    "Rebuild the dataset version",
                )
        if line["dimension"] in self.rankings:
            raise _bad(
                path,
                number,
                f"comparison {line['comparison']} has {line['dimension']} twice",
                "Put all rankings of one dimension on one line",
            )
        self.rankings[line["dimension"]] = line["rankings"]

    def comparison(self, dimensions: Sequence[str]) -> Comparison:
        texts = [response["text"] for response in self.first["responses"]]
        found = {
            dimension: (self.rankings[dimension], edges(self.rankings[dimension], len(texts)))
            for dimension in dimensions
            if dimension in self.rankings
        }
        return Comparison(
            id=self.first["comparison"],
            split=self.first["split"],
            prompt=self.first["prompt"],
            responses=texts,
            rankings={dimension: rankings for dimension, (rankings, ordered) in found.items() if ordered},
            edges={dimension: ordered for dimension, (_, ordered) in found.items() if ordered},
            edited=tuple(n for n, response in enumerate(self.first["responses"]) if response.get("is_edit")),
            response_ids=tuple(str(response.get("id") or "") for response in self.first["responses"]),
            tags=tuple(str(tag) for tag in self.first.get("tags") or ()),
        )


def _lines(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    with open(path, "rb") as file:
        for number, text in enumerate(file, start=1):
            if not text.strip():
                continue
            try:
                line = json.loads(text)
            except ValueError as error:  # not JSON, or not UTF-8
                raise _bad(path, number, f"is not JSON ({error})", "Every line is one JSON object") from None
            _check_line(line, path, number)
            yield number, line


def _check_line(line: Any, path: Path, number: int) -> None:
    if not isinstance(line, dict):
        raise _bad(path, number, "is not a JSON object", "Every line is one comparison and dimension")
    missing = {"comparison", "dimension", "split", "prompt", "responses", "rankings"} - line.keys()
    if missing:
        raise _bad(path, number, f"lacks {', '.join(sorted(missing))}", "Rebuild the dataset version")
    if line["split"] not in ("train", "test"):
        raise _bad(path, number, f"has the split {line['split']!r}", "Use train or test")
    if not _is_conversation(line["prompt"]):
        raise _bad(
            path, number, "has no prompt", "A prompt is a list of turns with role and content, the last a user's"
        )
    for part in ("responses", "rankings"):
        if not isinstance(line[part], list):
            raise _bad(path, number, f"has {part} that are not a list", "Rebuild the dataset version")
    texts = [response.get("text") if isinstance(response, dict) else None for response in line["responses"]]
    if len(texts) < 2:
        raise _bad(path, number, f"has {len(texts)} responses", "A comparison needs at least two")
    for position, text in enumerate(texts, start=1):
        if not isinstance(text, str):
            raise _bad(path, number, f"has no text in response {position}", "A response's text is a string")
    for ranking in line["rankings"]:
        fault = _ranking_fault(ranking, len(texts))
        if fault:
            raise _bad(path, number, fault, "Give every ranking one rank a response, null where it was not ranked")


def _is_conversation(turns: Any) -> bool:
    whole = (
        isinstance(turns, list)
        and turns
        and all(
            isinstance(turn, dict) and isinstance(turn.get("role"), str) and isinstance(turn.get("content"), str)
            for turn in turns
        )
    )
    return bool(whole) and turns[-1]["role"] == "user"


def _ranking_fault(ranking: Any, n: int) -> str:
    if not isinstance(ranking, dict) or not isinstance(ranking.get("ranks"), list):
        return "has a ranking without ranks"
    if len(ranking["ranks"]) != n:
        return f"has a ranking of {len(ranking['ranks'])} ranks for {n} responses"
    if not all(rank is None or (isinstance(rank, int) and not isinstance(rank, bool)) for rank in ranking["ranks"]):
        return "has a rank that is neither a whole number nor null"
    strengths = ranking.get("strengths")
    if strengths is not None and (not isinstance(strengths, list) or len(strengths) != n):
        return f"has strengths that are not one for each of the {n} responses"
    weight = ranking.get("weight", 1.0)
    if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0 <= weight < float("inf"):
        return f"has the weight {weight!r}, not a number from 0 up"
    return ""


# checking -----------------------------------------------------------------------------------------------------------


def _chosen_dimensions(asked: tuple[str, ...], known: tuple[str, ...], path: Path) -> tuple[str, ...]:
    if not known:
        raise UserError(f"{path} is empty: no comparison was ranked. Collect judgements and build the dataset again.")
    absent = [dimension for dimension in asked if dimension not in known]
    if absent:
        raise UserError(
            f"{path} has no dimension {', '.join(absent)}. It has {', '.join(sorted(known))}: choose among these."
        )
    return asked or tuple(sorted(known))


def _check_trainable(train: list[Comparison], dimensions: Sequence[str], path: Path) -> None:
    for dimension in dimensions:
        informative = any(edge.p != 0.5 for item in train for edge in item.edges.get(dimension, ()))
        if not informative:
            raise UserError(
                f"{path} has no preference for {dimension} in its train split: every response is unranked or tied. "
                "Collect more judgements, make the test fraction smaller, or leave this dimension out."
            )


def _check_apart(train: list[Comparison], test: list[Comparison], path: Path) -> None:
    shared = {item.prompt_key for item in train} & {item.prompt_key for item in test}
    if shared:
        example = next(item for item in test if item.prompt_key in shared)
        raise UserError(
            f"{path} has {len(shared)} prompts in both train and test (comparison {example.id}, for one), so held-out "
            "accuracy would be of what was trained on. Split by prompt and build the dataset again."
        )


def _bad(path: Path, number: int, what: str, remedy: str) -> UserError:
    return UserError(f"{path.name}, line {number}: {what}. {remedy}.")
