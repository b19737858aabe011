"""What the reward server understands and answers, without any HTTP: OpenRLHF's remote reward model and our own.

OpenRLHF posts {"query": [prompt and response as one text], "prompts": [the prompt alone], "labels": [...]} and reads
`rewards`; its newer versions also read `scores` and `extra_logs`, its older ones send `query` alone.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Sequence
from importlib.metadata import version
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from annotate.formats.conversations import check_conversation
from lm.prefix import Group
from rewardmodel.serve.batching import Batcher, Busy, Closed, Rows
from rewardmodel.serve.transcripts import Transcripts, Unreadable
from rewardmodel.training.scoring import Encoding, Scored, Scorer

T = TypeVar("T")
M = TypeVar("M", bound=BaseModel)


class Refusal(Exception):
    """The request cannot be answered. The message is a sentence for people."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


class OpenRlhfRequest(BaseModel):
    """Keys that we do not know are somebody's next version, and ignored."""

    query: list[str] = Field(min_length=1)
    prompts: list[str | None] | None = None
    dimension: str | None = None


class Conversation(BaseModel):
    """messages: as `check_conversation` wants them, which has the better words."""

    model_config = ConfigDict(extra="forbid")
    messages: list[Any]
    responses: list[str] = Field(min_length=1)


class ScoreRequest(BaseModel):
    model_config = ConfigDict(extra="forbid")
    conversations: list[Conversation] = Field(min_length=1)
    dimensions: list[str] | None = None


class Desk:
    """Reads requests, has them scored, and writes the answers. Called from many threads."""

    def __init__(self, scorer: Scorer, batcher: Batcher, *, dimension: str | None, max_responses: int) -> None:
        self.scorer, self.batcher = scorer, batcher
        self.dimension, self.max_responses = dimension, max_responses
        self._transcripts = Transcripts(scorer.net.chat)
        # A fast tokenizer changes its own state while it reads and refuses a second reader.
        self._reading = threading.Lock()

    def get_reward(self, body: Any, dimension: str | None = None) -> dict[str, Any]:
        """OpenRLHF's question. Raises Refusal."""
        asked = _checked(OpenRlhfRequest, body)
        column = self._column(dimension or asked.dimension or self.dimension)
        prompts = asked.prompts if asked.prompts is not None else [None] * len(asked.query)
        if len(prompts) != len(asked.query):
            raise Refusal(400, f"There are {len(asked.query)} queries but {len(prompts)} prompts.")
        self._check_count(len(asked.query))
        encodings, exact = [], []
        for number, (query, prompt) in enumerate(zip(asked.query, prompts, strict=True), 1):
            encoding, reading = self._read(number, query, prompt)
            encodings.append(encoding)
            exact.append(float(reading == "exact"))
        scored = self._score(encodings)
        shift = self.scorer.shift
        scores = [each.scores[0] for each in scored]
        logs: dict[str, list[float]] = {"template_exact": exact}
        if len(shift) > 1:
            for index, name in enumerate(self.scorer.dimensions):
                logs[f"reward_{name}"] = [row[index] - shift[index] for row in scores]
        if len(scored[0].members[0]) > 1:
            logs["disagreement"] = [each.disagreement[0][column] for each in scored]
        return {
            "rewards": [row[column] - shift[column] for row in scores],
            "scores": [row[column] for row in scores],
            "extra_logs": logs,
        }

    def score(self, body: Any) -> dict[str, Any]:
        """Our own question: conversations with responses, scored in every dimension asked for. Raises Refusal."""
        asked = _checked(ScoreRequest, body)
        self._check_count(sum(len(each.responses) for each in asked.conversations))
        names = self.scorer.dimensions if asked.dimensions is None else tuple(asked.dimensions)
        columns = {name: self._column(name) for name in names}
        encodings = [self._encode(number, each) for number, each in enumerate(asked.conversations, 1)]
        found = self._score(encodings)
        return {
            "dimensions": list(names),
            "members": len(found[0].members[0]),
            "results": [_result(scored, columns, self.scorer.shift) for scored in found],
        }

    def info(self) -> dict[str, Any]:
        """What is served, and what it is doing."""
        return {
            "card": self.scorer.card,
            "dimensions": list(self.scorer.dimensions),
            "dimension": self.dimension,
            "max_responses": self.max_responses,
            "waiting_tokens": self.batcher.waiting_tokens,
            "batches": self.batcher.batches,
            "responses": self.batcher.responses,
            "versions": {name: version(name) for name in ("torch", "transformers")},
        }

    # reading --------------------------------------------------------------------------------------------------------

    def _read(self, number: int, query: str, prompt: str | None) -> tuple[Encoding, str]:
        def read() -> tuple[Encoding, str]:
            split = self._transcripts.split(query, prompt)
            if split.messages is not None:
                return self.scorer.encode(split.messages, [split.response]), split.reading
            # Another model's template: its text is taken as it stands, its end being what matters most.
            longest = int(self.scorer.card["max_prompt_tokens"])
            ids = self.scorer.net.chat.tokenizer(split.prompt, add_special_tokens=False)["input_ids"]
            return self.scorer.with_responses(ids[-longest:], len(ids) > longest, [split.response]), split.reading

        return self._guarded(f"Query {number}", [query, prompt or ""], read)

    def _encode(self, number: int, conversation: Conversation) -> Encoding:
        def read() -> Encoding:
            messages = check_conversation(conversation.messages)
            _check_text(*(message["content"] for message in messages))
            return self.scorer.encode(messages, conversation.responses)

        return self._guarded(f"Conversation {number}", conversation.responses, read)

    def _guarded(self, what: str, texts: Sequence[str], read: Callable[[], T]) -> T:
        try:
            _check_text(*texts)
            with self._reading:
                return read()
        except UnicodeEncodeError:
            raise Refusal(400, f"{what} contains half a character (a lone surrogate).") from None
        except Unreadable as error:
            raise Refusal(422, f"{what} {error}") from None
        except ValueError as error:
            raise Refusal(400, f"{what}: {error}") from None
        except Exception as error:
            if type(error).__module__.startswith("jinja2"):
                raise Refusal(400, f"{what}: the model's chat template refuses it: {error}.") from None
            raise

    def _column(self, name: str | None) -> int:
        known = self.scorer.dimensions
        if name is None and len(known) == 1:
            return 0
        if name is None:
            raise Refusal(
                400,
                f"This model scores {', '.join(known)}. Choose one: start the server with --dimension, "
                "or add ?dimension= to the address.",
            )
        if name not in known:
            raise Refusal(400, f"This model has no dimension {name[:80]}. It scores {', '.join(known)}.")
        return known.index(name)

    def _check_count(self, count: int) -> None:
        if count > self.max_responses:
            raise Refusal(413, f"The request has {count} responses; at most {self.max_responses} are taken at a time.")

    # scoring --------------------------------------------------------------------------------------------------------

    def _score(self, encodings: Sequence[Encoding]) -> list[Scored]:
        try:
            found = self.batcher.submit([encoding.group for encoding in encodings])
        except Busy:
            raise Refusal(503, "More is waiting than this server takes. Ask again in a moment.") from None
        except Closed:
            raise Refusal(503, "The server is shutting down.") from None
        except Exception as error:
            if isinstance(error, MemoryError) or "out of memory" in str(error).lower():
                raise Refusal(
                    503, "The model ran out of memory. Start the server with a smaller --batch-tokens."
                ) from (error)
            raise Refusal(500, f"The model failed: {type(error).__name__}.") from error
        if not all(math.isfinite(value) for each in found for rows in each for row in rows for value in row):
            raise Refusal(500, "The model gave a score that is not a number.")
        return [
            Scored(members, encoding.prompt_cut, encoding.responses_cut)
            for encoding, members in zip(encodings, found, strict=True)
        ]


def member_scores(scorer: Scorer, batch_tokens: int) -> Callable[[Sequence[Group]], list[list[Rows]]]:
    """The scorer as the batcher wants it."""
    return lambda groups: scorer.member_score_groups(groups, batch_tokens=batch_tokens)


def _result(scored: Scored, columns: dict[str, int], shift: Sequence[float]) -> dict[str, Any]:
    scores, spread = scored.scores, scored.disagreement
    ensemble = len(scored.members[0]) > 1
    responses = []
    for place, row in enumerate(scores):
        response: dict[str, Any] = {
            "scores": {name: row[column] for name, column in columns.items()},
            "rewards": {name: row[column] - shift[column] for name, column in columns.items()},
        }
        if ensemble:
            response["disagreement"] = {name: spread[place][column] for name, column in columns.items()}
        responses.append({**response, "cut": scored.responses_cut[place]})
    return {"responses": responses, "prompt_cut": scored.prompt_cut}


def _check_text(*texts: str) -> None:
    for text in texts:
        text.encode("utf-8")


def _checked(model: type[M], body: Any) -> M:
    try:
        return model.model_validate(body)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise Refusal(400, f"{where or 'The request'}: {first['msg']}.") from None
