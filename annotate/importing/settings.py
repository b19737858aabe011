"""What can be chosen about an import. Pure: forms, API, command and worker read this one schema."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from annotate.formats.reading import FORMATS_IN

MAX_NAMES = 200  # columns or dimensions that can be named


def _known(format: str) -> str:
    if format and format not in FORMATS_IN:
        raise ValueError(f"“{format[:40]}” is not a known format. Known are: {', '.join(sorted(FORMATS_IN))}.")
    return format


def _few(values: dict[str, str]) -> dict[str, str]:
    if len(values) > MAX_NAMES:
        raise ValueError(f"At most {MAX_NAMES} names.")
    return values


Names = Annotated[dict[str, str], AfterValidator(_few)]


class ImportSettings(BaseModel):
    """How a file is read, and what is made of its records."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Annotated[str, AfterValidator(_known)] = Field(
        default="", title="Format", description="A key of docs/formats.md. Empty: recognised from the first rows."
    )
    mapping: Names = Field(
        default={},
        title="Columns",
        description="{the format's column: the file's}. A dot reaches into an object: meta.question.",
    )
    roles: Names = Field(
        default={}, title="Role tags", description="The tags of LLaMA-Factory's dataset_info.json, where it has any."
    )
    dimension: str = Field(
        default="",
        max_length=40,
        title="Dimension",
        description="What judgements are about where the file does not say. Empty: what the format usually means.",
    )
    dimensions: Names = Field(
        default={},
        title="Dimensions",
        description="{the file's dimension: the project's}. Empty leaves one out; what is not named keeps its name.",
    )
    good_rows: bool = Field(
        default=False,
        title="Import the good rows",
        description="Take what is right where rows are wrong, and report the rest. Otherwise one wrong row stops all.",
    )
    keep_empty: bool = Field(
        default=False,
        title="Keep empty responses",
        description="A vote on a model that said nothing is still a vote. Otherwise such rows are passed over.",
    )
    queue: bool = Field(
        default=False,
        title="Have them annotated",
        description="Make open comparisons of responses that come without judgements.",
    )
    round: int = Field(default=1, ge=1, le=32_767, title="Round", description="Of the comparisons made to annotate.")
    limit: int | None = Field(
        default=None, ge=1, le=2**53, title="At most", description="Only the first so many records of the file."
    )

    @model_validator(mode="after")
    def _mapped_columns_are_the_formats(self) -> Self:
        if self.mapping and self.format:
            known = FORMATS_IN[self.format].columns
            absent = [name for name in self.mapping if name not in known]
            if absent:
                what = f"it has {', '.join(known)}" if known else "its columns cannot be mapped"
                raise ValueError(f"{FORMATS_IN[self.format].label} has no column {', '.join(absent)[:80]}: {what}.")
        return self
