"""All models of the app, for Django; each room keeps its own."""

from annotate.datasets.models import DatasetRun, DatasetVersion
from annotate.generation.models import GenerationRun, Generator, Response
from annotate.gold.models import Gold
from annotate.projects.models import (
    Attribute,
    Dimension,
    Guidelines,
    Invitation,
    Membership,
    Project,
    Prompt,
    PromptImport,
)
from annotate.quality.models import QualityReport
from annotate.ranking.models import Assignment, Comparison, ComparisonResponse, Judgement
from annotate.review.models import Adjudication, Withdrawal

__all__ = [
    "Adjudication",
    "Assignment",
    "Attribute",
    "Comparison",
    "ComparisonResponse",
    "DatasetRun",
    "DatasetVersion",
    "Dimension",
    "GenerationRun",
    "Generator",
    "Gold",
    "Guidelines",
    "Invitation",
    "Judgement",
    "Membership",
    "Project",
    "Prompt",
    "PromptImport",
    "QualityReport",
    "Response",
    "Withdrawal",
]
