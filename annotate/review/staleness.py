"""What rests on withdrawn work: dataset versions, and whatever was trained on them.

The apps above know their own models, so they are asked (`AppConfig.stale_models` and `AppConfig.stale_generators`, each
given {dataset version id: why it is stale}); annotate knows none of theirs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from django.apps import apps
from django.db.models import Q, QuerySet

from annotate.datasets.models import DatasetVersion
from annotate.projects.models import Project

Reasons = Mapping[int, str]


@dataclass(frozen=True, slots=True)
class StaleModel:
    """Something that was made from stale data: `kind` in words, where it is shown, and why it is stale."""

    kind: str
    name: str
    url: str
    reason: str


def versions_with(project: Project, annotator_id: int) -> QuerySet[DatasetVersion]:
    """Versions that contain, or may contain, this person's judgements: early ones did not write down whose they are.

    Versions weighted by reliability are among them all the same: how reliable anybody is was estimated from everybody's
    judgements together.
    """
    unknown = Q(annotators=[]) & ~Q(counts__has_key="annotators")
    weighted = Q(run__config__weights="reliability")
    return DatasetVersion.objects.filter(Q(annotators__contains=[annotator_id]) | unknown | weighted, project=project)


def is_weighted(version: DatasetVersion) -> bool:
    """Whether everybody's judgements had a say in this version, by the weights of those that are in it."""
    return version.run.config.get("weights") == "reliability"


def stale_versions() -> dict[int, str]:
    """{id: why} of all stale dataset versions."""
    rows = DatasetVersion.objects.filter(stale_since__isnull=False).select_related("project").order_by("pk")
    return {version.pk: f"{version}. {version.stale_reason}" for version in rows}


def stale_generators(versions: Reasons | None = None) -> dict[int, str]:
    """{id: why} of generators that were trained on stale versions (by default those that are stale now)."""
    versions = stale_versions() if versions is None else versions
    found: dict[int, str] = {}
    for app in apps.get_app_configs() if versions else ():
        if hasattr(app, "stale_generators"):
            found |= app.stale_generators(versions)
    return found


def stale_models(versions: Reasons) -> list[StaleModel]:
    """What is stale if these versions are."""
    return [
        StaleModel(**model)
        for app in (apps.get_app_configs() if versions else ())
        if hasattr(app, "stale_models")
        for model in app.stale_models(versions)
    ]
