"""The platform as a worker under test sees it: the test's database and folders, and less patience."""

import os
from pathlib import Path

from tests.settings import *  # noqa: F403

INSTALLED_APPS = [*INSTALLED_APPS, "tests.runs.apps.CountingConfig"]  # noqa: F405
DATABASES["default"]["NAME"] = os.environ["TEST_DATABASE"]  # noqa: F405
RUNS_DIR = Path(os.environ["TEST_FOLDER"]) / "runs"
STORAGES["artifacts"] = {  # noqa: F405
    "BACKEND": "django.core.files.storage.FileSystemStorage",
    "OPTIONS": {"location": os.environ["TEST_FOLDER"] + "/artifacts"},
}
HEARTBEAT_SECONDS = 0.5
HEARTBEAT_TIMEOUT = 3
CELERY_BEAT_SCHEDULE = {
    "reap": {"task": "runs.tasks.reap", "schedule": 1.0},
    "nudge": {"task": "runs.tasks.nudge", "schedule": 1.0},
}
