"""A database as it is after a year of work, written by PostgreSQL itself: a million responses in about a minute."""

from __future__ import annotations

from django.db import connection

# What language models write: paragraphs, and every other time something in bold, a list or code.
SENTENCES = [
    "A plumb line is a weight on a string, and it hangs straight down wherever you hold it.",
    "Start with the foundation, because every error below is carried upwards.",
    "**Measure twice** before you cut, and write both numbers down.",
    "If the two readings differ by more than a millimetre, take a third one.",
    "That depends on the temperature, the humidity and the patience of the person who asks.",
    "You may want to talk to somebody who has done it before, and to see how they hold the tool.",
    "In short: it is possible, it is not cheap, and it will not be finished by Friday.",
    "The function returns `None` when the list is empty, so check for that first.",
    "Most people underestimate how long the last tenth of the work takes.",
    "There are three reasons for this, and only one of them is interesting.",
    "Water boils at a lower temperature in the mountains, which is why the pasta takes longer.",
    "I would not rely on that without having read the original paper.",
]
ENDINGS = [
    "",
    "\n\n- first the short ones\n- then the long ones\n- and *never* both at once",
    "\n\n1. Ask.\n2. Listen.",
]
DAYS = 30


def load(*, comparisons: int, closed: int, annotators: int, k: int = 4, overlap: int = 2, gold: int = 50) -> str:
    """Fill an empty database; returns the project's slug.

    `comparisons` prompts of one comparison each, `k` responses a prompt. The first `closed` comparisons have their
    `overlap` judgements by `annotators` people in turn, made over the last DAYS days. The last `gold` are hidden gold.
    """
    from accounts.models import User
    from annotate.generation.models import Generator
    from annotate.projects.models import Membership
    from annotate.projects.services import project_create

    users = User.objects.bulk_create(User(username=f"annotator-{n}") for n in range(annotators))
    project = project_create(
        name="A year of work", user=None, k=k, overlap=overlap, gold_rate=0.05 if gold else 0.0, guidelines="# Be fair"
    )
    Membership.objects.bulk_create(Membership(project=project, user=user) for user in users)
    generator = Generator.objects.create(name="benchmark writer", kind="import")
    values = {
        "project": project.pk,
        "generator": generator.pk,
        "users": [user.pk for user in users],
        "comparisons": comparisons,
        "closed": closed,
        "gold": gold,
        "k": k,
        "overlap": overlap,
        "sentences": SENTENCES,
        "endings": ENDINGS,
        "days": DAYS,
    }
    with connection.cursor() as cursor:
        # Foreign keys and constraints hold by construction, so their triggers may rest.
        cursor.execute("SET session_replication_role = replica")
        cursor.execute("SET synchronous_commit = off")
        for statement in filter(None, map(str.strip, LOAD.split(";"))):
            cursor.execute(statement, values)
        for table in ("prompt", "response", "comparison", "comparisonresponse", "assignment", "judgement"):
            name = f"annotate_{table}"
            cursor.execute(f"SELECT setval(pg_get_serial_sequence('{name}', 'id'), (SELECT max(id) FROM {name}))")  # noqa: S608
        cursor.execute("RESET session_replication_role")
        cursor.execute("RESET synchronous_commit")
        cursor.execute("VACUUM ANALYZE")
        cursor.execute("CHECKPOINT")
    return project.slug


LOAD = """
INSERT INTO annotate_prompt
    (id, project_id, messages, content_hash, tags, language, source, metadata, created_at)
SELECT n, %(project)s,
    jsonb_build_array(jsonb_build_object('role', 'user', 'content', 'Question ' || n || ': how do I hang a door?')),
    encode(sha256(('q' || n)::bytea), 'hex'), '{}', 'en', 'benchmark', '{}', now()
FROM generate_series(1, %(comparisons)s) n;

INSERT INTO annotate_response
    (id, prompt_id, generator_id, text, content_hash, sample_index, sampling, finish_reason, created_at)
SELECT r, (r - 1) / %(k)s + 1, %(generator)s, t, encode(sha256(t::bytea), 'hex'), (r - 1) %% %(k)s, '{}', 'stop', now()
FROM (
    SELECT r, 'Answer ' || r || '. ' || s[1 + r %% 12] || ' ' || s[1 + r / 3 %% 12] || E'\n\n' || s[1 + r / 7 %% 12]
        || ' ' || s[1 + r / 11 %% 12] || ' ' || s[1 + r / 17 %% 12] || ' ' || s[1 + r / 23 %% 12]
        || e[1 + r %% 3] AS t
    FROM generate_series(1, %(comparisons)s::bigint * %(k)s) r,
        (SELECT %(sentences)s::text[] AS s, %(endings)s::text[] AS e) words
) written;

INSERT INTO annotate_comparison
    (id, project_id, prompt_id, round, priority, overlap, is_closed, purpose, disagreement, created_at)
SELECT n, %(project)s, n, 1, 0, %(overlap)s, n <= %(closed)s OR n > %(comparisons)s - %(gold)s,
    CASE WHEN n > %(comparisons)s - %(gold)s THEN 'gold' ELSE 'work' END,
    CASE WHEN n <= %(closed)s THEN 0.25 END, now()
FROM generate_series(1, %(comparisons)s) n;

INSERT INTO annotate_comparisonresponse (comparison_id, response_id, position)
SELECT (r - 1) / %(k)s + 1, r, (r - 1) %% %(k)s FROM generate_series(1, %(comparisons)s::bigint * %(k)s) r;

INSERT INTO annotate_gold (comparison_id, rankings, explanation, created_at)
SELECT id, jsonb_build_object('helpfulness',
        (SELECT jsonb_object_agg(response_id::text, position + 1) FROM annotate_comparisonresponse m
         WHERE m.comparison_id = c.id)), '', now()
FROM annotate_comparison c WHERE purpose = 'gold';

INSERT INTO annotate_assignment
    (id, comparison_id, annotator_id, slot, state, number, display_order, draft, started_at, skip_reason,
     created_at, updated_at)
SELECT a, c, (%(users)s::bigint[])[1 + a %% cardinality(%(users)s::bigint[])], (a - 1) %% %(overlap)s, 'submitted',
    1 + a / cardinality(%(users)s::bigint[]),
    (SELECT jsonb_agg(r) FROM generate_series((c - 1) * %(k)s + 1, c * %(k)s) r), '{}', at, '', at, at
FROM (
    SELECT a, (a - 1) / %(overlap)s + 1 AS c,
        now() - (1 - a::float / (%(closed)s * %(overlap)s)) * %(days)s * interval '1 day' AS at
    FROM generate_series(1, %(closed)s::bigint * %(overlap)s) a
) given;

INSERT INTO annotate_judgement
    (id, comparison_id, annotator_id, assignment_id, rankings, strengths, ratings, flags, rationale, all_bad,
     seconds_active, display_order, is_current, source, created_at)
SELECT id, comparison_id, annotator_id, id, jsonb_build_object('helpfulness', ranks, 'harmlessness', ranks), '{}', '{}',
    '[]', '', '[]', 20 + id %% 60, display_order, true, 'human', created_at
FROM (
    SELECT a.*, (SELECT jsonb_object_agg(r::text, 1 + (r + id) %% %(k)s)
        FROM generate_series((comparison_id - 1) * %(k)s + 1, comparison_id * %(k)s) r) AS ranks
    FROM annotate_assignment a
) judged;
"""


def small_project(
    name: str, *, comparisons: int, overlap: int, people: int, k: int = 4, lease_minutes: int = 30
) -> str:
    """A project whose end can be reached, worked on by annotator-0, annotator-1, ...; returns its slug."""
    import hashlib

    from accounts.models import User
    from annotate.generation.models import Generator, Response
    from annotate.pairs import content_hash
    from annotate.projects.models import Membership, Prompt
    from annotate.projects.services import project_create
    from annotate.ranking.models import Comparison, ComparisonResponse

    project = project_create(name=name, user=None, k=k, overlap=overlap, lease_minutes=lease_minutes)
    users = [User.objects.get_or_create(username=f"annotator-{n}")[0] for n in range(people)]
    Membership.objects.bulk_create(Membership(project=project, user=user) for user in users)
    generator, _ = Generator.objects.get_or_create(name="benchmark writer", kind="import")
    asked = [[{"role": "user", "content": f"{name}, question {n}"}] for n in range(comparisons)]
    prompts = Prompt.objects.bulk_create(
        Prompt(project=project, messages=messages, content_hash=content_hash(messages)) for messages in asked
    )
    texts = [f"{SENTENCES[n]} {SENTENCES[n + 1]}" for n in range(k)]
    responses = Response.objects.bulk_create(
        Response(
            prompt=prompt,
            generator=generator,
            text=text,
            content_hash=hashlib.sha256(text.encode()).hexdigest(),
            sample_index=index,
        )
        for prompt in prompts
        for index, text in enumerate(texts)
    )
    made = Comparison.objects.bulk_create(
        Comparison(project=project, prompt=prompt, overlap=overlap) for prompt in prompts
    )
    ComparisonResponse.objects.bulk_create(
        ComparisonResponse(comparison=made[n // k], response=response, position=n % k)
        for n, response in enumerate(responses)
    )
    return project.slug
