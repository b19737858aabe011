"""What a generation run is asked beside its sampling: which prompts, and what becomes of the responses. Torch-free."""

from __future__ import annotations

from pydantic import Field

from lm.config import Frozen


class Selection(Frozen):
    """Which of a project's prompts are answered. Everything left out means all of them."""

    ids: list[int] = Field(default_factory=list, title="Prompt ids", description="Only these prompts.")
    tags: list[str] = Field(default_factory=list, title="Tags", description="Only prompts that have one of these tags.")
    unanswered: bool = Field(
        default=False, title="Only unanswered", description="Leave out prompts that this generator has answered before."
    )
    limit: int | None = Field(
        default=None, ge=1, le=10_000_000, title="At most", description="No more than this many prompts, oldest first."
    )
