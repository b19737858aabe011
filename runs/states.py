"""The states of a run and the only ways between them. Pure: services.run_move applies this table to the database."""

from __future__ import annotations

from django.db.models import TextChoices


class State(TextChoices):
    QUEUED = "queued", "queued"
    RUNNING = "running", "running"
    CANCELLING = "cancelling", "cancelling"
    SUCCEEDED = "succeeded", "succeeded"
    FAILED = "failed", "failed"
    CANCELLED = "cancelled", "cancelled"


TRANSITIONS: dict[State, frozenset[State]] = {
    State.QUEUED: frozenset({State.RUNNING, State.CANCELLED}),
    # Back to queued: the worker was lost or is shutting down, or the machine failed and another try is left.
    State.RUNNING: frozenset({State.SUCCEEDED, State.FAILED, State.CANCELLING, State.QUEUED}),
    # Whatever the child does after it was asked to stop, the user asked for an end and gets one.
    State.CANCELLING: frozenset({State.CANCELLED}),
    State.FAILED: frozenset({State.QUEUED}),
    State.CANCELLED: frozenset({State.QUEUED}),
    State.SUCCEEDED: frozenset(),
}

CLAIMED = (State.RUNNING, State.CANCELLING)
ACTIVE = (State.QUEUED, State.RUNNING, State.CANCELLING)
FINISHED = (State.SUCCEEDED, State.FAILED, State.CANCELLED)


class IllegalTransition(Exception):
    """A step that the table does not have."""

    def __init__(self, source: str, target: str) -> None:
        super().__init__(f"A run that is {source} cannot become {target}.")
        self.source, self.target = source, target


class RunMoved(Exception):
    """The run is no longer in the state it was read in, or is claimed by another: somebody was faster."""


def check(source: str, target: str) -> None:
    """Raise IllegalTransition unless the table leads from `source` to `target`."""
    if State(target) not in TRANSITIONS[State(source)]:
        raise IllegalTransition(source, target)
