"""The settings of the platform, for tests: a folder of their own, and passwords that are quick to hash."""

import os

from config.env import BASE_DIR

# Two test processes share the machine with the workers and children they start: one quiet thread each.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("PLUMBLINE_VAR", str(BASE_DIR / "var" / "tests"))
from config.settings import *  # noqa: F403

PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
DATABASES["default"]["CONN_MAX_AGE"] = 0  # noqa: F405 - kept ones would outlive their test
