"""What goes into a dataset version. Pure, torch-free; forms, API and the building child read the same schema."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from lm.config import Frozen

Source = Literal["human", "simulated", "import"]


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
    rounds: list[int] = Field(
        default_factory=list, title="Rounds", description="Which rounds to take. Empty takes all."
    )
    minimum_judgements: int = Field(
        default=1,
        ge=1,
        le=50,
        title="Least judgements",
        description="Leave out comparisons that have fewer judgements than this on a dimension.",
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
    weights: Literal["equal", "reliability"] = Field(
        default="equal",
        title="Weights",
        description=(
            "How much each annotator's rankings weigh: all the same, or by how reliable they are estimated to be. "
            "Decisions of reviewers weigh 1."
        ),
    )
    keep_ties: bool = Field(
        default=False,
        title="Keep ties as pairs",
        description="Write even pairs (preference 0.5) to pairs.jsonl too. Rankings always keep their ties.",
    )
