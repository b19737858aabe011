"""All models of the app, for Django; each room keeps its own."""

from annotate.datasets.models import DatasetRun, DatasetVersion
from annotate.generation.models import GenerationRun, Generator, Response
from annotate.gold.models import Gold
from annotate.importing.models import Import, ImportRun
from annotate.projects.models import (
    Attribute,
    Dimension,
    Guidelines,
    Invitation,
    Membership,
    Project,
    Prompt,
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
    "Import",
    "ImportRun",
    "Invitation",
    "Judgement",
    "Membership",
    "Project",
    "Prompt",
    "QualityReport",
    "Response",
    "Withdrawal",
]
