"""Keep the catalogues of translations in step with the code, without GNU gettext."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils.translation.template import templatize

KEYWORDS = {
    "_": None,
    "gettext": None,
    "gettext_lazy": None,
    "gettext_noop": None,
    "ngettext": (1, 2),
    "ngettext_lazy": (1, 2),
    "pgettext": ((1, "c"), 2),
    "pgettext_lazy": ((1, "c"), 2),
    "npgettext": ((1, "c"), 2, 3),
}
WRITTEN = datetime(2026, 1, 1, tzinfo=UTC)
PACKAGES = ("accounts", "annotate", "config", "rewardmodel", "rl", "runs")


class Command(BaseCommand):
    requires_system_checks = ()  # it reads the code as text, whether that code works or not
    help = "Update locale/*/LC_MESSAGES/django.po from the code and compile them; --check only says what is missing."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--check", action="store_true", help="change nothing; fail if a catalogue is not complete")

    def handle(self, *args: Any, check: bool, **options: Any) -> None:
        from babel.messages.mofile import write_mo
        from babel.messages.pofile import read_po, write_po

        template = collect(settings.BASE_DIR)
        complaints: list[str] = []
        for language, _ in settings.LANGUAGES[1:]:
            path = catalogue_path(language)
            before = path.read_bytes() if path.exists() else b""
            catalogue = read_po(io.BytesIO(before), locale=path.parent.parent.name, domain="django")
            catalogue.update(template, no_fuzzy_matching=True)
            catalogue.obsolete.clear()
            _plain_header(catalogue)
            compiled = io.BytesIO()
            write_mo(compiled, catalogue)
            if check:
                complaints += [f"{language}: {text}" for text in problems(catalogue)]
                if not path.with_suffix(".mo").exists() or path.with_suffix(".mo").read_bytes() != compiled.getvalue():
                    complaints.append(f"{language}: django.mo is not what django.po says; run manage.py messages")
                continue
            text = io.BytesIO()
            write_po(text, catalogue, width=110, omit_header=False, include_lineno=False, sort_output=True)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(text.getvalue())
            path.with_suffix(".mo").write_bytes(compiled.getvalue())
            missing = len(problems(catalogue))
            self.stdout.write(f"{path.relative_to(settings.BASE_DIR)}: {len(catalogue)} texts, {missing} to do")
        if complaints:
            raise CommandError("\n".join(complaints))


def _plain_header(catalogue: Any) -> None:
    """Nothing that changes by itself, so that the same translations are the same bytes."""
    catalogue.header_comment = f"# {catalogue.locale.english_name} translation of Plumbline."
    catalogue.project, catalogue.version, catalogue.fuzzy = "Plumbline", "1", False
    catalogue.creation_date = catalogue.revision_date = WRITTEN
    catalogue.last_translator = catalogue.language_team = catalogue.msgid_bugs_address = "Plumbline"


def catalogue_path(language: str) -> Path:
    from django.utils.translation import to_locale

    return settings.LOCALE_PATHS[0] / to_locale(language) / "LC_MESSAGES" / "django.po"


def collect(root: Path) -> Any:
    """A catalogue of every text in the templates and packages that is marked for translation."""
    from babel.messages.catalog import Catalog
    from babel.messages.extract import extract

    catalogue = Catalog(project="Plumbline", domain="django", charset="utf-8")
    for path, source in _sources(root):
        for _, message, _, context in extract("python", io.BytesIO(source.encode()), KEYWORDS):
            catalogue.add(message, None, [(str(path.relative_to(root)), 0)], context=context)
    return catalogue


def _sources(root: Path) -> Iterator[tuple[Path, str]]:
    for path in sorted((root / "templates").rglob("*.html")):
        # What is left of a template is not quite Python: without its indentation it can at least be cut into tokens.
        lines = templatize(path.read_text(encoding="utf-8"), origin=str(path)).splitlines()
        yield path, "\n".join(line.strip() for line in lines)
    for package in PACKAGES:
        for path in sorted((root / package).rglob("*.py")):
            if "migrations" not in path.parts:
                yield path, path.read_text(encoding="utf-8")


def problems(catalogue: Any) -> list[str]:
    """What is wrong with a catalogue: texts without a translation, or whose places to fill in differ."""
    found = []
    for message in catalogue:
        if not message.id:
            continue
        strings = message.string if isinstance(message.string, list | tuple) else [message.string]
        ids = message.id if isinstance(message.id, list | tuple) else [message.id]
        if not strings or not all(strings):
            found.append(f"not translated: {ids[0]}")
        elif any(_places(string) != _places(ids[-1]) for string in strings):
            found.append(f"other places to fill in: {ids[0]}")
    return found


def _places(text: str) -> list[str]:
    return sorted(re.findall(r"%\(\w+\)[sd]|%[sd]|\{\w*\}", text))
