"""What to do next in a project, in the order of the loop."""

from __future__ import annotations

from dataclasses import dataclass

from django.urls import reverse

from annotate.projects.models import Project
from annotate.projects.selectors import Progress


@dataclass(frozen=True, slots=True)
class Step:
    title: str
    why: str
    action: str
    url: str


def next_step(project: Project, progress: Progress) -> Step:
    """The first thing on the road that is not done yet."""
    if not progress.prompts:
        return Step(
            "Import prompts",
            "Everything begins with what the model is asked. A file with one JSON object a line is enough.",
            "Import prompts",
            reverse("annotate:prompt-import", args=[project.slug]),
        )
    if not progress.comparisons:
        return Step(
            "Generate responses",
            f"Let a model answer the {progress.prompts:,} prompts {project.k} times each; that makes comparisons.",
            "Generate",
            reverse("annotate:generation-start", args=[project.slug]),
        )
    if not progress.annotators and progress.done < progress.needed:
        return Step(
            "Invite annotators",
            f"{progress.needed - progress.done:,} judgements are needed, and nobody works here yet.",
            "People",
            f"{reverse('annotate:people')}?project={project.pk}",
        )
    if progress.done < progress.needed:
        return Step(
            "Annotate",
            f"{progress.needed - progress.done:,} of {progress.needed:,} judgements are still to come. "
            "A dataset version can be built at any time from those that are there.",
            "Judge some yourself",
            reverse("annotate:next", args=[project.slug]),
        )
    if not progress.versions:
        return Step(
            "Build a dataset version",
            "All comparisons have their judgements. Freeze them into rankings and pairs that trainers can read.",
            "Build a version",
            f"{reverse('annotate:dataset-start')}?project={project.pk}",
        )
    return Step(
        "Train",
        "The judgements are in a dataset version. Train a reward model on it, then a policy for the next round.",
        "Datasets",
        reverse("annotate:dataset-list"),
    )
