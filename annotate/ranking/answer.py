"""What an annotator says about one comparison: read, checked and put into one form. Plain values, no database."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from annotate.ranking.vocabulary import PROMPT_FLAGS, RESPONSE_FLAGS

STRONGEST = 3  # 1 slightly, 2 better, 3 much better
LONGEST_RATIONALE = 10_000

Ranks = dict[str, int]


class AnswerError(ValueError):
    """The answer cannot be taken as it is. `complaints` is {field: [sentence, ...]}."""

    def __init__(self, complaints: dict[str, list[str]]) -> None:
        super().__init__(" ".join(sentence for sentences in complaints.values() for sentence in sentences))
        self.complaints = complaints


@dataclass(frozen=True, slots=True)
class Answer:
    """Response ids are strings, as JSON would have them.

    rankings: {dimension: {response: rank}}; 1 is best, equal ranks are ties, a response that is absent was not placed.
    strengths: {dimension: {response: how much better than the next group, 1 to 3}}; absent is unsaid.
    all_bad: dimensions on which no response is acceptable.
    flags: [{"flag": key, "response": id}] about a response, [{"flag": key}] about the prompt.
    """

    rankings: dict[str, Ranks] = field(default_factory=dict)
    strengths: dict[str, Ranks] = field(default_factory=dict)
    all_bad: list[str] = field(default_factory=list)
    flags: list[dict[str, str]] = field(default_factory=list)
    rationale: str = ""

    @classmethod
    def read(
        cls,
        data: Mapping[str, Any],
        *,
        dimensions: Mapping[str, str],
        responses: Iterable[object],
        complete: bool = True,
    ) -> Answer:
        """Read untrusted values, or raise AnswerError with every complaint at once.

        dimensions: {key: label}, in the order they are asked. responses: ids of the comparison's responses.
        complete: a draft (False) may be unfinished and have gaps between its ranks; a submission may not.
        """
        reader = _Reader(dict(dimensions), [str(response) for response in responses])
        answer = cls(
            rankings=reader.numbers("rankings", data.get("rankings"), 1, len(reader.responses)),
            strengths=reader.numbers("strengths", data.get("strengths"), 0, STRONGEST),
            all_bad=reader.all_bad(data.get("all_bad")),
            flags=reader.flags(data.get("flags")),
            rationale=reader.rationale(data.get("rationale")),
        )
        if complete:
            reader.require_complete(answer)
        if reader.complaints:
            raise AnswerError(reader.complaints)
        return answer

    def json(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__}


def dense(ranks: Mapping[str, int]) -> Ranks:
    """The same order with its gaps closed: ranks 1, 3, 3 become 1, 2, 2."""
    places = {rank: place for place, rank in enumerate(sorted(set(ranks.values())), start=1)}
    return {key: places[rank] for key, rank in ranks.items()}


class _Reader:
    def __init__(self, dimensions: dict[str, str], responses: list[str]) -> None:
        self.dimensions = dimensions
        self.responses = responses
        self.complaints: dict[str, list[str]] = {}

    def complain(self, where: str, sentence: str) -> None:
        sentences = self.complaints.setdefault(where, [])
        if sentence not in sentences:
            sentences.append(sentence)

    def numbers(self, where: str, value: object, lowest: int, highest: int) -> dict[str, Ranks]:
        """{dimension: {response: whole number}}; numbers below 1 mean "unsaid" and are left out, as are empty ones."""
        if value is None:
            return {}
        if not isinstance(value, Mapping):
            self.complain(where, "This must be an object of objects: {dimension: {response id: number}}.")
            return {}
        result: dict[str, Ranks] = {}
        for dimension, numbers in value.items():
            if dimension not in self.dimensions:
                self.complain(where, f"“{dimension}” is not a dimension of this project.")
            elif not isinstance(numbers, Mapping):
                self.complain(where, f"{self.dimensions[dimension]}: this must be an object {{response id: number}}.")
            else:
                result[dimension] = self._row(where, dimension, numbers, lowest, highest)
        return {dimension: row for dimension, row in result.items() if row}

    def _row(self, where: str, dimension: str, numbers: Mapping[Any, Any], lowest: int, highest: int) -> Ranks:
        row: Ranks = {}
        label = self.dimensions[dimension]
        for response, number in numbers.items():
            if str(response) not in self.responses:
                self.complain(where, f"{label}: response {response} is not in this comparison.")
            elif number is None:
                continue
            elif isinstance(number, bool) or not isinstance(number, int) or not lowest <= number <= highest:
                self.complain(where, f"{label}: {number!r} is not a whole number from {lowest} to {highest}.")
            elif number > 0:
                row[str(response)] = number
        return {response: row[response] for response in self.responses if response in row}

    def all_bad(self, value: object) -> list[str]:
        if value is None:
            return []
        if not isinstance(value, Sequence) or isinstance(value, str):
            self.complain("all_bad", "This must be a list of dimensions.")
            return []
        for dimension in value:
            if not isinstance(dimension, str) or dimension not in self.dimensions:
                self.complain("all_bad", f"“{dimension}” is not a dimension of this project.")
        return [dimension for dimension in self.dimensions if dimension in value]

    def flags(self, value: object) -> list[dict[str, str]]:
        if value is None:
            return []
        if not isinstance(value, Sequence) or isinstance(value, str):
            self.complain("flags", "This must be a list of flags.")
            return []
        flags = []
        for item in value:
            flag = {"flag": item} if isinstance(item, str) else dict(item) if isinstance(item, Mapping) else {}
            response = flag.get("response")
            known = PROMPT_FLAGS if response is None else RESPONSE_FLAGS
            if not isinstance(flag.get("flag"), str) or flag["flag"] not in known:
                self.complain("flags", f"{item!r} is not a flag. Known ones: {', '.join(known)}.")
            elif response is not None and str(response) not in self.responses:
                self.complain("flags", f"Response {response} is not in this comparison.")
            else:
                flags.append({"flag": str(flag["flag"])} | ({} if response is None else {"response": str(response)}))
        unique = {(flag.get("response", ""), flag["flag"]): flag for flag in flags}
        return [unique[key] for key in sorted(unique)]

    def rationale(self, value: object) -> str:
        text = "" if value is None else str(value).strip().replace("\x00", "")
        if len(text) > LONGEST_RATIONALE:
            self.complain("rationale", f"At most {LONGEST_RATIONALE:,} characters; this has {len(text):,}.")
        return text

    def require_complete(self, answer: Answer) -> None:
        for dimension, label in self.dimensions.items():
            ranks = answer.rankings.get(dimension, {})
            if len(ranks) < 2 and dimension not in answer.all_bad:
                self.complain("rankings", f"{label}: place at least two responses, or say that all are bad.")
            if ranks != dense(ranks):
                self.complain("rankings", f"{label}: ranks must be 1, 2, 3, … without gaps; equal ranks are ties.")
            self._require_strengths(label, ranks, answer.strengths.get(dimension, {}))

    def _require_strengths(self, label: str, ranks: Ranks, strengths: Ranks) -> None:
        last = max(ranks.values(), default=0)
        for response, strength in strengths.items():
            rank = ranks.get(response)
            if rank is None or rank == last:
                self.complain("strengths", f"{label}: a strength needs a ranked response with another one below it.")
            elif any(strengths.get(other) != strength for other, same in ranks.items() if same == rank):
                self.complain("strengths", f"{label}: tied responses must have the same strength.")
