"""What a project asks: its dimensions, attributes and flags, and which of that judgements have settled for good.

A judgement names dimensions, attributes and flags by their keys, and reads its numbers on the scale it was made on. So
what judgements speak of stays: it can be renamed, explained better and moved, but not taken away or rescaled.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.core.exceptions import ValidationError
from django.db import connection, models

from annotate.projects.models import KEY, Attribute, Dimension, Project, default_flags

LONGEST_FLAG = 60
MOST_FLAGS = 30
ABOUT = ("prompt", "response")
BUILT_IN = frozenset((flag["about"], flag["key"]) for flag in default_flags())

# Keys that some judgement or known answer speaks of. One that is used is found at once; only an unused one has to be
# looked for.
IN_USE = {
    "dimensions": """
        SELECT d.key FROM annotate_dimension d
        WHERE d.project_id = %s AND (EXISTS (
            SELECT 1 FROM annotate_judgement j JOIN annotate_comparison c ON c.id = j.comparison_id
            WHERE c.project_id = d.project_id AND (j.rankings ? d.key OR j.all_bad ? d.key OR j.ratings ? d.key))
        OR EXISTS (
            SELECT 1 FROM annotate_gold g JOIN annotate_comparison c ON c.id = g.comparison_id
            WHERE c.project_id = d.project_id AND g.rankings ? d.key))
        """,
    "attributes": """
        SELECT a.key FROM annotate_attribute a
        WHERE a.project_id = %s AND EXISTS (
            SELECT 1 FROM annotate_judgement j JOIN annotate_comparison c ON c.id = j.comparison_id
            WHERE c.project_id = a.project_id AND j.ratings ? a.key)
        """,
}
FLAG_IN_USE = """
    SELECT EXISTS (
        SELECT 1 FROM annotate_judgement j JOIN annotate_comparison c ON c.id = j.comparison_id,
        jsonb_array_elements(j.flags) flag
        WHERE c.project_id = %s AND flag->>'flag' = %s AND (flag ? 'response') = %s)
"""


@dataclass(frozen=True, slots=True)
class Locks:
    """What cannot change any more.

    judgements: whether people have judged here; then the task stays, and with it the points of a rating.
    dimensions, attributes: keys that judgements or known answers speak of. comparisons: how many there are; they keep
    their K and overlap. Flags are looked up one by one when they are taken away (`flags_checked`).
    """

    judgements: bool = False
    dimensions: frozenset[str] = frozenset()
    attributes: frozenset[str] = frozenset()
    comparisons: int = 0


def locks(project: Project | None) -> Locks:
    """What the judgements of a project have settled; nothing for one that is only being made."""
    if project is None or project.pk is None:
        return Locks()
    # Imported rankings were made by other rules elsewhere, and bind nothing here but their dimension.
    judged = project.comparisons.filter(judgements__assignment__isnull=False).exists()
    return Locks(
        judgements=judged,
        dimensions=frozenset(_keys_in_use(project, "dimensions")),
        attributes=frozenset(_keys_in_use(project, "attributes")) if judged else frozenset(),
        comparisons=project.comparisons.count(),
    )


def _keys_in_use(project: Project, what: str) -> set[str]:
    with connection.cursor() as cursor:
        cursor.execute(IN_USE[what], [project.pk])
        return {key for (key,) in cursor.fetchall()}


def key_of(label: str, otherwise: str) -> str:
    """A key made of a label: `Gets it right!` becomes `gets_it_right`; `otherwise` where no letter of it would do."""
    key = re.sub(r"[^a-z0-9]+", "_", label.lower()).strip("_")[:40].rstrip("_")
    return key if key[:1].isalpha() else otherwise


def task_checked(project: Project, before: Project | None, locked: Locks) -> None:
    """Refuse another task, or another scale of a rating, once people have judged. Pairwise compares two responses."""
    if project.task == Project.Task.PAIRWISE:
        project.k = 2
    if before is None or not locked.judgements:
        return
    errors = {}
    if project.task != before.task:
        errors["task"] = (
            f"People have judged here as {before.task}, so the task stays; make another project for another."
        )
    if project.rating_points != before.rating_points and before.task == Project.Task.RATING:
        errors["rating_points"] = f"There are ratings from 1 to {before.rating_points} already, so the scale stays."
    if errors:
        raise ValidationError(errors)


def dimensions_set(project: Project, wanted: Sequence[Mapping[str, Any]], locked: Locks) -> None:
    """Make the project's dimensions `wanted` (key, label, question), in that order."""
    if not wanted:
        raise ValidationError({"dimensions": "A project needs at least one dimension to rank by."})
    clash = {str(row["key"]) for row in wanted} & set(project.attributes.values_list("key", flat=True))
    if clash:
        raise ValidationError({"dimensions": f"“{min(clash)}” is an attribute; a dimension needs a key of its own."})
    _rows_set(project, "dimensions", Dimension, wanted, locked.dimensions, ("question",))


def attributes_set(project: Project, wanted: Sequence[Mapping[str, Any]], locked: Locks) -> None:
    """Make the project's attributes `wanted` (key, label, low, high, points), in that order."""
    before = {attribute.key: attribute.points for attribute in project.attributes.all()}
    for row in wanted:
        key, points = str(row["key"]), row.get("points")
        if key in locked.attributes and points is not None and points != before.get(key):
            raise ValidationError({"attributes": f"“{key}” is rated from 1 to {before[key]} already, so that stays."})
    clash = {str(row["key"]) for row in wanted} & set(project.dimensions.values_list("key", flat=True))
    if clash:
        raise ValidationError({"attributes": f"“{min(clash)}” is a dimension; an attribute needs a key of its own."})
    _rows_set(project, "attributes", Attribute, wanted, locked.attributes, ("low", "high", "points"))


def _rows_set(
    project: Project,
    name: str,
    model: type[models.Model],
    wanted: Sequence[Mapping[str, Any]],
    used: frozenset[str],
    fields: Sequence[str],
) -> None:
    existing = {row.key: row for row in getattr(project, name).all()}
    keys = [str(row["key"]) for row in wanted]
    double = next((key for key in keys if keys.count(key) > 1), None)
    if double:
        raise ValidationError({name: f"The key “{double}” is there twice."})
    gone = existing.keys() - set(keys)
    if gone & used:
        raise ValidationError({name: f"“{min(gone & used)}” has judgements already or is in gold, so it must stay."})
    getattr(project, name).filter(key__in=gone).delete()
    for position, given in enumerate(wanted):
        row = existing.get(str(given["key"])) or model(project=project, key=given["key"])
        row.label = given.get("label") or str(given["key"]).replace("_", " ").capitalize()
        for field in fields:
            if given.get(field) is not None:
                setattr(row, field, given[field])
        row.position = position
        try:
            row.full_clean(validate_constraints=False)
        except ValidationError as error:
            raise ValidationError({name: [f"{given['key']}: {text}" for text in error.messages]}) from None
        row.save()


def flags_checked(flags: object, before: Project | None = None) -> list[dict[str, str]]:
    """Flags as they are kept: {key, label, about}; a built-in key needs no label, for it brings translated ones.

    before: the project as it was; what judgements there have flagged stays.
    """
    if not isinstance(flags, list | tuple):
        raise ValidationError({"flags": "This must be a list."})
    if len(flags) > MOST_FLAGS:
        raise ValidationError({"flags": f"There may be {MOST_FLAGS} flags at most; nobody reads more."})
    result: list[dict[str, str]] = []
    for flag in flags:
        if not isinstance(flag, Mapping) or not {"key", "about"} <= flag.keys() <= {"key", "label", "about"}:
            raise ValidationError({"flags": "A flag is an object with key, label and about."})
        kept = {name: str(flag.get(name) or "").strip() for name in ("key", "label", "about")}
        if kept["about"] not in ABOUT:
            raise ValidationError({"flags": f"“{kept['key']}” must be about prompt or response."})
        try:
            KEY(kept["key"])
        except ValidationError as error:
            raise ValidationError({"flags": f"{kept['key']}: {error.message}"}) from None
        if len(kept["label"]) > LONGEST_FLAG or len(kept["key"]) > 40 or "\x00" in kept["label"]:
            raise ValidationError({"flags": f"“{kept['key'][:40]}”: at most {LONGEST_FLAG} characters for a label."})
        if not kept["label"] and (kept["about"], kept["key"]) not in BUILT_IN:
            raise ValidationError({"flags": f"“{kept['key']}” needs a label."})
        if any((kept["about"], kept["key"]) == (other["about"], other["key"]) for other in result):
            raise ValidationError({"flags": f"“{kept['key']}” is there twice for the {kept['about']}."})
        result.append(kept)
    if before is not None:
        _flags_kept(before, {(flag["about"], flag["key"]) for flag in result})
    return result


def _flags_kept(before: Project, wanted: set[tuple[str, str]]) -> None:
    for flag in before.flags:
        about, key = str(flag.get("about")), str(flag.get("key"))
        if (about, key) in wanted:
            continue
        with connection.cursor() as cursor:
            cursor.execute(FLAG_IN_USE, [before.pk, key, about == "response"])
            if cursor.fetchone()[0]:
                raise ValidationError({"flags": f"“{key}” was set on a {about} already, so it must stay."})
