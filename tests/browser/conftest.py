from __future__ import annotations

import os
import time

import pytest
from django.conf import settings
from django.core.signals import request_finished, request_started
from django.test import Client

from annotate.projects.models import Project
from tests.annotate.ranking.desk import make_comparison, make_project
from tests.browser.sitting import sit

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


@pytest.fixture
def seat(page, live_server, enter, annotator):
    """`seat(project)` sits the annotator down before the project's first comparison."""

    def seat(project: Project) -> None:
        enter(annotator)
        sit(page, live_server.url, project.slug)

    return seat


@pytest.fixture
def project(annotator) -> Project:
    return make_project(annotator, guidelines="Read *all* of them.")


@pytest.fixture
def sit_down(seat, project):
    """`sit_down()` opens the first comparison of `project`."""
    return lambda: seat(project)


@pytest.fixture
def pairs(annotator) -> Project:
    """A project of pairs, two of them waiting."""
    project = make_project(annotator, task="pairwise", k=2)
    make_comparison(project, "First?")
    make_comparison(project, "Second?")
    return project
