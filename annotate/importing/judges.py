"""Whose judgement an imported one is: accounts that nobody can log in to, one for each judge of a file.

A file's own names of its annotators may be names of people, so they are not kept: an account is called after the format
and a keyed hash of the name in this project, so that the same judge is the same account in every file, and no list of
names leads back.
"""

from __future__ import annotations

from collections.abc import Iterable

from django.core.exceptions import ValidationError
from django.utils.crypto import salted_hmac

from accounts.models import User
from annotate.projects.models import Project


def judge_name(project: Project, format: str, annotator: str, place: int = 1) -> str:
    """The user name of a judge. place: which of several nameless ones, from 1."""
    if annotator:
        digest = salted_hmac("annotate.importing.judges", f"{project.pk}\n{format}\n{annotator}").hexdigest()
        return f"import-{format}-{digest[:12]}"
    return f"import-{format}" if place == 1 else f"import-{format}-{place}"


def judges_ready(names: Iterable[str]) -> dict[str, int]:
    """{user name: id}, after making the accounts that are missing. ValidationError if a name belongs to a person.

    They are made in the order given, that of the file, so that the same files make the same ids wherever they are read.
    """
    wanted = list(dict.fromkeys(names))
    User.objects.bulk_create(
        [User(username=name, kind=User.Kind.IMPORT, is_active=False, password="!") for name in wanted],  # noqa: S106
        ignore_conflicts=True,
    )
    found = {}
    for pk, name, kind in User.objects.filter(username__in=wanted).values_list("pk", "username", "kind"):
        if kind != User.Kind.IMPORT:
            raise ValidationError(f"The name “{name}” belongs to a person. Rename that account first.")
        found[name] = pk
    return found
