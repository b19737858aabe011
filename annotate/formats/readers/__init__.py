"""Every format that can be read, by key. `annotate.formats.reading` opens files with them. Pure."""

from __future__ import annotations

from annotate.formats.readers import chat, evaluations, own, platforms, published, trl, votes
from annotate.formats.readers.base import Format

FORMATS_IN: dict[str, Format] = {
    format.key: format
    for format in (
        *own.FORMATS,
        *trl.FORMATS,
        *chat.FORMATS,
        *published.FORMATS,
        *votes.FORMATS,
        *evaluations.FORMATS,
        *platforms.FORMATS,
    )
}
