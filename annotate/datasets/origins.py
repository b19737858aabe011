"""Where a pair comes from and where a version went, with the people and texts that its files do not name."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from annotate.datasets.config import DatasetConfig
from annotate.datasets.diff import config_changes, summary
from annotate.datasets.lineage import Lineage, lineage_find, ranking_row
from annotate.datasets.models import DatasetVersion
from annotate.ranking.models import Judgement
from annotate.review.models import Adjudication
from annotate.review.staleness import StaleModel, stale_models
from runs.artifacts import artifact_path
from runs.models import Artifact

Json = dict[str, Any]


def version_models(version: DatasetVersion) -> list[StaleModel]:
    """What was trained on a version, or rests on something that was: what would be stale if the version were."""
    return stale_models({version.pk: str(version)})


def version_origins(version: DatasetVersion, *, pair: int | None = None, comparison: int | None = None) -> list[Json]:
    """Of the dimension that a pair belongs to, or of all dimensions of a comparison, what is in the version and what it
    was made of.

    [{"entry": Lineage, "row": its line in rankings.jsonl, "pairs": [...], "judgements": [Judgement] or None where they
    were not written down, "decision": Adjudication or None}]; empty if there is no such pair.
    """
    directory = artifact_path(version.artifact)
    wanted = None if comparison is None else str(comparison)
    entries = lineage_find(directory, pair=pair, comparison=wanted)
    found = _judgements(entries)
    decisions = Adjudication.objects.select_related("reviewer").in_bulk(
        [entry.decision for entry in entries if entry.decision is not None]
    )
    origins = []
    for entry in entries:
        row = ranking_row(directory, entry)
        texts = {response["id"]: response for response in row["responses"]}
        origins.append(
            {
                "entry": entry,
                "row": row,
                "pairs": [_pair(each, number, texts) for number, each in enumerate(entry.pairs, entry.first_pair)],
                "judgements": None
                if entry.judgements is None
                else [found[pk] for pk in entry.judgements if pk in found],
                "decision": decisions.get(entry.decision) if entry.decision is not None else None,
            }
        )
    return origins


def _judgements(entries: Sequence[Lineage]) -> dict[int, Judgement]:
    ids = {pk for entry in entries for pk in entry.judgements or ()}
    return Judgement.objects.select_related("annotator", "withdrawal").in_bulk(list(ids))


def _pair(pair: list[Any], number: int, responses: dict[str, Json]) -> Json:
    chosen, rejected, preference, margin, weight = pair
    return {
        "number": number,
        "chosen": responses[chosen],
        "rejected": responses[rejected],
        "preference": preference,
        "margin": margin,
        "weight": weight,
    }


# comparing versions ---------------------------------------------------------------------------------------------------


def version_diff(before: DatasetVersion, after: DatasetVersion) -> Json:
    """annotate.datasets.diff.summary of two versions, and "config": what was set otherwise."""
    return _summary(before.artifact_id, before.sha256, after.artifact_id, after.sha256) | {
        "config": config_changes(before.run.config, after.run.config, DatasetConfig().model_dump(mode="json")),
        "is_same": before.sha256 == after.sha256,
    }


@lru_cache(maxsize=16)  # versions never change
def _summary(before: int, before_sha256: str, after: int, after_sha256: str) -> Json:
    found = Artifact.objects.in_bulk([before, after])
    return summary(artifact_path(found[before]), artifact_path(found[after]))
