"""Rewards that can be verified: what a response must say, given as data and never as code.

A check gives a response a figure from 0 to 1. Checks come from people and are checked themselves, with sentences for
people; responses come from a policy and may hold anything, so nothing here runs them, and every pattern has a time
limit. Torch-free, for forms and API read the same specification.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Annotated, Any, Literal

import regex
from pydantic import ConfigDict, Field, field_validator, model_validator

from lm.config import Frozen

# A response longer than this is judged by its beginning and end, where answers stand.
LONGEST = 20_000
# Seconds for one pattern on one response. Honest patterns take microseconds; some take exponential time.
PATIENCE = 0.5

_NUMBER = re.compile(r"[-+−]?(?:\d+(?:,\d{3})*(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d{1,3})?")
_FENCE = re.compile(r"```(?:json)?\s*\n(.*?)```", re.DOTALL)


class CheckTooSlow(Exception):
    """A pattern that takes too long; the message says which, and what to change."""


class _Check(Frozen):
    model_config = ConfigDict(allow_inf_nan=False)

    weight: float = Field(default=1.0, ge=-1000.0, le=1000.0, title="Weight", description="In the whole reward.")
    name: str = Field(default="", max_length=60, title="Name", description="On charts. Empty: its kind.")


class Exact(_Check):
    """The response is the answer, but for space around it."""

    kind: Literal["exact"]
    answer: str | None = Field(default=None, title="Answer", description="Empty: the answer that the prompt brings.")
    ignore_case: bool = Field(default=True, title="Ignore case", description="Whether A and a are the same.")


class Number(_Check):
    """The response's last (or first) number is the answer."""

    kind: Literal["number"]
    answer: float | None = Field(default=None, title="Answer", description="Empty: the answer that the prompt brings.")
    tolerance: float = Field(default=1e-6, ge=0.0, title="Tolerance", description="Absolute or relative, if larger.")
    which: Literal["last", "first"] = Field(default="last", title="Which", description="Which number is the answer.")


class Words(_Check):
    """The response holds words or phrases: all of some, any of others, none of others again."""

    kind: Literal["words"]
    all_of: tuple[str, ...] = Field(default=(), max_length=200, title="All of", description="Each must occur.")
    any_of: tuple[str, ...] = Field(default=(), max_length=200, title="Any of", description="One must occur.")
    none_of: tuple[str, ...] = Field(default=(), max_length=200, title="None of", description="None may occur.")
    ignore_case: bool = Field(default=True, title="Ignore case", description="Whether A and a are the same.")

    @model_validator(mode="after")
    def _has_words(self) -> Words:
        words = (*self.all_of, *self.any_of, *self.none_of)
        if not words or not all(word.strip() for word in words):
            raise ValueError("A check of words needs at least one word in all_of, any_of or none_of, and no empty one.")
        return self


class Pattern(_Check):
    """A regular expression occurs in the response; with `answer`, its first group must equal that."""

    kind: Literal["pattern"]
    pattern: str = Field(min_length=1, max_length=1000, title="Pattern", description="A regular expression.")
    answer: str | None = Field(
        default=None, title="Answer", description="What group 1 must be; “prompt” takes the prompt's answer."
    )
    full: bool = Field(default=False, title="Full", description="Whether the whole response must match.")

    @field_validator("pattern")
    @classmethod
    def _compiles(cls, value: str) -> str:
        try:
            regex.compile(value)
        except (regex.error, OverflowError, RecursionError) as error:
            raise ValueError(f"“{value}” is not a regular expression: {error}.") from None
        return value

    @model_validator(mode="after")
    def _has_group(self) -> Pattern:
        if self.answer is not None and not regex.compile(self.pattern).groups:
            raise ValueError(f"“{self.pattern}” has no group ( ) to compare with the answer.")
        return self


class Length(_Check):
    """The response has so many words or characters."""

    kind: Literal["length"]
    min_words: int = Field(default=0, ge=0, title="Fewest words", description="0: any.")
    max_words: int | None = Field(default=None, ge=0, title="Most words", description="Empty: any.")
    min_characters: int = Field(default=0, ge=0, title="Fewest characters", description="0: any.")
    max_characters: int | None = Field(default=None, ge=0, title="Most characters", description="Empty: any.")

    @model_validator(mode="after")
    def _is_possible(self) -> Length:
        for low, high in ((self.min_words, self.max_words), (self.min_characters, self.max_characters)):
            if high is not None and low > high:
                raise ValueError(f"No response has at least {low} and at most {high}.")
        return self


class Expected(Frozen):
    """What must stand at a place of a JSON value, such as `items.0.price`; an empty place is the whole value."""

    at: str = Field(default="", max_length=200, title="Place", description="Keys and list numbers with dots between.")
    type: Literal["string", "number", "boolean", "list", "object", "null"] | None = Field(
        default=None, title="Type", description="What kind of value it is."
    )
    equals: str | float | bool | None = Field(default=None, title="Equals", description="The value itself.")
    least: float | None = Field(default=None, title="Least", description="The smallest number, or length of a list.")
    most: float | None = Field(default=None, title="Most", description="The largest number, or length of a list.")


class Json(_Check):
    """The response is JSON (alone or in a code fence), and so much of what is expected of it is there.

    The figure is the share of `expects` that hold, like the share of unit tests that pass; without any, 1 for JSON.
    """

    kind: Literal["json"]
    expects: tuple[Expected, ...] = Field(default=(), max_length=100, title="Expects", description="One test each.")


class All(_Check):
    """The least of its checks."""

    kind: Literal["all"]
    of: tuple[Check, ...] = Field(min_length=1, max_length=32, title="Of", description="The checks.")


class AnyOf(_Check):
    """The best of its checks."""

    kind: Literal["any"]
    of: tuple[Check, ...] = Field(min_length=1, max_length=32, title="Of", description="The checks.")


class NoneOf(_Check):
    """1 less the best of its checks."""

    kind: Literal["none"]
    of: tuple[Check, ...] = Field(min_length=1, max_length=32, title="Of", description="The checks.")


class Share(_Check):
    """The mean of its checks by weight: how many of several cases pass."""

    kind: Literal["share"]
    of: tuple[Check, ...] = Field(min_length=1, max_length=100, title="Of", description="The checks.")

    @model_validator(mode="after")
    def _adds_up(self) -> Share:
        if any(check.weight < 0 for check in self.of) or not sum(check.weight for check in self.of):
            raise ValueError("The weights of a share must be 0 or more, and not all 0.")
        return self


Check = Annotated[
    Exact | Number | Words | Pattern | Length | Json | All | AnyOf | NoneOf | Share, Field(discriminator="kind")
]
for _model in (All, AnyOf, NoneOf, Share):
    _model.model_rebuild()


def names_of(checks: Sequence[Any]) -> list[str]:
    """A name for each check, none twice."""
    names: list[str] = []
    for check in checks:
        wanted = name = check.name or check.kind
        number = 2
        while name in names:
            name, number = f"{wanted} {number}", number + 1
        names.append(name)
    return names


def needs_answer(checks: Iterable[Any]) -> bool:
    """Whether any check compares with an answer that the prompt must bring."""
    for check in checks:
        if isinstance(check, All | AnyOf | NoneOf | Share):
            if needs_answer(check.of):
                return True
        elif isinstance(check, Exact | Number | Pattern) and check.answer == (
            "prompt" if isinstance(check, Pattern) else None
        ):
            return True
    return False


def figure(check: Any, text: str, answer: str | None = None) -> float:
    """What `check` says of a response, from 0 to 1. `answer` is the prompt's. Raises CheckTooSlow."""
    if len(text) > LONGEST:
        text = text[: LONGEST // 2] + text[-LONGEST // 2 :]
    match check:
        case Exact():
            return float(_same(text, answer if check.answer is None else check.answer, check.ignore_case))
        case Number():
            return float(_number(check, text, answer))
        case Words():
            return float(_words(check, text))
        case Pattern():
            return float(_pattern(check, text, answer))
        case Length():
            words, characters = len(text.split()), len(text)
            return float(
                check.min_words <= words <= (math.inf if check.max_words is None else check.max_words)
                and check.min_characters <= characters
                and characters <= (math.inf if check.max_characters is None else check.max_characters)
            )
        case Json():
            return _json(check, text)
        case All():
            return min(figure(each, text, answer) for each in check.of)
        case AnyOf():
            return max(figure(each, text, answer) for each in check.of)
        case NoneOf():
            return 1.0 - max(figure(each, text, answer) for each in check.of)
        case Share():
            whole = sum(each.weight for each in check.of)
            return sum(each.weight * figure(each, text, answer) for each in check.of) / whole
    raise TypeError(f"{check!r} is not a check.")


def _same(text: str, answer: str | None, ignore_case: bool) -> bool:
    if answer is None:
        return False
    one, other = text.strip(), answer.strip()
    return one.casefold() == other.casefold() if ignore_case else one == other


def _number(check: Number, text: str, answer: str | None) -> bool:
    wanted = check.answer
    if wanted is None:
        given = _numbers(answer or "")
        wanted = given[-1] if given else None
    found = _numbers(text)
    if wanted is None or not found:
        return False
    return math.isclose(
        found[-1 if check.which == "last" else 0], wanted, rel_tol=check.tolerance, abs_tol=check.tolerance
    )


def _numbers(text: str) -> list[float]:
    return [float(each.replace(",", "").replace("−", "-")) for each in _NUMBER.findall(text)]


def _words(check: Words, text: str) -> bool:
    folded = text.casefold() if check.ignore_case else text

    def occurs(word: str) -> bool:
        word = word.casefold() if check.ignore_case else word
        before, after = (r"\b" if re.match(r"\w", edge) else "" for edge in (word[0], word[-1]))
        return re.search(before + re.escape(word) + after, folded) is not None

    return (
        all(map(occurs, check.all_of))
        and (not check.any_of or any(map(occurs, check.any_of)))
        and not any(map(occurs, check.none_of))
    )


def _pattern(check: Pattern, text: str, answer: str | None) -> bool:
    compiled = regex.compile(check.pattern)
    try:
        found = (compiled.fullmatch if check.full else compiled.search)(text, timeout=PATIENCE)
    except TimeoutError:
        raise CheckTooSlow(
            f"The pattern “{check.pattern}” took more than {PATIENCE} seconds on a response of {len(text)} characters. "
            "Repeats inside repeats, such as (a+)+, do that: write it without them."
        ) from None
    if not found or check.answer is None:
        return bool(found)
    return _same(found.group(1) or "", answer if check.answer == "prompt" else check.answer, ignore_case=True)


def _json(check: Json, text: str) -> float:
    fenced = _FENCE.search(text)
    try:
        value = json.loads((fenced.group(1) if fenced else text).strip(), parse_constant=_refuse)
    except (ValueError, RecursionError):
        return 0.0
    if not check.expects:
        return 1.0
    return sum(any(_holds(each, found) for found in _at(value, each.at)) for each in check.expects) / len(check.expects)


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON.")


def _at(value: Any, place: str) -> Iterator[Any]:
    """The value at a place, if it is there."""
    for key in place.split(".") if place else ():
        if isinstance(value, dict) and key in value:
            value = value[key]
        elif isinstance(value, list) and key.isdecimal() and int(key) < len(value):
            value = value[int(key)]
        else:
            return
    yield value


_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "number": (int, float),
    "boolean": (bool,),
    "list": (list,),
    "object": (dict,),
    "null": (type(None),),
}


def _holds(expected: Expected, value: Any) -> bool:
    truth = isinstance(value, bool)
    if expected.type and (not isinstance(value, _TYPES[expected.type]) or (truth and expected.type != "boolean")):
        return False
    if expected.equals is not None and (value != expected.equals or truth != isinstance(expected.equals, bool)):
        return False
    if expected.least is None and expected.most is None:
        return True
    size = len(value) if isinstance(value, str | list | dict) else value
    if truth or not isinstance(size, int | float):
        return False
    return (
        (-math.inf if expected.least is None else expected.least)
        <= size
        <= (math.inf if expected.most is None else expected.most)
    )
