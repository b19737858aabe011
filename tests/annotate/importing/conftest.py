from __future__ import annotations

import pytest


@pytest.fixture
def children_share_uploads(children_share_database, settings, tmp_path, monkeypatch) -> None:
    """The child process of an import finds the test's database and the test's uploads."""
    var = tmp_path / "var"
    uploads = {**settings.STORAGES["uploads"], "OPTIONS": {"location": str(var / "uploads")}}
    settings.STORAGES = {**settings.STORAGES, "uploads": uploads}
    monkeypatch.setenv("PLUMBLINE_VAR", str(var))
    monkeypatch.setenv("PLUMBLINE_SECRET_KEY", settings.SECRET_KEY)
