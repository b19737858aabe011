"""A kind of run that counts, and the means to make and perform such runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.runs import counting
from tests.runs.workers import start_worker  # noqa: F401


@pytest.fixture(autouse=True)
def _counting() -> Iterator[None]:
    from runs import kinds

    kinds.register(counting.kind())
    yield
    kinds._kinds.pop("counting")


@pytest.fixture
def make_run(admin) -> Callable:
    """`make_run(steps=5, misdeed="crash")`: a queued counting run; its nudge goes nowhere, for no worker listens."""
    from runs.models import Run

    def make(*, title: str = "Count", max_attempts: int = 3, **config: object) -> Run:
        return Run.objects.create(
            kind="counting", title=title, config=config, max_attempts=max_attempts, created_by=admin, seed=7
        )

    return make


@pytest.fixture
def perform() -> Callable:
    """Work on a run in this process, as a worker's task would. Needs committed data: a transactional test."""
    from runs.executor import run_execute

    def work(run, worker: str = "test"):
        run_execute(run_id=run.pk, worker=worker)
        run.refresh_from_db()
        return run

    return work
