"""Failures that know whose they are. Everything else that is raised is ours."""

from __future__ import annotations

from runs import child


class UserFault(Exception):
    """Bad input or configuration: the message says what is wrong and what to change. A retry alone would not help."""


class MachineFault(Exception):
    """Out of memory, disk full, a lost server: the same run may succeed on another try."""


def classify(error: BaseException) -> tuple[str, str]:
    """Whose fault an exception on our side of a run is, and what to tell people: ("user"|"machine"|"ours", message)."""
    if isinstance(error, UserFault):
        return "user", str(error)
    if isinstance(error, MachineFault):
        return "machine", str(error)
    fault, message, _ = child.classify(error)
    return fault, message
