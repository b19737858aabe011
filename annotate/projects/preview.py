"""The ranking page of a project that is only being set up, with something to look at."""

from __future__ import annotations

from django.utils import timezone

from annotate.projects.models import Project, Prompt
from annotate.ranking.models import Assignment, Comparison, ComparisonResponse
from annotate.ranking.page import Item, item_build

MESSAGES = [
    {"role": "user", "content": "I have to tell my team that our launch slips by two weeks. How do I put it?"},
    {
        "role": "assistant",
        "content": "Who will read it: the people who build it, or also those who have promised it to customers?",
    },
    {"role": "user", "content": "Both, in one e-mail. Please keep it short."},
]
RESPONSES = (
    "**Subject: Launch moves to 18 May**\n\nHello everyone,\n\nwe move the launch by two weeks, from 4 to 18 May. "
    "Testing found a fault in the import that can lose rows, and we will not ship that.\n\n- *Builders*: the import "
    "comes first; everything else waits.\n- *Customer teams*: please use the new date from today; a note you can "
    "forward follows this afternoon.\n\nQuestions are welcome at ten tomorrow. Thank you for finding it in time.",
    "Hi team, bad news I'm afraid. The launch is delayed by two weeks. Sorry about that! We'll keep you posted.",
    "Delays are a normal part of software development. Studies show that many projects are late. When you communicate "
    "a delay you should be transparent, empathetic and clear. You should explain the reasons, the consequences and "
    "the new plan. You should also thank the team. Transparency builds trust, and trust is the basis of teamwork.",
    "Hi team,\n\nthe launch is now on **18 May**, two weeks later than planned, because the import can lose rows and "
    "we want it fixed first. Please tell customers the new date today.\n\nThanks for your patience.",
    "Just tell them it is somebody else's fault and that it will be out when it is out.",
    "Subject: Update\n\nDear all,\n\nI would like to inform you that, owing to circumstances, the timeline has been "
    "adjusted. Further information will be provided in due course.\n\nKind regards",
    "Here is a short e-mail:\n\n> We need two more weeks. The import loses rows in rare cases; that is fixed first. "
    "New date: 18 May.\n\nShall I make it warmer, or add a version for customers?",
    "我很抱歉，我们的发布将推迟两周。",
)


def preview_item(project: Project) -> Item:
    """What an annotator of `project`, saved or not, would see: its own first comparison if that has K responses.

    The project's dimensions and attributes are read as they are prefetched. Nothing is saved, and what the item's
    addresses lead to does not exist.
    """
    messages, texts = _own(project) or (MESSAGES, [RESPONSES[at % len(RESPONSES)] for at in range(project.k)])
    prompt = Prompt(pk=0, project=project, messages=messages)
    comparison = Comparison(pk=0, project=project, prompt=prompt)
    ids = list(range(1, len(texts) + 1))
    now = timezone.now()
    assignment = Assignment(pk=0, comparison=comparison, display_order=ids, created_at=now, started_at=now)
    return item_build(assignment, texts=dict(zip(ids, texts, strict=True)))


def _own(project: Project) -> tuple[list[dict[str, str]], list[str]] | None:
    """Messages and texts of the project's first comparison, if it is as large as the next ones will be."""
    first = Comparison.objects.filter(project_id=project.pk).select_related("prompt").order_by("pk").first()
    if first is None:
        return None
    members = ComparisonResponse.objects.filter(comparison=first).select_related("response").order_by("position")
    texts = [member.response.text for member in members]
    return (first.prompt.messages, texts) if len(texts) == project.k else None
