"""Probes get a plain answer, whatever name they call by, and learn nothing more than whether we can work."""

from __future__ import annotations

import pytest
from django.db import DatabaseError
from django.test import Client

from config import health


@pytest.fixture(autouse=True)
def _broker(settings) -> None:
    """The tests' database starts the embedded servers, and with it the broker of the settings."""
    settings.ALLOWED_HOSTS = ["annotate.example.org"]


def test_a_process_that_answers_is_alive() -> None:
    answer = Client().get("/healthz", headers={"host": "10.0.0.7"})
    assert (answer.status_code, answer.content) == (200, b"ok\n")
    assert answer["Cache-Control"] == "no-store"


@pytest.mark.django_db
def test_it_is_ready_with_database_migrations_and_broker() -> None:
    answer = Client().get("/readyz", headers={"host": "10.0.0.7"})
    assert answer.json() == {"ready": True, "checks": {"database": "ok", "migrations": "ok", "broker": "ok"}}


@pytest.mark.django_db
def test_without_a_broker_it_is_not_ready_and_does_not_say_where_the_broker_is(settings) -> None:
    settings.REDIS_URL = "redis://:the-password@127.0.0.1:1/0"
    answer = Client().get("/readyz")
    assert answer.status_code == 503
    assert answer.json()["checks"] == {"database": "ok", "migrations": "ok", "broker": "failed"}
    assert b"password" not in answer.content


@pytest.mark.django_db
def test_without_a_database_it_is_not_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    def down() -> None:
        raise DatabaseError("no route to host")

    monkeypatch.setattr(health, "_database", down)
    answer = Client().get("/readyz")
    assert answer.status_code == 503
    assert answer.json()["checks"]["database"] == "failed"


@pytest.mark.django_db
def test_other_pages_still_want_a_name_that_is_ours() -> None:
    assert Client().get("/account/login/", headers={"host": "evil.example"}).status_code == 400
