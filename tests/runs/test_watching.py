"""What a run's page makes of its events: figures, alarms, and answers that change."""

from __future__ import annotations

import pytest
from django.urls import reverse

from runs.figures import run_figures
from runs.models import RunEvent
from runs.samples import differences, timeline
from runs.selectors import alarms, metric_points

pytestmark = pytest.mark.django_db

HOSTILE = "<script>alert(1)</script>"


def report(run, step, **values):
    return RunEvent.objects.create(run=run, type="metrics", step=step, data=values)


def answer(run, step, response, prompt="Why?", **more):
    data = {"prompt": prompt, "prompt_id": prompt, "response": response, **more}
    RunEvent.objects.create(run=run, type="sample", step=step, data=data)


def warn(run, name, step, message):
    RunEvent.objects.create(run=run, type="log", data={"message": f"Alarm: {message}", "alarm": name, "at_step": step})


@pytest.fixture
def run(make_run):
    return make_run()


@pytest.fixture
def policy(make_run):
    """A run whose metrics are drawn as those of a policy."""
    run = make_run()
    run.kind = "policy"
    run.config = {"kl_control": "adaptive", "kl_target": 6.0}
    return run


def test_new_reports_are_added_to_those_that_were_read(run):
    report(run, 1, a=1.0)
    assert metric_points(run) == {"a": [(1, 1.0)]}
    report(run, 2, a=2.0, b=None)
    assert metric_points(run) == {"a": [(1, 1.0), (2, 2.0)], "b": [(2, None)]}


def test_what_a_resumed_run_took_back_is_forgotten(run):
    for step in (1, 2, 3):
        report(run, step, a=float(step))
    assert len(metric_points(run)["a"]) == 3
    RunEvent.objects.filter(run=run, step__gt=1).delete()
    report(run, 2, a=20.0)
    report(run, 3, a=30.0)
    assert metric_points(run) == {"a": [(1, 1.0), (2, 20.0), (3, 30.0)]}


def test_metrics_that_are_read_together_are_drawn_together(policy):
    for step in range(1, 31):
        report(policy, step, reward=step / 10, kl=0.1 * step, **{"seconds/sample": 2.0, "seconds/update": 1.0})
    report(policy, 30, test_reward=2.5)
    reward, distance, time = run_figures(policy)
    assert [each.heading for each in (reward, distance, time)] == [
        "Reward",
        "Distance from the reference",
        "Time and speed",
    ]
    [figure] = reward.figures
    assert [(line.name, line.last, line.last_step) for line in figure.lines] == [
        ("reward", 3.0, 30),
        ("test_reward", 2.5, 30),
    ]
    assert distance.figures[0].level == 6.0 and distance.figures[0].chart.level is not None
    assert len(time.figures[0].lines) == 2 and time.figures[0].plot.stacked


def test_averages_stand_over_the_lines_that_are_long_enough(policy):
    for step in range(1, 31):
        report(policy, step, reward=float(step % 2))
    report(policy, 30, test_reward=0.5)
    [plain] = run_figures(policy)[0].figures
    [with_averages] = run_figures(policy, smooth=True)[0].figures
    assert plain.smooth == []
    assert [look for look, _ in with_averages.smooth] == [with_averages.lines[0].look]
    assert with_averages.chart.lines[0].path.count("L") == plain.chart.lines[0].path.count("L") == 29


def test_an_alarm_is_said_with_what_to_do_and_marked_at_its_step(run, as_admin):
    for step in range(1, 11):
        report(run, step, a=1.0)
    warn(run, "kl_runaway", 5, f"KL is 200 {HOSTILE}.")
    warn(run, "kl_runaway", 5, f"KL is 200 {HOSTILE}.")  # said again after a resume
    [alarm] = alarms(run)
    assert (alarm.step, alarm.message) == (5, f"KL is 200 {HOSTILE}.")
    assert alarm.advice.startswith("the policy leaves its reference faster than it learns")
    page = as_admin.get(run.get_absolute_url()).content.decode()
    assert "1 alarm<" in page and "raise the KL coefficient" in page and "/runs/metrics/#kl_runaway" in page
    assert page.count('<g class="mark">') == 1 and HOSTILE not in page


def test_answers_are_shown_beside_the_first_ones(run):
    for step in (0, 5, 10):
        answer(run, step, f"It is step {step}.", reward=step / 10, tokens=4, finished=step > 0)
    last = timeline(run)
    assert last is not None and (last.step, last.place, last.earlier, last.later, last.newest) == (10, 3, 5, None, True)
    [one] = last.answers
    assert (one.first.step, one.chosen.step, one.chosen.reward, one.chosen.change) == (0, 10, 1.0, 1.0)
    assert [(part.text, part.changed) for part in one.chosen.words] == [
        ("It is step", False),
        (" 10", True),
        (".", False),
    ]
    assert one.first.facts == [("tokens", 4), ("finished", "cut at the limit")]
    middle = timeline(run, 7)
    assert middle is not None and (middle.step, middle.earlier, middle.later, middle.newest) == (5, 0, 10, False)
    first = timeline(run, 0)
    assert first is not None and first.answers[0].chosen.change is None and first.later == 5


def test_a_run_without_such_samples_has_none(run):
    RunEvent.objects.create(run=run, type="sample", step=1, data={"prompt": "Hi", "response": "Ho"})
    assert timeline(run) is None


def test_words_that_the_other_text_lacks_are_marked():
    before, after = differences("a big dog", "a dog, barking")
    assert [part.text for part in before if part.changed] == [" big"]
    assert [part.text for part in after if part.changed] == [", barking"]
    assert "".join(part.text for part in after) == "a dog, barking"
    same, _ = differences("as it was", "as it was")
    assert [part.changed for part in same] == [False]
    assert differences("", "new")[1][0].changed


def test_hostile_answers_and_prompts_are_text(run, as_admin):
    answer(run, 0, HOSTILE, prompt=HOSTILE)
    answer(run, 5, f"{HOSTILE} and <b>more</b>", prompt=HOSTILE)
    page = as_admin.get(run.get_absolute_url()).content.decode()
    assert "<script>alert" not in page and "<b>more" not in page and "&lt;" in page


def test_the_step_of_the_samples_and_the_averages_are_kept_while_the_page_follows(run, as_admin):
    for step in (0, 5, 10):
        answer(run, step, f"step {step}")
        report(run, step, a=1.0)
    live = reverse("runs:live", args=[run.pk])
    page = as_admin.get(live, {"state": run.state, "sample": "5", "smooth": "1"}).content.decode()
    assert f'hx-get="{live}?state=queued&amp;smooth=1&amp;sample=5" hx-trigger="every 2s"' in page
    assert 'href="?smooth=1&amp;sample=10#run-samples"' in page and 'href="?sample=5#run-metrics"' in page
    newest = as_admin.get(live, {"state": run.state, "sample": "10"}).content.decode()
    assert f'hx-get="{live}?state=queued" hx-trigger="every 2s"' in newest, "the newest ones move on"
    for nonsense in ("-1", "x", "9" * 40, "٥"):
        assert as_admin.get(live, {"state": run.state, "sample": nonsense}).status_code == 200


def test_a_page_asks_as_often_however_much_was_reported(run, as_admin, django_assert_max_num_queries):
    for step in range(60):
        report(run, step, a=1.0)
        answer(run, step, f"step {step}")
    with django_assert_max_num_queries(14):
        as_admin.get(run.get_absolute_url())
