"""The cast and the stage.

Tests speak of people, not of fixtures: an `admin`, an `annotator`, an `other_annotator`, and an `outsider` who has an
account but belongs to no project. `as_admin`, `as_annotator`, ... are their logged-in browsers; `as_nobody` is a
stranger's.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from django.test import Client

PASSWORD = "plumb-line-9"
DATA = Path(os.environ.get("PLUMBLINE_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """Real data sets, kept outside the repository (PLUMBLINE_DATA)."""
    if not DATA.is_dir():
        pytest.skip(f"real data is not here ({DATA}); set PLUMBLINE_DATA")
    return DATA


@pytest.fixture(autouse=True)
def _own_var(tmp_path: Path, settings) -> None:
    """Each test keeps its runs, artifacts and models to itself. Passwords hash cheaply: they protect nothing here."""
    settings.RUNS_DIR = tmp_path / "runs"
    settings.ARTIFACTS_DIR = tmp_path / "artifacts"
    settings.MODELS_DIR = Path(os.environ.get("PLUMBLINE_MODELS_DIR", tmp_path / "models"))
    settings.STORAGES = {
        **settings.STORAGES,
        "artifacts": {
            "BACKEND": "django.core.files.storage.FileSystemStorage",
            "OPTIONS": {"location": str(settings.ARTIFACTS_DIR)},
        },
        "uploads": {
            "BACKEND": "django.core.files.storage.FileSystemStorage",
            "OPTIONS": {"location": str(tmp_path / "uploads")},
        },
        "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
    }
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


def _user(name: str, **fields: object):
    from accounts.models import User

    return User.objects.create_user(name, f"{name}@example.org", PASSWORD, **fields)


@pytest.fixture
def admin(db):
    return _user("ada", is_staff=True, is_superuser=True)


@pytest.fixture
def annotator(db):
    return _user("ben")


@pytest.fixture
def other_annotator(db):
    return _user("cleo")


@pytest.fixture
def outsider(db):
    return _user("otto")


def _client(user) -> Client:
    client = Client()
    client.force_login(user)
    return client


@pytest.fixture
def as_admin(admin) -> Client:
    return _client(admin)


@pytest.fixture
def as_annotator(annotator) -> Client:
    return _client(annotator)


@pytest.fixture
def as_other_annotator(other_annotator) -> Client:
    return _client(other_annotator)


@pytest.fixture
def as_outsider(outsider) -> Client:
    return _client(outsider)


@pytest.fixture
def as_nobody(db) -> Client:
    return Client()


# the browser --------------------------------------------------------------------------------------------------------

# The browser's driver keeps an event loop in the test's own thread, where Django would refuse to use the database.
os.environ.setdefault("DJANGO_ALLOW_ASYNC_UNSAFE", "true")


@pytest.fixture(scope="session")
def browser_type_launch_args(browser_type_launch_args: dict) -> dict:
    """Use the Chromium that is there (PLUMBLINE_CHROMIUM or on PATH), else the one playwright installed."""
    executable = os.environ.get("PLUMBLINE_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    quiet = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
    return {
        **browser_type_launch_args,
        **({"executable_path": executable} if executable else {}),
        "args": [*quiet, "--disable-sync"],
    }


@pytest.fixture
def login(page, live_server):
    """`login(user)` logs the browser page in through the real form."""

    def log_in(user) -> None:
        page.goto(f"{live_server.url}/account/login/")
        page.get_by_label("Username").fill(user.username)
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Log in").click()
        page.wait_for_url(lambda url: "/login" not in url)

    return log_in


# children -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def children_share_database(transactional_db, monkeypatch) -> None:
    """Child processes that use Django (a dataset build) find the test database instead of the platform's."""
    from urllib.parse import quote

    from django.db import connection

    given = connection.settings_dict
    host, port = quote(str(given["HOST"]), safe=""), f":{given['PORT']}" if given["PORT"] else ""
    password = f":{quote(given['PASSWORD'], safe='')}" if given["PASSWORD"] else ""
    monkeypatch.setenv("DATABASE_URL", f"postgresql://{given['USER']}{password}@{host}{port}/{given['NAME']}")
