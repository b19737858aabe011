"""What an app tells about its kind of run. The life of a run is written once, here in `runs`; the work differs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from runs.models import Run


class RunKind(ABC):
    """One kind of run. `run` is always an instance of `model`, so typed foreign keys are at hand.

    The executor calls `prepare`, starts `command` in the run's directory, and when the child is done stores its
    `output/` folder (if `artifact_kind` is set), then calls `finish` in the transaction that marks the run succeeded.
    """

    kind: ClassVar[str]
    label: ClassVar[str]
    model: ClassVar[type[Run]]
    queue: ClassVar[str] = "default"
    artifact_kind: ClassVar[str] = ""
    uses_database: ClassVar[bool] = False  # whether the child is of Django and may know the platform's secrets

    @abstractmethod
    def prepare(self, run: Run, run_dir: Path) -> dict[str, Any]:
        """Write the files the child needs into `run_dir` and return `inputs` for its run.json.

        It is called before every attempt. Raise UserFault for input that cannot work.
        """

    @abstractmethod
    def command(self, run: Run, run_dir: Path) -> list[str]:
        """The child's command line, for example [sys.executable, "-m", "lm", str(run_dir)]."""

    def lineage(self, run: Run) -> dict[str, Any]:
        """What the artifact was made from, kept in its manifest."""
        return {}

    @abstractmethod
    def finish(self, run: Run, run_dir: Path, result: dict[str, Any]) -> None:
        """Take over the outcome: `result` is the child's result.json, `run.artifacts.get()` what it made.

        Inside a transaction: whatever it raises, nothing of it stays. An exception fails the run.
        """

    def audit_scope(self, run: Run) -> str:
        """Where entries about it belong in the audit trail, such as project:3."""
        project = getattr(run, "project_id", None)
        return f"project:{project}" if project else ""

    def kept(self, run: Run) -> str:
        """What a cancelled run has left of its work, as a sentence for its page; empty if it left nothing."""
        return ""

    def detail_url(self, run: Run) -> str | None:
        """The page of the thing this run is about, if there is one."""
        return None


_kinds: dict[str, RunKind] = {}


def register(kind: RunKind) -> None:
    """Make a kind known. Call it in AppConfig.ready()."""
    if kind.kind in _kinds and type(_kinds[kind.kind]) is not type(kind):
        raise ValueError(f"Two run kinds are called {kind.kind!r}.")
    _kinds[kind.kind] = kind


def get(kind: str) -> RunKind:
    """The registered kind. KeyError if no installed app brings it."""
    return _kinds[kind]


def label(kind: str) -> str:
    return _kinds[kind].label if kind in _kinds else kind.replace("_", " ")


def choices() -> list[tuple[str, str]]:
    return sorted(
        ((kind.kind, kind.label) for kind in _kinds.values()),
        key=lambda choice: choice[1],
    )


def typed(run: Run) -> Run:
    """The same run as an instance of its kind's own model."""
    model = _kinds[run.kind].model
    return run if isinstance(run, model) else model.objects.get(pk=run.pk)
