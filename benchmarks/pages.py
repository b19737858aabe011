"""Server time of the pages with 10,000 prompts in a project: `python -m benchmarks.pages`.

Each page is rendered in this process against a real PostgreSQL in a database of its own, which is dropped afterwards.
What is timed is everything between request and response, middleware and templates included; the network is not.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from benchmarks.common import Result, main, percentile, within

LIMIT_MS = 100.0
LIVE_LIMIT_MS = 50.0  # of what every open page of a running run asks for every two seconds
LIVE_STEPS, LIVE_METRICS = 1_000, 35


def cases(quick: bool) -> list[Result]:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
    import django
    from django.core.management import call_command

    django.setup()
    call_command("collectstatic", interactive=False, verbosity=0)
    prompts, repeats = (1_000, 10) if quick else (10_000, 30)
    with _database():
        pages = _world(prompts)
        found = [
            within(
                f"{name} at {prompts:,} prompts, 95th percentile", percentile(_times(get, repeats), 95), "ms", LIMIT_MS
            )
            for name, get in pages.items()
        ]
        name = f"a policy run's live part at {LIVE_STEPS:,} steps of {LIVE_METRICS} metrics, 95th percentile"
        live = percentile(_times(_watched(LIVE_STEPS), repeats), 95)
        return [*found, within(name, live, "ms", LIVE_LIMIT_MS)]


@contextmanager
def _database() -> Iterator[None]:
    from django.db import connection
    from django.test.utils import setup_test_environment, teardown_test_environment

    setup_test_environment()
    name = connection.settings_dict["NAME"]
    connection.creation.create_test_db(verbosity=0, autoclobber=True)
    try:
        yield
    finally:
        connection.creation.destroy_test_db(name, verbosity=0)
        teardown_test_environment()


def _world(prompts: int) -> dict[str, Callable[[], object]]:
    """A project with `prompts` prompts, four responses and one comparison each, a tenth of them judged."""
    from django.test import Client
    from django.urls import reverse

    from accounts.models import User
    from annotate.generation.models import Generator, Response
    from annotate.generation.outcome import text_hash
    from annotate.pairs import content_hash
    from annotate.projects.models import Prompt
    from annotate.projects.services import membership_add, project_create
    from annotate.ranking.models import Comparison, ComparisonResponse, Judgement

    admin = User.objects.create_user("bench-admin", is_staff=True)
    annotator = User.objects.create_user("bench-annotator")
    project = project_create(name="Bench", user=admin, overlap=2)
    membership_add(project=project, user=annotator, by=admin)
    generator = Generator.objects.create(name="Bench writer", kind="import")
    conversations = [[{"role": "user", "content": f"Question {n}: " + "why " * 20}] for n in range(prompts)]
    made = Prompt.objects.bulk_create(
        [Prompt(project=project, messages=m, content_hash=content_hash(m), tags=["bench"]) for m in conversations],
        batch_size=2000,
    )
    texts = ["An answer of some length. " * (n + 4) for n in range(4)]
    responses = Response.objects.bulk_create(
        [
            Response(prompt=prompt, generator=generator, text=text, content_hash=text_hash(text), sample_index=index)
            for prompt in made
            for index, text in enumerate(texts)
        ],
        batch_size=4000,
    )
    comparisons = Comparison.objects.bulk_create(
        [Comparison(project=project, prompt=prompt, overlap=2) for prompt in made], batch_size=2000
    )
    ComparisonResponse.objects.bulk_create(
        [
            ComparisonResponse(comparison=comparisons[n // 4], response=response, position=n % 4)
            for n, response in enumerate(responses)
        ],
        batch_size=4000,
    )
    Judgement.objects.bulk_create(
        [
            Judgement(
                comparison=comparison,
                annotator=annotator,
                rankings={
                    "helpfulness": {str(r.pk): place + 1 for place, r in enumerate(responses[4 * n : 4 * n + 4])}
                },
            )
            for n, comparison in enumerate(comparisons[: prompts // 10])
        ],
        batch_size=2000,
    )
    as_admin, as_annotator = Client(), Client()
    as_admin.force_login(admin)
    as_annotator.force_login(annotator)
    pages = {
        "dashboard": (as_admin, reverse("home")),
        "projects": (as_admin, reverse("annotate:project-list")),
        "project": (as_admin, reverse("annotate:project-detail", args=[project.slug])),
        "prompts": (as_admin, reverse("annotate:prompt-list", args=[project.slug])),
        "responses": (as_admin, reverse("annotate:response-list", args=[project.slug])),
        "datasets": (as_admin, reverse("annotate:dataset-list")),
        "runs": (as_admin, reverse("runs:list")),
        "annotator's home": (as_annotator, reverse("annotate:home")),
        "next comparison": (as_annotator, reverse("annotate:next", args=[project.slug])),
    }
    return {name: _getter(client, url) for name, (client, url) in pages.items()}


def _watched(steps: int) -> Callable[[], object]:
    """The live part of a policy run that reports one more step before each look."""
    import uuid
    from itertools import count

    from django.test import Client
    from django.urls import reverse
    from django.utils import timezone

    from accounts.models import User
    from annotate.generation.models import Generator
    from rl.models import PolicyRun
    from rl.training.config import PPOConfig
    from runs.metrics import registered
    from runs.models import RunEvent

    admin = User.objects.get(username="bench-admin")
    run = PolicyRun.objects.create(
        kind="policy",
        title="Watched",
        state="running",
        claim=uuid.uuid4(),
        heartbeat_at=timezone.now(),
        started_at=timezone.now(),
        config=PPOConfig(steps=10 * steps).model_dump(mode="json"),
        algorithm="ppo",
        generator=Generator.objects.get(name="Bench writer"),
        created_by=admin,
    )
    phases = [f"seconds/{phase}" for phase in ("sample", "score", "reference", "update")]
    names = [*phases, *[name for name in registered() if name != "seconds"][: LIVE_METRICS - len(phases)]]

    def reported(step: int) -> RunEvent:
        values = {name: (step * 7919 % 1009) / 1009 + number for number, name in enumerate(names)}
        return RunEvent(run_id=run.pk, type="metrics", step=step, data=values)

    def sampled(step: int, prompt: int) -> RunEvent:
        text = " ".join(f"word{(step + place) % 50}" for place in range(100))
        data = {"prompt": f"Question {prompt}?", "prompt_id": str(prompt), "response": text, "reward": 0.5}
        return RunEvent(run_id=run.pk, type="sample", step=step, data=data)

    RunEvent.objects.bulk_create([reported(step) for step in range(1, steps + 1)], batch_size=1000)
    samples = [sampled(step, prompt) for step in range(0, steps + 1, 5) for prompt in range(3)]
    RunEvent.objects.bulk_create(samples, batch_size=1000)
    client, steps_to_come = Client(), count(steps + 1)
    client.force_login(admin)
    get = _getter(client, f"{reverse('runs:live', args=[run.pk])}?state=running")

    def look() -> object:
        reported(next(steps_to_come)).save()
        return get()

    return look


def _getter(client: object, url: str) -> Callable[[], object]:
    def get() -> object:
        response = client.get(url, follow=True)  # type: ignore[attr-defined]
        assert response.status_code == 200, f"{url}: {response.status_code}"
        return response

    return get


def _times(get: Callable[[], object], repeats: int) -> list[float]:
    """Milliseconds of each of `repeats` calls, after two that are not counted."""
    times = []
    for number in range(repeats + 2):
        start = time.perf_counter()
        get()
        if number >= 2:
            times.append(1000 * (time.perf_counter() - start))
    return times


if __name__ == "__main__":
    main("pages", cases)
