"""What the pages about versions say, from what the selectors found."""

from __future__ import annotations

from collections import Counter
from typing import Any

from accounts.models import User
from annotate.datasets.config import DatasetConfig
from annotate.datasets.diff import Change
from annotate.datasets.models import DatasetVersion
from annotate.ranking.models import Judgement
from annotate.ranking.sanitise import render_markdown

Json = dict[str, Any]
LARGEST = 2**63 - 1


def number_of(text: str | None) -> int | None:
    """A number that somebody typed into an address; None if it is none."""
    if not text or not text.isascii() or not text.isdigit() or len(text) > 19 or int(text) > LARGEST:
        return None
    return int(text)


def choices_of(version: DatasetVersion) -> list[tuple[str, str, bool]]:
    """(title, value, whether it was chosen otherwise than by default) of every setting; people by name."""
    config, defaults = version.run.config, DatasetConfig().model_dump(mode="json")
    people = [pk for name in ("annotators", "exclude_annotators") for pk in config.get(name) or ()]
    names = dict(User.objects.filter(pk__in=people).values_list("pk", "username")) if people else {}
    rows = []
    for name, field in DatasetConfig.model_fields.items():
        value = config.get(name, defaults[name])
        shown = value
        if name in ("annotators", "exclude_annotators"):
            shown = [names.get(pk, pk) for pk in value]
        rows.append((field.title or name, setting_text(shown), value != defaults[name]))
    return rows


def setting_text(value: Any) -> str:
    """A setting's value for people."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "–"
    if isinstance(value, float):
        return f"{value:g}"
    return "–" if value is None or value == "" else str(value)


def change_words(change: Change) -> str:
    """What became of the pairs of a comparison: `2 added, 1 removed, 1 turned round`."""
    if not change.pairs:
        return "the same pairs" if change.kind == "moved" else "the same pairs; the rankings differ"
    found = Counter(
        "turned round" if kind == "changed" and before and after and before[0] != after[0] else kind
        for kind, before, after in change.pairs
    )
    return ", ".join(f"{count} {what}" for what, count in found.items())


def origin_words(origin: Json, pair: int | None) -> Json:
    """A found origin for the page: texts rendered, judgements as rows of ranks by response."""
    entry, row = origin["entry"], origin["row"]
    ids = [response["id"] for response in row["responses"]]
    letters = {pk: _letter(number) for number, pk in enumerate(ids)}
    shown = [each for each in origin["pairs"] if pair is None or each["number"] == pair]
    roles: dict[str, str] = {}
    if pair is not None and shown:
        roles = {shown[0]["chosen"]["id"]: "chosen", shown[0]["rejected"]["id"]: "rejected"}
    return {
        **origin,
        "turns": [(turn["role"], render_markdown(turn["content"])) for turn in row["prompt"]],
        "responses": [
            {
                **response,
                "role": roles.get(response["id"], ""),
                "letter": letters[response["id"]],
                "html": render_markdown(response["text"]),
            }
            for response in row["responses"]
        ],
        "shown_pairs": [
            {**each, "chosen": letters[each["chosen"]["id"]], "rejected": letters[each["rejected"]["id"]]}
            for each in shown
        ],
        "said": [_said(judgement, entry.dimension, ids) for judgement in origin["judgements"] or ()],
        "decided": _ranks(origin["decision"].rankings, entry.dimension, ids) if origin["decision"] else None,
        "lost": len(entry.judgements or ()) - len(origin["judgements"] or ()),
    }


def _said(judgement: Judgement, dimension: str, ids: list[str]) -> Json:
    state = ""
    if judgement.withdrawal_id and not judgement.is_current:
        state = "withdrawn"
    elif not judgement.is_current:
        state = "changed since"
    return {"judgement": judgement, "ranks": _ranks(judgement.rankings, dimension, ids), "state": state}


def _ranks(rankings: dict[str, dict[str, int]], dimension: str, ids: list[str]) -> list[int | None]:
    given = rankings.get(dimension, {})
    return [given.get(pk) for pk in ids]


def _letter(number: int) -> str:
    return chr(ord("A") + number) if number < 26 else f"#{number + 1}"


def counted(diff: Json) -> Json:
    """A diff without the list of its first changes."""
    return {key: value for key, value in diff.items() if key != "listed"}
