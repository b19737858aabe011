"""What a scoring of a file can be told. Torch-free: forms, API, command and child process read this one schema."""

from __future__ import annotations

from pydantic import Field

from lm.config import Frozen


class ScoreConfig(Frozen):
    """Settings of one scoring."""

    format: str = Field(
        default="",
        max_length=60,
        title="Format",
        description="A key of the import formats. Empty: recognised by its columns.",
    )
    dimension: str = Field(
        default="",
        max_length=200,
        title="Best by",
        description="The dimension that says which response is best. Needed with best_only, where there are several.",
    )
    best_only: bool = Field(
        default=False,
        title="Keep only the best",
        description="Write one line a prompt with its best response, as a conversation, instead of all with scores.",
    )
    batch_tokens: int | None = Field(
        default=None,
        ge=16,
        le=4194304,
        title="Tokens per forward",
        description="Memory budget. Does not change the scores. Empty: 2048 on a CPU, 16384 on a GPU.",
    )
