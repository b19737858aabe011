"""What goes into a dataset version. Pure, torch-free; forms, API and the building child read the same schema."""

from __future__ import annotations

import datetime
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from lm.config import Frozen


def _storable(text: str) -> str:
    if "\x00" in text:
        raise ValueError("A text cannot hold the character NUL.")
    return text


Source = Literal["human", "simulated", "import"]
Word = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_storable)]
Round = Annotated[int, Field(ge=0, le=32_767)]
Person = Annotated[int, Field(ge=1, le=2**63 - 1)]


class DatasetConfig(Frozen):
    """Filters and choices of one dataset version."""

    test_fraction: float = Field(
        default=0.2,
        ge=0.0,
        le=0.9,
        title="Held-out share",
        description="Share of the prompts kept out of training, by a hash of the prompt, so none is on both sides.",
    )
    dimensions: list[str] = Field(
        default_factory=list,
        title="Dimensions",
        description="Which dimensions to take. Empty takes all.",
    )
    sources: list[Source] = Field(
        default_factory=list,
        title="Sources",
        description="Whose judgements to take: human, simulated, import. Empty takes all.",
    )
    rounds: list[Round] = Field(
        default_factory=list, title="Rounds", description="Which rounds to take. Empty takes all."
    )
    since: datetime.date | None = Field(
        default=None, title="From", description="Leave out judgements made before this day (UTC), as in 2026-01-31."
    )
    until: datetime.date | None = Field(
        default=None, title="To", description="Leave out judgements made after this day (UTC)."
    )
    annotators: list[Person] = Field(
        default_factory=list,
        max_length=1000,
        title="Only annotators",
        description="Take the judgements of these people only, by account number. Empty takes everybody's.",
    )
    exclude_annotators: list[Person] = Field(
        default_factory=list,
        max_length=1000,
        title="Not annotators",
        description="Leave out the judgements of these people, by account number.",
    )
    tags: list[Word] = Field(
        default_factory=list, max_length=100, title="Tags", description="Take prompts with any of these tags only."
    )
    exclude_tags: list[Word] = Field(
        default_factory=list, max_length=100, title="Not tags", description="Leave out prompts with any of these tags."
    )
    languages: list[Word] = Field(
        default_factory=list,
        max_length=100,
        title="Languages",
        description="Take prompts in these languages only, as the prompts name them (en, zh, ...).",
    )
    generators: list[Word] = Field(
        default_factory=list,
        max_length=100,
        title="Generators",
        description="Take responses of these generators only, by name; the others leave their comparisons.",
    )
    exclude_flags: list[Word] = Field(
        default_factory=list,
        max_length=100,
        title="Not flags",
        description="Leave out what anybody marked with one of these flags: a prompt, or a response.",
    )
    flagged: Literal["response", "comparison"] = Field(
        default="response",
        title="A flagged response takes",
        description="Whether a response with such a flag leaves alone, or takes its whole comparison with it.",
    )
    minimum_agreement: float = Field(
        default=0.0,
        ge=0.0,
        le=1.0,
        allow_inf_nan=False,
        title="Least agreement",
        description=(
            "Leave out a comparison's dimension if its judges agree on a smaller share of the pairs that two of them "
            "order. What one judge alone ranked, and what a reviewer decided, stays."
        ),
    )
    minimum_judgements: int = Field(
        default=1,
        ge=1,
        le=50,
        title="Least judgements",
        description="Leave out comparisons that have fewer judgements than this on a dimension.",
    )
    include_gold: bool = Field(
        default=False,
        title="Include gold",
        description="Take judgements of hidden gold comparisons too. Qualification is never taken.",
    )
    use_adjudications: bool = Field(
        default=True,
        title="Use decisions",
        description="Where a reviewer decided a comparison, take that decision in place of its judgements.",
    )
    include_extra: bool = Field(
        default=True,
        title="Include extra judgements",
        description="Take judgements that came too late for a place and were kept beside the others.",
    )
    aggregation: Literal["judgements", "majority", "consensus"] = Field(
        default="judgements",
        title="Aggregation",
        description=(
            "judgements: every ranking by itself, a pair's preference is the share of them. majority: one ranking, "
            "by how many responses a majority puts below. consensus: one ranking by Bradley-Terry, and soft labels, "
            "the probability that a response is preferred."
        ),
    )
    weights: Literal["equal", "reliability"] = Field(
        default="equal",
        title="Weights",
        description=(
            "How much each annotator's rankings weigh: all the same, or by how reliable they are estimated to be. "
            "Decisions of reviewers weigh 1."
        ),
    )
    pair_policy: Literal["all", "adjacent", "best-vs-rest"] = Field(
        default="all",
        title="Pairs",
        description=(
            "all: every two responses that were ranked. adjacent: neighbours in the order of the judges together. "
            "best-vs-rest: the best against each other one."
        ),
    )
    keep_ties: bool = Field(
        default=False,
        title="Keep ties as pairs",
        description="Write even pairs (preference 0.5) to pairs.jsonl too. Rankings always keep their ties.",
    )
    minimum_strength: float = Field(
        default=0.0,
        ge=0.0,
        le=45.0,
        allow_inf_nan=False,
        title="Least strength",
        description=(
            "Leave out pairs whose margin is smaller: 1 slightly better, 2 better, 3 much better, summed over the "
            "steps between. Pairs whose strength nobody said have 0."
        ),
    )
    margins: Literal["strength", "none"] = Field(
        default="strength",
        title="Margins",
        description="Where a pair's margin comes from: the strengths that annotators gave, or none (always 0).",
    )
    pairs_per_prompt: int = Field(
        default=0,
        ge=0,
        le=10_000,
        title="Most pairs of a prompt",
        description="On each dimension; which ones stay is decided by a hash. 0 keeps all.",
    )
    edits: Literal["leave-out", "unranked", "first-dimension", "all-dimensions"] = Field(
        default="leave-out",
        title="Edited responses",
        description=(
            "Responses that annotators improved. unranked: beside the others, for demonstrations. first-dimension, "
            "all-dimensions: also preferred to what they were made from, there."
        ),
    )
    stratify_by: Literal["nothing", "tags", "language", "source"] = Field(
        default="nothing",
        title="Stratify by",
        description=(
            "Hold out the same share of each group of prompts. The side of a prompt then depends on the other prompts."
        ),
    )
    salt: Annotated[str, AfterValidator(_storable)] = Field(
        default="",
        max_length=64,
        title="Salt",
        description="Another word splits and caps differently. Versions to be compared want the same.",
    )

    @model_validator(mode="after")
    def _days_in_order(self) -> Self:
        if self.since and self.until and self.since > self.until:
            raise ValueError("The last day is before the first.")
        return self
