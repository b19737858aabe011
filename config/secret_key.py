"""The key that signs sessions: made once and kept under var/ when none is given."""

from __future__ import annotations

import os
import secrets
import tempfile
from pathlib import Path

from django.utils.functional import SimpleLazyObject


def kept_under(var: Path) -> str:
    """The key of `var`, read (and made, the first time) when it is first used, so that settings write nothing."""
    return SimpleLazyObject(lambda: _read_or_make(var / "secret-key"))  # type: ignore[return-value]


def _read_or_make(path: Path) -> str:
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, aside = tempfile.mkstemp(dir=path.parent)  # mode 0600
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_urlsafe(50))
            file.flush()
            os.fsync(descriptor)
        try:
            os.link(aside, path)  # unlike a rename it fails where another process was faster: all read the same key
        except FileExistsError:
            pass
        finally:
            os.unlink(aside)
    return path.read_text().strip()
