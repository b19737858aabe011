"""The one settings module: development, tests and production differ by environment variables only (config/env.py)."""

import os

import dj_database_url

from config import embedded, secret_key
from config.env import BASE_DIR, Environment

ENV = Environment.read(os.environ)

VAR = ENV.var.resolve()
MODELS_DIR = (ENV.models_dir or VAR / "models").resolve()
RUNS_DIR = VAR / "runs"
ARTIFACTS_DIR = VAR / "artifacts"

DEBUG = ENV.debug
SECRET_KEY = ENV.secret_key or secret_key.kept_under(VAR)
ALLOWED_HOSTS = list(ENV.allowed_hosts)
CSRF_TRUSTED_ORIGINS = list(ENV.csrf_trusted_origins)

INSTALLED_APPS = [
    "config",
    "accounts",
    "runs",
    "annotate",
    "rewardmodel",
    "rl",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.humanize",
    "django_htmx",
    "csp",
    "rest_framework",
    "knox",
    "drf_spectacular",
    "drf_spectacular_sidecar",
]

MIDDLEWARE = [
    "config.middleware.RequestIdMiddleware",
    "config.health.HealthMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "accounts.middleware.LanguageMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "csp.middleware.CSPMiddleware",
]

ROOT_URLCONF = "config.urls"
WSGI_APPLICATION = "config.wsgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
            "builtins": ["config.templatetags.plumbline"],
        },
    }
]

# data ---------------------------------------------------------------------------------------------------------------

EMBEDDED = not (ENV.database_url and ENV.redis_url)
DATABASES = {
    "default": dj_database_url.parse(
        ENV.database_url or embedded.database_url(VAR),
        # The first connection of a process starts the embedded servers, or finds them running.
        engine="config.database" if EMBEDDED else "django.db.backends.postgresql",
        conn_max_age=60,
        conn_health_checks=True,
    )
}
REDIS_URL = ENV.redis_url or embedded.redis_url(VAR)
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
CACHES = {"default": {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": REDIS_URL}}


def _storage(name: str) -> dict[str, object]:
    """A folder of the S3 bucket, or under var/."""
    if not ENV.s3_bucket:
        return {"BACKEND": "django.core.files.storage.FileSystemStorage", "OPTIONS": {"location": str(VAR / name)}}
    options = {"bucket_name": ENV.s3_bucket, "endpoint_url": ENV.s3_endpoint_url, "location": name}
    return {"BACKEND": "storages.backends.s3.S3Storage", "OPTIONS": options}


STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage", "OPTIONS": {"location": str(VAR / "media")}},
    "artifacts": _storage("artifacts"),
    "uploads": _storage("uploads"),  # files to be imported, until they are; the worker reads them too
    "staticfiles": {
        "BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"
        if DEBUG
        else "config.static.HashedStaticFiles"
    },
}
STATIC_URL = "/static/"
STATIC_ROOT = VAR / "static"
STATICFILES_DIRS = [BASE_DIR / "static"]

# people -------------------------------------------------------------------------------------------------------------

AUTH_USER_MODEL = "accounts.User"
LOGIN_URL = "accounts:login"
LOGIN_REDIRECT_URL = "home"
LOGOUT_REDIRECT_URL = "accounts:login"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 10}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.NumericPasswordValidator"},
]
SESSION_ENGINE = "django.contrib.sessions.backends.cached_db"  # the database is asked when the cache has none
SESSION_COOKIE_AGE = 60 * 60 * 24 * 30
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = ENV.secure_cookies
SECURE_HSTS_SECONDS = 60 * 60 * 24 * 30 if ENV.secure_cookies else 0
# The proxy that does TLS also redirects to it, and whether other sites of the domain are ready is not ours to say.
SILENCED_SYSTEM_CHECKS = ["security.W005", "security.W008", "security.W021"]
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = "Lax"
if ENV.behind_proxy:
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"

# Model text is hostile input. Even if a sanitiser failed, nothing but our own files may run or be fetched.
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": ["'none'"],
        "script-src": ["'self'"],
        "style-src": ["'self'"],
        "img-src": ["'self'", "data:"],
        "font-src": ["'self'"],
        "connect-src": ["'self'"],
        "form-action": ["'self'"],
        "base-uri": ["'none'"],
        "frame-ancestors": ["'none'"],
        "manifest-src": ["'self'"],
    }
}

LANGUAGE_CODE = "en"
LANGUAGES = [("en", "English"), ("zh-hans", "简体中文")]
LOCALE_PATHS = [BASE_DIR / "locale"]
USE_I18N = USE_TZ = True
TIME_ZONE = ENV.time_zone
DATA_UPLOAD_MAX_MEMORY_SIZE = 20 * 2**20
FILE_UPLOAD_MAX_MEMORY_SIZE = 2 * 2**20  # larger uploads go to a temporary file

# API ----------------------------------------------------------------------------------------------------------------

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "knox.auth.TokenAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["accounts.permissions.IsAdmin"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "DEFAULT_PAGINATION_CLASS": "config.api.Pages",
    "EXCEPTION_HANDLER": "config.api.exception_handler",
    "PAGE_SIZE": 50,
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "TEST_REQUEST_DEFAULT_FORMAT": "json",
}
REST_KNOX = {"TOKEN_TTL": None, "AUTH_HEADER_PREFIX": "Token"}
SPECTACULAR_SETTINGS = {
    "TITLE": "Plumbline",
    "DESCRIPTION": "From human preference to aligned policy.",
    "VERSION": "1",
    "OAS_VERSION": "3.1.0",  # pydantic speaks JSON Schema 2020-12, where null is a type
    "SERVE_INCLUDE_SCHEMA": False,
    "SERVE_PERMISSIONS": ["rest_framework.permissions.IsAuthenticated"],
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "SCHEMA_PATH_PREFIX": r"/api/v1",
    "ENUM_NAME_OVERRIDES": {
        "RunState": "runs.states.State.choices",
        "AssignmentState": ["active", "submitted", "skipped", "released"],
        "ComparisonPurpose": [("work", "work"), ("qualification", "qualification"), ("gold", "hidden gold")],
        "GoldPurpose": "annotate.gold.api.PURPOSES",
        "MembershipRole": ["annotator", "reviewer"],
        "InvitationRole": ["admin", "annotator", "reviewer"],
    },
}

# work ---------------------------------------------------------------------------------------------------------------

CELERY_BROKER_URL = embedded.broker_url(REDIS_URL)
CELERY_TASK_IGNORE_RESULT = True  # the database is the truth; a broker message is only a nudge
CELERY_TASK_DEFAULT_QUEUE = "default"
CELERY_WORKER_PREFETCH_MULTIPLIER = 1  # a nudge must not wait behind an hour of training
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
# A page must not hang on a broker that is down: the run is in the database, and the next nudge will find it.
CELERY_TASK_PUBLISH_RETRY = False
CELERY_BROKER_TRANSPORT_OPTIONS = {"max_retries": 1, "interval_start": 0, "interval_step": 0.1, "interval_max": 0.1}
CELERY_TASK_SERIALIZER = "json"
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_BEAT_SCHEDULE_FILENAME = str(VAR / "run" / "beat-schedule")
CELERY_BEAT_SCHEDULE = {
    "reap-silent-runs": {"task": "runs.tasks.reap", "schedule": 10.0},
    "nudge-queued-runs": {"task": "runs.tasks.nudge", "schedule": 30.0},
    "expire-leases": {"task": "annotate.tasks.expire_leases", "schedule": 60.0},
    "sweep-imports": {"task": "annotate.tasks.sweep_imports", "schedule": 3600.0},
    "refresh-quality": {"task": "annotate.tasks.refresh_quality", "schedule": 300.0},
}
HEARTBEAT_SECONDS = 2.0
HEARTBEAT_TIMEOUT = ENV.heartbeat_timeout
TORCH_THREADS = ENV.torch_threads

# logs ---------------------------------------------------------------------------------------------------------------

LOGGING_CONFIG = None
from config.logging import configure as _configure_logging  # noqa: E402

_configure_logging(format=ENV.log_format, level=ENV.log_level)
