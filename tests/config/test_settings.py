"""What the environment says is what happens, and what it says wrongly is named before anything starts."""

from __future__ import annotations

import json
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured

from config import embedded, secret_key
from config.env import BASE_DIR, Environment
from tests.config.house import environment, manage


def values(tmp_path: Path, *names: str, **variables: str) -> list[object]:
    code = f"import json; from config import settings; print(json.dumps([getattr(settings, n) for n in {names!r}]))"
    env = environment(tmp_path, **variables)
    done = subprocess.run([sys.executable, "-c", code], env=env, cwd=BASE_DIR, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_every_wrong_value_is_named_at_once() -> None:
    wrong = {"PLUMBLINE_LOG_FORMAT": "xml", "PLUMBLINE_HEARTBEAT_TIMEOUT": "soon", "PLUMBLINE_SECRET_KEY": "short"}
    with pytest.raises(ImproperlyConfigured) as raised:
        Environment.read(wrong)
    assert all(name in str(raised.value) for name in wrong)


def test_a_misspelt_variable_is_refused_with_the_right_name() -> None:
    with pytest.raises(ImproperlyConfigured, match="did you mean PLUMBLINE_ALLOWED_HOSTS"):
        Environment.read({"PLUMBLINE_ALOWED_HOSTS": "example.org"})


def test_debug_is_off_and_cookies_work_on_plain_http_unless_said_otherwise(tmp_path: Path) -> None:
    assert values(tmp_path, "DEBUG", "SESSION_COOKIE_SECURE", "ALLOWED_HOSTS") == [
        False,
        False,
        ["localhost", "127.0.0.1", "[::1]"],
    ]


def test_a_site_behind_a_proxy_has_secure_cookies_and_believes_the_proxy(tmp_path: Path) -> None:
    found = values(
        tmp_path,
        "SESSION_COOKIE_SECURE",
        "CSRF_COOKIE_SECURE",
        "SECURE_PROXY_SSL_HEADER",
        "ALLOWED_HOSTS",
        "CSRF_TRUSTED_ORIGINS",
        PLUMBLINE_SECURE_COOKIES="true",
        PLUMBLINE_BEHIND_PROXY="true",
        PLUMBLINE_ALLOWED_HOSTS="annotate.example.org, api.example.org",
        PLUMBLINE_CSRF_TRUSTED_ORIGINS="https://annotate.example.org",
    )
    assert found == [
        True,
        True,
        ["HTTP_X_FORWARDED_PROTO", "https"],
        ["annotate.example.org", "api.example.org"],
        ["https://annotate.example.org"],
    ]


def test_a_production_environment_passes_djangos_own_review(tmp_path: Path) -> None:
    done = manage(
        tmp_path,
        "check",
        "--deploy",
        "--tag",
        "security",
        "--fail-level",
        "WARNING",
        PLUMBLINE_SECURE_COOKIES="true",
        PLUMBLINE_BEHIND_PROXY="true",
        PLUMBLINE_ALLOWED_HOSTS="annotate.example.org",
    )
    assert done.returncode == 0, done.stderr


def test_servers_of_ones_own_are_used_when_they_are_named(tmp_path: Path) -> None:
    urls = {"DATABASE_URL": "postgresql://ada:secret@db.example.org:5433/plumb", "REDIS_URL": "redis://:pw@r:6379/2"}
    databases, broker, is_embedded = values(tmp_path, "DATABASES", "CELERY_BROKER_URL", "EMBEDDED", **urls)
    assert (databases["default"]["HOST"], databases["default"]["PORT"]) == ("db.example.org", 5433)
    assert databases["default"]["ENGINE"] == "django.db.backends.postgresql"
    assert (broker, is_embedded) == (urls["REDIS_URL"], False)


def test_celery_and_the_cache_speak_to_the_same_embedded_server(tmp_path: Path) -> None:
    broker, caches = values(tmp_path, "CELERY_BROKER_URL", "CACHES")
    socket = str(embedded.socket_dir(tmp_path) / "valkey.sock")
    assert broker == f"redis+socket://{socket}?virtual_host=0"
    assert caches["default"]["LOCATION"] == f"unix://{socket}?db=0"


def test_processes_that_start_together_agree_on_one_secret_key(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        keys = set(pool.map(lambda _: str(secret_key.kept_under(tmp_path)), range(32)))
    assert len(keys) == 1 and len(keys.pop()) >= 50
    assert [path.name for path in tmp_path.iterdir()] == ["secret-key"]
    assert stat.S_IMODE((tmp_path / "secret-key").stat().st_mode) == 0o600
