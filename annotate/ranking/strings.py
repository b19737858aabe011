"""The sentences ranking.js shows, so that one catalogue translates the whole page."""

from __future__ import annotations

from django.utils.translation import gettext as _


def page_strings() -> dict[str, str]:
    """Words in {braces} are filled in by the browser."""
    return {
        "unplaced": _("not placed"),
        "rank": _("rank {rank}"),
        "tied": _("rank {rank}, tied with {others}"),
        "placed": _("{key} at {place}."),
        "removed": _("{key} taken off."),
        "allPlaced": _("All placed."),
        "next": _("Next"),
        "submit": _("Submit"),
        "submitAgain": _("Submit again"),
        "saved": _("Saved"),
        "saving": _("Saving…"),
        "offline": _("Not saved: offline, kept in this browser"),
        "unreachable": _("Not saved: the server does not answer, kept in this browser"),
        "signedOut": _("Not saved: you are signed out. Kept in this browser; log in again in another tab"),
        "refused": _("Not saved: {message}"),
        "waiting": _("{count} not sent yet: offline, kept in this browser"),
        "sent": _("Submitted"),
        "lapsed": _("Your lease ran out and someone else has this one. You can still submit; it will be kept."),
        "tooFew": _("{label}: place at least two responses, or press X if all are bad."),
        "leftOut": _("{keys} not placed, so left out of the ranking. Press Enter again to go on."),
        "allBad": _("All bad"),
        "allBadOn": _("Marked: all bad."),
        "allBadOff": _("No longer marked as all bad."),
        "strength0": _("strength not said"),
        "strength1": _("slightly better"),
        "strength2": _("better"),
        "strength3": _("much better"),
        "noStrength": _("There is nothing below {key} to compare its strength with."),
        "question": _("{label}. {question}"),
        "chooseReason": _("Choose a reason first."),
        "loading": _("Loading the next one…"),
        "newItem": _("Next comparison: {count} responses."),
    }
