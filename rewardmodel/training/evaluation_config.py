"""What an evaluation of a reward model can be told. Torch-free: forms, API, command and child read this one schema."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from lm.config import Frozen


class EvaluationConfig(Frozen):
    """Settings of one evaluation."""

    split: Literal["test", "all"] = Field(
        default="test",
        title="Split",
        description=(
            "Of a dataset version: its held-out prompts, or all of them, as for a version that was made to test with. "
            "A file is used whole."
        ),
    )
    dimension: str = Field(
        default="",
        max_length=200,
        title="Held against",
        description=(
            "The model's score that the judgements are held against, where they are about something of another name. "
            "Empty: every score against the judgements of its own name."
        ),
    )
    format: str = Field(
        default="",
        max_length=60,
        title="Format",
        description="Of a file: a key of the import formats. Empty: recognised by its columns.",
    )
    batch_tokens: int | None = Field(
        default=None,
        ge=16,
        le=4194304,
        title="Tokens per forward",
        description="Memory budget. Does not change the scores. Empty: 2048 on a CPU, 16384 on a GPU.",
    )
