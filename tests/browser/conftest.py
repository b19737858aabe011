from __future__ import annotations

import os
import time

import pytest
from django.conf import settings
from django.core.signals import request_finished, request_started
from django.test import Client

# Playwright's synchronous interface runs inside an event loop, where Django would refuse to use the database.
os.environ.setdefault("DJANGO_ALLOW_ASYNC_UNSAFE", "true")


@pytest.fixture(autouse=True)
def _requests_finish(transactional_db):
    """A page that is closed leaves requests behind; they must not meet the emptying of the database."""
    open_requests: list[object] = []

    def began(**_: object) -> None:
        open_requests.append(None)

    def ended(**_: object) -> None:
        if open_requests:
            open_requests.pop()

    request_started.connect(began)
    request_finished.connect(ended)
    yield
    for _ in range(100):
        if not open_requests:
            break
        time.sleep(0.05)
    request_started.disconnect(began)
    request_finished.disconnect(ended)


@pytest.fixture
def enter(live_server, context):
    """`enter(user)` gives every page of the browser context this user's session, without the login form."""

    def enter(user) -> None:
        client = Client()
        client.force_login(user)
        value = client.cookies[settings.SESSION_COOKIE_NAME].value
        context.add_cookies([{"name": settings.SESSION_COOKIE_NAME, "value": value, "url": live_server.url}])

    return enter


@pytest.fixture
def complaints(page) -> list[str]:
    """What the browser complained about: script errors and refusals of the Content-Security-Policy."""
    found: list[str] = []
    page.on("pageerror", lambda error: found.append(str(error)))
    page.on("console", lambda message: found.append(message.text) if message.type == "error" else None)
    return found
