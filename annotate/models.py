"""All models of the app, for Django; each room keeps its own."""

from annotate.datasets.models import DatasetRun, DatasetVersion
from annotate.generation.models import GenerationRun, Generator, Response
from annotate.projects.models import Dimension, Invitation, Membership, Project, Prompt, PromptImport
from annotate.ranking.models import Assignment, Comparison, ComparisonResponse, Judgement

__all__ = [
    "Assignment",
    "Comparison",
    "ComparisonResponse",
    "DatasetRun",
    "DatasetVersion",
    "Dimension",
    "GenerationRun",
    "Generator",
    "Invitation",
    "Judgement",
    "Membership",
    "Project",
    "Prompt",
    "PromptImport",
    "Response",
]
