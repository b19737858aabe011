"""What an annotator says about one comparison: read, checked and put into one form. Plain values, no database.

Whatever the task asks, an answer ends up with rankings, so that everything behind it (pairs, agreement, datasets) knows
one thing only.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.utils.translation import gettext as _

from annotate.pairs import dense

STRONGEST = 3  # 1 slightly, 2 better, 3 much better
LONGEST_RATIONALE = 10_000
LONGEST_EDIT = 60_000
LARGEST_BODY = 256 * 1024  # bytes of a request that carries an answer
MOST_COMPLAINTS = 20  # more help nobody, and a sender of nonsense must not have the server write a book
SHOWN = 60  # characters of what a complaint is about

Ranks = dict[str, int]


class AnswerError(ValueError):
    """The answer cannot be taken as it is. `complaints` is {field: [sentence, ...]}."""

    def __init__(self, complaints: dict[str, list[str]]) -> None:
        super().__init__(" ".join(sentence for sentences in complaints.values() for sentence in sentences))
        self.complaints = complaints


@dataclass(frozen=True, slots=True)
class Asked:
    """A number asked of each response beside the ranking: from 1 to `points`, whose ends are called `low`, `high`."""

    key: str
    label: str
    low: str
    high: str
    points: int


@dataclass(frozen=True, slots=True)
class Rules:
    """What a project asks of an answer.

    task: ranking | pairwise | best | rating. rationale: off | optional | required. points: of the rating task.
    dimensions, prompt_flags, response_flags: {key: label}, in the order in which they are shown.
    """

    task: str
    dimensions: Mapping[str, str]
    strength: bool = True
    rationale: str = "optional"
    edit: bool = False
    points: int = 5
    attributes: tuple[Asked, ...] = ()
    prompt_flags: Mapping[str, str] = field(default_factory=dict)
    response_flags: Mapping[str, str] = field(default_factory=dict)

    def task_for(self, responses: int) -> str:
        """The task with so many responses: A or B cannot be asked of three, so then they are ranked."""
        return "ranking" if self.task == "pairwise" and responses != 2 else self.task

    @property
    def strength_asked(self) -> bool:
        """Points say already how much better a response is."""
        return self.strength and self.task != "rating"

    @property
    def scales(self) -> dict[str, Asked]:
        """{key: what is rated in points}: the dimensions of the rating task, and the attributes."""
        dimensions = self.dimensions.items() if self.task == "rating" else ()
        rated = [Asked(key, label, "", "", self.points) for key, label in dimensions]
        return {asked.key: asked for asked in (*self.attributes, *rated)}


@dataclass(frozen=True, slots=True)
class Answer:
    """Response ids are strings, as JSON would have them.

    rankings: {dimension: {response: rank}}; 1 is best, equal ranks are ties, a response that is absent was not placed.
    strengths: {dimension: {response: how much better than the next group, 1 to 3}}; absent is unsaid.
    ratings: {dimension or attribute: {response: points}}; more is better.
    all_bad: dimensions on which no response is acceptable.
    flags: [{"flag": key, "response": id}] about a response, [{"flag": key}] about the prompt.
    edit: {"response": id, "text": what it should have said}, or None.
    """

    rankings: dict[str, Ranks] = field(default_factory=dict)
    strengths: dict[str, Ranks] = field(default_factory=dict)
    ratings: dict[str, Ranks] = field(default_factory=dict)
    all_bad: list[str] = field(default_factory=list)
    flags: list[dict[str, str]] = field(default_factory=list)
    rationale: str = ""
    edit: dict[str, str] | None = None

    @classmethod
    def read(
        cls, data: Mapping[str, Any], *, rules: Rules, responses: Iterable[object], complete: bool = True
    ) -> Answer:
        """Read untrusted values, or raise AnswerError with all complaints at once, the first MOST_COMPLAINTS of them.

        responses: ids of the comparison's responses. complete: a draft (False) may be unfinished, may have gaps between
        its ranks, and loses what the project does not ask any more; a submission is refused for each of these.
        """
        reader = _Reader(rules, [str(response) for response in responses], strict=complete)
        answer = reader.answer(data)
        if complete:
            answer = reader.completed(answer)
        if reader.complaints:
            raise AnswerError(reader.complaints)
        return answer

    def json(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__}


def ranks_of_points(points: Mapping[str, int]) -> Ranks:
    """The ranking that ratings imply: more points are better, equal points a tie."""
    return dense({response: -number for response, number in points.items()})


def storable(value: object) -> str:
    """A text PostgreSQL can keep: no NUL, no half of a surrogate pair, line ends of one kind."""
    text = "" if value is None else str(value)
    text = text.encode("utf-8", "replace").decode().replace("\x00", "")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def foreign(response: object) -> str:
    """The complaint about a response that was not shown."""
    return _("Response %(response)s is not in this comparison.") % {"response": _short(response)}


def _short(value: object) -> str:
    """A value in a complaint: as it is, or its beginning."""
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"


class _Reader:
    """Reads one answer and collects what is wrong with it.

    That something has the wrong shape is said in English: only the author of a script can bring that about.
    """

    def __init__(self, rules: Rules, responses: list[str], *, strict: bool) -> None:
        self.rules = rules
        self.dimensions = dict(rules.dimensions)
        self.labels = {asked.key: asked.label for asked in rules.attributes} | self.dimensions
        self.responses = responses
        self.strict = strict
        self.complaints: dict[str, list[str]] = {}
        self.left = MOST_COMPLAINTS

    def answer(self, data: Mapping[str, Any]) -> Answer:
        places = dict.fromkeys(self.dimensions, len(self.responses))
        strengths = dict.fromkeys(self.dimensions, STRONGEST)
        points = {key: asked.points for key, asked in self.rules.scales.items()}
        return Answer(
            rankings=self.numbers("rankings", data.get("rankings"), places),
            strengths=self.strengths(self.numbers("strengths", data.get("strengths"), strengths, lowest=0)),
            ratings=self.numbers("ratings", data.get("ratings"), points),
            all_bad=self.all_bad(data.get("all_bad")),
            flags=self.flags(data.get("flags")),
            rationale=self.rationale(data.get("rationale")),
            edit=self.edit(data.get("edit")),
        )

    def complain(self, where: str, sentence: str) -> None:
        sentences = self.complaints.setdefault(where, [])
        if sentence in sentences:
            return
        sentences.append(sentence)
        self.left -= 1
        if not self.left:
            raise AnswerError(self.complaints)

    def not_asked(self, where: str, sentence: str) -> None:
        """A draft may be older than a change of the project, and then only loses what nobody asks any more."""
        if self.strict:
            self.complain(where, sentence)

    def numbers(self, where: str, value: object, highest: Mapping[str, int], *, lowest: int = 1) -> dict[str, Ranks]:
        """{key: {response: whole number up to highest[key]}}; 0 means "unsaid" and is left out, as are empty rows."""
        if value is None:
            return {}
        if not isinstance(value, Mapping):
            self.complain(where, "This must be an object of objects: {key: {response id: number}}.")
            return {}
        result: dict[str, Ranks] = {}
        for key, numbers in value.items():
            if key not in highest:
                sentence = _("“%(key)s” is not a dimension of this project.")
                if where == "ratings":
                    sentence = _("“%(key)s” is not rated in this project.")
                self.not_asked(where, sentence % {"key": _short(key)})
            elif not isinstance(numbers, Mapping):
                self.complain(where, f"{self.labels[key]}: this must be an object {{response id: number}}.")
            else:
                result[key] = self._row(where, self.labels[key], numbers, lowest, highest[key])
        return {key: row for key, row in result.items() if row}

    def _row(self, where: str, label: str, numbers: Mapping[Any, Any], lowest: int, highest: int) -> Ranks:
        row: Ranks = {}
        if len(numbers) > len(self.responses):
            self.complain(where, _("%(label)s: this speaks of more responses than there are.") % {"label": label})
            return row
        for response, number in numbers.items():
            if str(response) not in self.responses:
                sentence = _("%(label)s: response %(response)s is not in this comparison.")
                self.complain(where, sentence % {"label": label, "response": _short(response)})
            elif number is None:
                continue
            elif isinstance(number, bool) or not isinstance(number, int) or not lowest <= number <= highest:
                sentence = _("%(label)s: %(value)s is not a whole number from %(lowest)s to %(highest)s.")
                values = {"label": label, "value": _short(number), "lowest": lowest, "highest": highest}
                self.complain(where, sentence % values)
            elif number > 0:
                row[str(response)] = number
        return {response: row[response] for response in self.responses if response in row}

    def strengths(self, strengths: dict[str, Ranks]) -> dict[str, Ranks]:
        if strengths and not self.rules.strength_asked:
            self.not_asked("strengths", _("This project does not ask how much better a response is."))
            return {}
        return strengths

    def all_bad(self, value: object) -> list[str]:
        if value is None:
            return []
        if not isinstance(value, Sequence) or isinstance(value, str):
            self.complain("all_bad", "This must be a list of dimensions.")
            return []
        for dimension in value:
            if not isinstance(dimension, str) or dimension not in self.dimensions:
                sentence = _("“%(key)s” is not a dimension of this project.")
                self.not_asked("all_bad", sentence % {"key": _short(dimension)})
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
            known = self.rules.prompt_flags if response is None else self.rules.response_flags
            if not isinstance(flag.get("flag"), str) or flag["flag"] not in known:
                sentence = _("%(flag)s is not a flag of this project. Known ones: %(known)s.")
                self.not_asked("flags", sentence % {"flag": _short(item), "known": ", ".join(known)})
            elif response is not None and str(response) not in self.responses:
                self.complain("flags", foreign(response))
            else:
                flags.append({"flag": str(flag["flag"])} | ({} if response is None else {"response": str(response)}))
        unique = {(flag.get("response", ""), flag["flag"]): flag for flag in flags}
        return [unique[key] for key in sorted(unique)]

    def rationale(self, value: object) -> str:
        text = storable(value).strip()
        if text and self.rules.rationale == "off":
            self.not_asked("rationale", _("This project does not ask for a rationale."))
            return ""
        self._not_longer("rationale", text, LONGEST_RATIONALE)
        return text

    def edit(self, value: object) -> dict[str, str] | None:
        if value is None:
            return None
        if not self.rules.edit:
            self.not_asked("edit", _("This project does not ask for edits."))
            return None
        if not isinstance(value, Mapping) or not isinstance(value.get("text"), str) or not value.get("response"):
            self.complain("edit", "This must be an object {response: id, text: what it should have said}.")
            return None
        response, text = str(value["response"]), storable(value["text"])
        if response not in self.responses:
            self.complain("edit", foreign(response))
            return None
        self._not_longer("edit", text, LONGEST_EDIT)
        return {"response": response, "text": text}

    def _not_longer(self, where: str, text: str, longest: int) -> None:
        if len(text) > longest:
            sentence = _("At most %(longest)s characters; this has %(length)s.")
            self.complain(where, sentence % {"longest": f"{longest:,}", "length": f"{len(text):,}"})

    # what makes an answer whole ------------------------------------------------------------------------------------

    def completed(self, answer: Answer) -> Answer:
        """The answer with the rankings that its task implies; complains about what is missing."""
        task = self.rules.task_for(len(self.responses))
        rank = {"pairwise": self._either, "best": self._best, "rating": self._rated}.get(task, self._ranked)
        rankings = {key: rank(answer, key, label) for key, label in self.dimensions.items()}
        if self.rules.rationale == "required" and not answer.rationale:
            self.complain("rationale", _("Say why: this project asks for a rationale."))
        if answer.edit is not None and not answer.edit["text"].strip():
            self.complain("edit", _("The edited response is empty."))
        for key, label in self.dimensions.items():
            self._require_strengths(label, rankings[key], answer.strengths.get(key, {}))
        values = answer.json() | {"rankings": {key: ranks for key, ranks in rankings.items() if ranks}}
        return Answer(**values)

    def _ranked(self, answer: Answer, key: str, label: str) -> Ranks:
        ranks = answer.rankings.get(key, {})
        if len(ranks) < 2 and key not in answer.all_bad:
            sentence = _("%(label)s: place at least two responses, or say that all are bad.")
            self.complain("rankings", sentence % {"label": label})
        if ranks != dense(ranks):
            sentence = _("%(label)s: ranks must be 1, 2, 3, … without gaps; equal ranks are ties.")
            self.complain("rankings", sentence % {"label": label})
        return ranks

    def _either(self, answer: Answer, key: str, label: str) -> Ranks:
        """One better, a tie, or both bad, which is a tie too."""
        if key in answer.all_bad:
            return dict.fromkeys(self.responses, 1)
        ranks = answer.rankings.get(key, {})
        if len(ranks) < 2:
            sentence = _("%(label)s: say which of the two is better, that they tie, or that both are bad.")
            self.complain("rankings", sentence % {"label": label})
        return dense(ranks)

    def _best(self, answer: Answer, key: str, label: str) -> Ranks:
        """The best one before all others, which tie; nothing if all are bad and none was chosen."""
        best = [response for response, rank in answer.rankings.get(key, {}).items() if rank == 1]
        if len(best) == 1:
            return {response: 1 if response == best[0] else 2 for response in self.responses}
        if key not in answer.all_bad:
            sentence = _("%(label)s: choose exactly one best response, or say that all are bad.")
            self.complain("rankings", sentence % {"label": label})
        return {}

    def _rated(self, answer: Answer, key: str, label: str) -> Ranks:
        points = answer.ratings.get(key, {})
        if len(points) < len(self.responses) and (points or key not in answer.all_bad):
            self.complain("ratings", _("%(label)s: rate every response, or say that all are bad.") % {"label": label})
        return ranks_of_points(points)

    def _require_strengths(self, label: str, ranks: Ranks, strengths: Ranks) -> None:
        last = max(ranks.values(), default=0)
        for response, strength in strengths.items():
            rank = ranks.get(response)
            if rank is None or rank == last:
                sentence = _("%(label)s: a strength needs a ranked response with another one below it.")
                self.complain("strengths", sentence % {"label": label})
            elif any(strengths.get(other) != strength for other, same in ranks.items() if same == rank):
                self.complain(
                    "strengths", _("%(label)s: tied responses must have the same strength.") % {"label": label}
                )
