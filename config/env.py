"""The environment, read once, typed, and loud: a wrong value stops the start with every complaint at once."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from django.core.exceptions import ImproperlyConfigured
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

BASE_DIR = Path(__file__).resolve().parent.parent
PREFIX = "PLUMBLINE_"


def _split(value: object) -> object:
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


Names = Annotated[tuple[str, ...], BeforeValidator(_split)]


class Environment(BaseModel):
    """What may be set from outside. Each field is the variable PLUMBLINE_<NAME>, the two URLs excepted."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    database_url: str | None = Field(None, description="PostgreSQL; unset: an embedded server under var/")
    redis_url: str | None = Field(None, description="Redis or Valkey; unset: an embedded server under var/")
    var: Path = Field(BASE_DIR / "var", description="everything the platform writes")
    debug: bool = False
    secret_key: str | None = Field(None, min_length=32, description="unset: generated once and kept under var/")
    allowed_hosts: Names = ("localhost", "127.0.0.1", "[::1]")
    csrf_trusted_origins: Names = ()
    secure_cookies: bool = Field(False, description="set it where the site is served over HTTPS")
    behind_proxy: bool = Field(False, description="trust X-Forwarded-Proto of the proxy in front")
    time_zone: str = "UTC"
    log_format: Literal["console", "json"] = "console"
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    models_dir: Path | None = Field(None, description="where language models are kept; unset: var/models")
    s3_bucket: str | None = Field(None, description="keep artifacts in this S3 bucket instead of var/artifacts")
    s3_endpoint_url: str | None = None
    heartbeat_timeout: int = Field(30, ge=5, description="seconds of silence after which a run counts as lost")
    torch_threads: int | None = Field(None, ge=1, description="CPU threads of a training child; unset: torch decides")
    data: Path | None = Field(None, description="folder of real data sets, read by tests only")
    chromium: str | None = Field(None, description="browser executable, used by tests only")

    @classmethod
    def read(cls, variables: Mapping[str, str]) -> Environment:
        values: dict[str, str] = {}
        for field in cls.model_fields:
            name = variable(field)
            if variables.get(name):
                values[field] = variables[name]
        complaints = _unknown(variables)
        try:
            environment = cls.model_validate(values)
        except ValidationError as error:
            complaints += [f"{variable(str(e['loc'][0]))}={e['input']!r}: {e['msg']}" for e in error.errors()]
        if complaints:
            raise ImproperlyConfigured("The environment is not right:\n  " + "\n  ".join(complaints))
        return environment


def variable(field: str) -> str:
    return field.upper() if field in ("database_url", "redis_url") else PREFIX + field.upper()


def _unknown(variables: Mapping[str, str]) -> list[str]:
    """A misspelt variable would silently be a default, so it is refused, with the nearest right name."""
    known = {variable(field) for field in Environment.model_fields} | {"PLUMBLINE_PARENT_PIPE"}
    complaints = []
    for name in sorted(variables):
        if name.startswith(PREFIX) and name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            complaints.append(f"{name} is not a setting" + (f"; did you mean {near[0]}?" if near else "."))
    return complaints
