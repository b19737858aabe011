from __future__ import annotations

import re

import pytest
from django.urls import reverse

from annotate.projects.services import PRESETS, project_update
from annotate.ranking.engine import assignment_next
from annotate.ranking.models import Assignment, Judgement
from annotate.ranking.selectors import letters
from annotate.ranking.services import draft_save, judgement_submit
from tests.annotate.ranking.desk import in_shown_order, make_comparison, make_project

State = Assignment.State


@pytest.fixture
def project(annotator):
    return make_project(annotator, guidelines="# Be fair\n\n<script>x</script>")


@pytest.fixture
def desk(project, annotator):
    make_comparison(project)
    return assignment_next(annotator=annotator, project=project)


def ranks(choice: dict[str, str]) -> dict[str, str]:
    return {f"rank-{d}-{letter}": r for d in ("helpfulness", "harmlessness") for letter, r in choice.items()}


def post(client, url, data):
    return client.post(url, data, content_type="application/json")


ANSWER = {
    "rankings": {"helpfulness": {"A": 1, "B": 2}, "harmlessness": {"A": 1, "B": 1}},
    "strengths": {"helpfulness": {"A": 3}},
    "flags": [{"flag": "refuses", "response": "B"}],
}


def test_the_queue_leads_to_an_assignment_and_back_to_it(as_annotator, project):
    make_comparison(project)
    first = as_annotator.get(f"/annotate/{project.slug}/next")
    again = as_annotator.get(f"/annotate/{project.slug}/next")
    assert first.url == again.url == f"/annotate/assignments/{Assignment.objects.get().pk}/"


def test_an_empty_queue_says_so(as_annotator, project):
    assert "Nothing is left for you here" in as_annotator.get(f"/annotate/{project.slug}/next").content.decode()


def test_a_paused_project_says_so(as_annotator, project):
    make_comparison(project)
    project.is_paused = True
    project.save()
    assert "This project is paused" in as_annotator.get(f"/annotate/{project.slug}/next").content.decode()


def test_neither_generators_nor_ids_of_responses_are_on_the_page(as_annotator, desk):
    generator = desk.comparison.responses.first().generator
    generator.name = "unmistakable-name"
    generator.save()
    page = as_annotator.get(f"/annotate/assignments/{desk.pk}/")
    assert page.status_code == 200
    html = page.content.decode()
    assert "unmistakable-name" not in html and "generator" not in html
    data = page.context["item"].json
    assert not any(f'"{pk}"' in data for pk in desk.display_order)


def test_the_fetched_item_hides_them_too(as_annotator, project, desk):
    make_comparison(project, "another")
    answer = as_annotator.post(f"/annotate/assignments/{desk.pk}/ahead", {}, content_type="application/json").json()
    assert "another" in answer["html"] and "secret-model-7b" not in answer["html"]
    assert as_annotator.get(f"/annotate/assignments/{desk.pk}/").status_code == 200
    assert Assignment.objects.filter(state=State.ACTIVE).count() == 2


def test_every_page_asks_a_stranger_to_log_in(as_nobody, project, desk):
    for path in ("", "history/", f"assignments/{desk.pk}/", f"{project.slug}/next", f"{project.slug}/guidelines/"):
        response = as_nobody.get(f"/annotate/{path}")
        assert response.status_code == 302 and response.url.startswith("/account/login/")
    assert post(as_nobody, f"/annotate/assignments/{desk.pk}/submit", ANSWER).status_code == 401


@pytest.mark.parametrize("who", ["as_other_annotator", "as_outsider", "as_admin"])
def test_what_is_not_ones_own_does_not_exist(request, who, project, desk):
    client = request.getfixturevalue(who)
    assert client.get(f"/annotate/assignments/{desk.pk}/").status_code == 404
    assert client.post(f"/annotate/assignments/{desk.pk}/", ranks({"A": "1", "B": "2"})).status_code == 404
    for action in ("draft", "submit", "skip", "ahead"):
        assert post(client, f"/annotate/assignments/{desk.pk}/{action}", ANSWER).status_code == 404
    assert client.get(f"/annotate/{project.slug}/next").status_code == 404
    assert client.get(f"/annotate/{project.slug}/guidelines/").status_code == 404
    assert client.get(f"/annotate/{project.slug}/undo").status_code == 404
    assert not Judgement.objects.exists()
    desk.refresh_from_db()
    assert (desk.state, desk.draft) == (State.ACTIVE, {})


def test_the_form_works_without_javascript_and_closes_gaps(as_annotator, project, desk):
    response = as_annotator.post(f"/annotate/assignments/{desk.pk}/", ranks({"A": "4", "B": "2", "C": "", "D": "4"}))
    assert response.url == f"/annotate/{project.slug}/next"
    shown = [str(pk) for pk in desk.display_order]
    assert Judgement.objects.get().rankings["helpfulness"] == {shown[0]: 2, shown[1]: 1, shown[3]: 2}


def test_a_refused_form_says_why_and_keeps_what_was_chosen(as_annotator, desk):
    response = as_annotator.post(
        f"/annotate/assignments/{desk.pk}/", {"rank-helpfulness-A": "3", "rationale": "because", "flag": "refuses:B"}
    )
    html = response.content.decode()
    assert response.status_code == 400
    assert "Helpfulness: place at least two responses" in html and "because" in html
    assert '<option value="3" selected>3</option>' in html
    assert re.search(r'value="refuses:B"[^>]* checked>', html)
    assert not Judgement.objects.exists()


def test_the_form_can_be_saved_for_later_and_skipped(as_annotator, desk):
    url = f"/annotate/assignments/{desk.pk}/"
    as_annotator.post(url, ranks({"A": "3"}) | {"action": "save"})
    desk.refresh_from_db()
    assert desk.draft["rankings"]["helpfulness"] == {str(desk.display_order[0]): 3}
    assert as_annotator.post(url, {"action": "skip"}).status_code == 400
    as_annotator.post(url, {"action": "skip", "reason": "upsetting"})
    desk.refresh_from_db()
    assert (desk.state, desk.skip_reason) == (State.SKIPPED, "upsetting")


def test_a_submission_of_the_script_is_spelt_in_letters(as_annotator, desk):
    response = post(as_annotator, f"/annotate/assignments/{desk.pk}/submit", ANSWER)
    assert response.json()["outcome"] == "accepted"
    first, second = (str(pk) for pk in desk.display_order[:2])
    judgement = Judgement.objects.get()
    assert judgement.rankings["helpfulness"] == {first: 1, second: 2}
    assert judgement.strengths == {"helpfulness": {first: 3}}
    assert judgement.flags == [{"flag": "refuses", "response": second}]


@pytest.mark.parametrize(
    "body",
    [
        "not json",
        "[]",
        "7",
        {"rankings": []},
        {"rankings": {"helpfulness": 3}},
        {"rankings": {"helpfulness": {"Z": 1, "A": 2}}},
        {"rankings": ANSWER["rankings"], "flags": [["x"]]},
        {"rankings": ANSWER["rankings"], "flags": [{"flag": {}}]},
        {"rankings": ANSWER["rankings"], "flags": 5},
        {"rankings": ANSWER["rankings"], "all_bad": [{}]},
        {"rankings": ANSWER["rankings"], "strengths": {"helpfulness": {"A": 9}}},
        {"rankings": ANSWER["rankings"], "rationale": "x" * 10_001},
        {},
    ],
)
def test_a_broken_submission_is_refused_with_a_sentence(as_annotator, desk, body):
    response = post(as_annotator, f"/annotate/assignments/{desk.pk}/submit", body)
    assert response.status_code == 400
    assert response.json()["message"]
    assert not Judgement.objects.exists()


def test_a_draft_comes_back_on_the_page(as_annotator, desk):
    draft = {"rankings": {"helpfulness": {"A": 3}}, "step": "harmlessness", "rationale": "so far"}
    assert post(as_annotator, f"/annotate/assignments/{desk.pk}/draft", draft).json() == {
        "state": "active",
        "kept": True,
    }
    item = as_annotator.get(f"/annotate/assignments/{desk.pk}/").context["item"]
    assert item.given["rankings"] == {"helpfulness": {"A": 3}}
    assert (item.given["step"], item.given["rationale"]) == ("harmlessness", "so far")


def test_an_extra_judgement_is_said_to_be_one(as_annotator, project, desk, other_annotator):
    from annotate.projects.models import Membership

    Membership.objects.create(project=project, user=other_annotator)
    Assignment.objects.update(lease_expires_at="2020-01-01T00:00:00Z")
    theirs = assignment_next(annotator=other_annotator, project=project)
    judgement_submit(assignment=theirs, rankings=in_shown_order(theirs, 1, 2))
    assert "lease ran out" in as_annotator.get(f"/annotate/assignments/{desk.pk}/").content.decode()
    answer = post(as_annotator, f"/annotate/assignments/{desk.pk}/submit", ANSWER).json()
    assert answer["outcome"] == "extra" and "extra judgement" in answer["message"]


def test_undo_opens_the_last_submission(as_annotator, project, desk):
    assert as_annotator.get(f"/annotate/{project.slug}/undo").url == "/annotate/"
    post(as_annotator, f"/annotate/assignments/{desk.pk}/submit", ANSWER)
    assert as_annotator.get(f"/annotate/{project.slug}/undo").url == f"/annotate/assignments/{desk.pk}/"
    item = as_annotator.get(f"/annotate/assignments/{desk.pk}/").context["item"]
    assert item.given["rankings"] == ANSWER["rankings"]
    changed = ANSWER | {
        "rankings": {"helpfulness": {"B": 1, "A": 2}, "harmlessness": {"A": 1, "B": 1}},
        "strengths": {},
    }
    answer = post(as_annotator, f"/annotate/assignments/{desk.pk}/submit", changed).json()
    assert answer["outcome"] == "revised"
    assert Judgement.objects.get(is_current=True).supersedes is not None


def test_home_counts_ones_own_work_only(as_annotator, project, annotator, other_annotator, desk):
    for question in ("two", "three", "four"):
        make_comparison(project, question)
    judgement_submit(assignment=desk, rankings=in_shown_order(desk, 1, 2))
    from annotate.projects.models import Membership

    Membership.objects.create(project=project, user=other_annotator)
    theirs = assignment_next(annotator=other_annotator, project=project)
    judgement_submit(assignment=theirs, rankings=in_shown_order(theirs, 1, 2))
    make_project(other_annotator, name="Not Ben's", slug="not-bens")
    response = as_annotator.get("/annotate/")
    (queue,) = response.context["queues"]
    assert (queue.left, queue.done, queue.today) == (2, 1, 1)
    assert "Not Ben" not in response.content.decode()


def test_history_is_ones_own(as_annotator, as_other_annotator, desk):
    judgement_submit(assignment=desk, rankings=in_shown_order(desk, 2, 1, 1), all_bad=["harmlessness"])
    mine = as_annotator.get("/annotate/history/").content.decode()
    assert "B = C &gt; A" in mine and reverse("annotate:assignment", args=[desk.pk]) in mine
    assert "Nothing yet" in as_other_annotator.get("/annotate/history/").content.decode()


def test_guidelines_are_rendered_and_inert(as_annotator, project):
    html = as_annotator.get(f"/annotate/{project.slug}/guidelines/").content.decode()
    assert "Be fair</h3>" in html and "<script>x" not in html


def test_admins_see_who_ranked_what_and_what_was_simulated(as_admin, as_annotator, annotator, project, desk):
    annotator.kind = "simulated"
    annotator.save()
    desk.annotator.refresh_from_db()
    judgement_submit(assignment=desk, rankings=in_shown_order(desk, 1, 2))
    judgement_submit(assignment=desk, rankings=in_shown_order(desk, 2, 1))
    url = f"/annotate/comparisons/{desk.comparison_id}/"
    html = as_admin.get(url).content.decode()
    assert "ben" in html and "simulated annotator" in html and "superseded" in html and "secret-model-7b" in html
    assert as_annotator.get(url).status_code == 403


def test_pages_answer_with_a_bounded_number_of_queries(as_annotator, project, desk, django_assert_max_num_queries):
    for question in ("two", "three"):
        make_comparison(project, question)
    with django_assert_max_num_queries(14):
        as_annotator.get(f"/annotate/assignments/{desk.pk}/")
    with django_assert_max_num_queries(26):
        post(as_annotator, f"/annotate/assignments/{desk.pk}/ahead", {})
    with django_assert_max_num_queries(12):
        post(as_annotator, f"/annotate/assignments/{desk.pk}/draft", ANSWER)
    with django_assert_max_num_queries(20):
        post(as_annotator, f"/annotate/assignments/{desk.pk}/submit", ANSWER)


def test_a_longer_history_needs_no_more_queries(as_annotator, project, annotator, django_assert_max_num_queries):
    for number in range(8):
        make_comparison(project, f"question {number}")
    while assignment := assignment_next(annotator=annotator, project=project):
        judgement_submit(assignment=assignment, rankings=in_shown_order(assignment, 1, 2))
    with django_assert_max_num_queries(6):
        assert as_annotator.get("/annotate/history/").content.decode().count("Revise") >= 8
    with django_assert_max_num_queries(12):
        as_annotator.get("/annotate/")


def test_a_draft_never_leaves_its_assignment(as_annotator, desk, project):
    make_comparison(project, "elsewhere")
    draft_save(assignment=desk, draft={"rationale": "mine"})
    other = as_annotator.post(f"/annotate/assignments/{desk.pk}/ahead", {}, content_type="application/json").json()
    assert "mine" not in other["html"].split("rationale", 1)[1][:200]


def test_what_a_reviewer_decided_says_so_before_anybody_revises_it(as_annotator, admin, project, desk):
    from annotate.review.models import Adjudication

    post(as_annotator, f"/annotate/assignments/{desk.pk}/submit", ANSWER)
    url = f"/annotate/assignments/{desk.pk}/"
    assert "counts as it is until you submit again" in as_annotator.get(url).content.decode()
    Adjudication.objects.create(comparison=desk.comparison, reviewer=admin, rankings={})
    html = as_annotator.get(url).content.decode()
    assert "decided by a reviewer" in html and "until you submit again" not in html


def test_an_edit_travels_in_letters(as_annotator, annotator, project):
    project.ask_edit = True
    project.save()
    make_comparison(project, texts=["One <b>.", "Two.", "Three.", "Four."])
    desk = assignment_next(annotator=annotator, project=project)
    html = as_annotator.get(f"/annotate/assignments/{desk.pk}/").content.decode()
    assert "<template data-source>One &lt;b&gt;.</template>" in html
    draft = ANSWER | {"edit": {"response": "B", "text": "Better."}}
    post(as_annotator, f"/annotate/assignments/{desk.pk}/draft", draft)
    item = as_annotator.get(f"/annotate/assignments/{desk.pk}/").context["item"]
    assert item.given["edit"] == {"response": "B", "text": "Better."}
    assert not any(f'"{pk}"' in item.json for pk in desk.display_order)
    assert post(as_annotator, f"/annotate/assignments/{desk.pk}/submit", draft).status_code == 200
    assert Judgement.objects.get().edit.edited_from_id == desk.display_order[1]


def test_texts_are_on_the_page_once_where_nobody_edits(as_annotator, desk):
    html = as_annotator.get(f"/annotate/assignments/{desk.pk}/").content.decode()
    assert "data-source" not in html and 'data-act="edit"' not in html


def test_an_edit_without_javascript_begins_with_the_text_and_keeps_the_rest(as_annotator, annotator, project):
    project.ask_edit = True
    project.save()
    make_comparison(project, texts=["\nOne.", "Two.", "Three.", "Four."])
    desk = assignment_next(annotator=annotator, project=project)
    url = f"/annotate/assignments/{desk.pk}/"
    letter = "ABCD"[
        [r.text for pk in desk.display_order for r in desk.comparison.responses.filter(pk=pk)].index("\nOne.")
    ]
    html = as_annotator.post(url, ranks({"A": "2"}) | {"action": f"edit-{letter}"}).content.decode()
    assert ">\n\nOne.</textarea>" in html  # the first line end after the tag is not part of the text
    assert '<option value="2" selected>' in html
    assert as_annotator.post(url, {"action": "edit-Z"}).status_code == 404


@pytest.mark.parametrize("step", ["\u0000", "x" * 50, {"a": 1}, 7])
def test_a_step_that_is_none_is_forgotten(as_annotator, desk, step):
    assert post(as_annotator, f"/annotate/assignments/{desk.pk}/draft", {"step": step}).status_code == 200
    desk.refresh_from_db()
    assert desk.draft["step"] == ""


@pytest.mark.parametrize("text", ["a\ud800b", "a\u0000b"])
def test_text_that_postgresql_refuses_is_stored_without_it(as_annotator, desk, text):
    assert post(as_annotator, f"/annotate/assignments/{desk.pk}/draft", {"rationale": text}).status_code == 200


def test_the_guidelines_beside_the_work_are_the_members(project, as_annotator, as_outsider, as_nobody):
    url = f"/annotate/{project.slug}/guidelines/text"
    answer = as_annotator.get(url).json()
    assert "Be fair</h3>" in answer["html"] and "<script>x" not in answer["html"]
    assert as_outsider.get(url).status_code == 404
    assert as_nobody.get(url).status_code == 401


@pytest.mark.parametrize("wanted", [False, True])
def test_feedback_is_given_only_where_the_project_wants_it(as_annotator, annotator, project, wanted):
    from annotate.gold.models import Gold

    project.gold_feedback, project.must_qualify = wanted, True
    project.save()
    comparison = make_comparison(project, "known", purpose="qualification", is_closed=True)
    first, second = (str(pk) for pk in comparison.members.values_list("response_id", flat=True)[:2])
    Gold.objects.create(comparison=comparison, rankings={"helpfulness": {first: 1, second: 2}}, explanation="Why.")
    desk = assignment_next(annotator=annotator, project=project)
    assert "Qualification 1 of 1" in as_annotator.get(f"/annotate/assignments/{desk.pk}/").content.decode()
    answer = post(as_annotator, f"/annotate/assignments/{desk.pk}/submit", ANSWER).json()
    assert answer["outcome"] == "accepted"  # gold takes no place, and is no extra
    assert ("feedback" in answer) is wanted
    if wanted:
        html = answer["feedback"]["html"]
        assert "Known answer" in html and "Why." in html and not {first, second} & set(re.findall(r"\d+", html))


def test_what_a_form_saves_over_a_newer_answer_is_not_called_saved(as_annotator, desk):
    url = f"/annotate/assignments/{desk.pk}/"
    first = Judgement.objects.get(pk=post(as_annotator, f"{url}submit", ANSWER).json()["judgement"])
    assert f'name="revises" value="{first.pk}"' in as_annotator.get(url).content.decode()
    form = ranks({"A": "4"}) | {"action": "save", "rationale": "long thoughts"}
    html = as_annotator.post(url, form | {"revises": str(first.pk)}, follow=True).content.decode()
    assert "Saved." in html and "long thoughts" in html
    html = as_annotator.post(url, form | {"revises": "", "rationale": "too late"}, follow=True).content.decode()
    assert "Saved." not in html and "a newer answer of yours is there" in html and "too late" not in html


def test_a_draft_says_whether_it_is_kept(as_annotator, desk):
    url = f"/annotate/assignments/{desk.pk}/"
    assert post(as_annotator, f"{url}draft", ANSWER).json()["kept"]
    pk = post(as_annotator, f"{url}submit", ANSWER).json()["judgement"]
    assert not post(as_annotator, f"{url}draft", ANSWER | {"revises": None}).json()["kept"]
    assert post(as_annotator, f"{url}draft", ANSWER | {"revises": pk}).json()["kept"]


def test_an_answer_that_a_newer_one_overtook_does_not_replace_it(as_annotator, desk):
    url = f"/annotate/assignments/{desk.pk}/"
    post(as_annotator, f"{url}submit", ANSWER | {"revises": None})
    late = ANSWER | {"rankings": {"helpfulness": {"B": 1, "A": 2}, "harmlessness": {"A": 1, "B": 1}}, "strengths": {}}
    answer = post(as_annotator, f"{url}submit", late | {"revises": None}).json()
    assert answer["outcome"] == "stale" and "newer answer" in answer["message"]
    assert Judgement.objects.get(is_current=True).strengths
    form = ranks({"A": "2", "B": "1"}) | {"revises": ""}
    assert "newer answer" in as_annotator.post(url, form, follow=True).content.decode()
    assert Judgement.objects.get(is_current=True).strengths


@pytest.mark.parametrize("scripted", [False, True])
def test_a_judgement_keeps_the_version_of_the_guidelines_that_was_shown(as_annotator, admin, project, desk, scripted):
    for text in ("One.", "Two."):
        project_update(project=project, user=admin, guidelines=text)
    url = f"/annotate/assignments/{desk.pk}/"
    html = as_annotator.get(url).content.decode()
    shown = re.search(r'name="guidelines" value="(\d+)"', html)[1]
    project_update(project=project, user=admin, guidelines="Three.")
    if scripted:
        post(as_annotator, f"{url}submit", ANSWER | {"guidelines": int(shown)})
    else:
        as_annotator.post(url, ranks({"A": "1", "B": "2"}) | {"guidelines": shown})
    assert Judgement.objects.get().guidelines.text == "Two."


def test_a_settled_answer_is_shown_rather_than_what_was_begun_since(as_annotator, admin, desk):
    from annotate.review.models import Adjudication

    url = f"/annotate/assignments/{desk.pk}/"
    pk = post(as_annotator, f"{url}submit", ANSWER).json()["judgement"]
    post(as_annotator, f"{url}draft", ANSWER | {"rankings": {"helpfulness": {"D": 1}}, "revises": pk})
    assert as_annotator.get(url).context["item"].given["rankings"] == {"helpfulness": {"D": 1}}
    Adjudication.objects.create(comparison=desk.comparison, reviewer=admin, rankings={})
    page = as_annotator.get(url)
    assert page.context["item"].given["rankings"] == ANSWER["rankings"]
    assert 'value="save"' not in page.content.decode()
    refused = as_annotator.post(url, {"action": "save", "revises": str(pk)}, follow=True).content.decode()
    assert "Saved." not in refused and "decided by a reviewer" in refused


def test_a_verdict_that_is_none_is_refused(as_annotator, annotator):
    project = make_project(annotator, task="pairwise", k=2)
    make_comparison(project)
    desk = assignment_next(annotator=annotator, project=project)
    for verdict in ("Z", "a", "C"):
        form = {"verdict-helpfulness": verdict, "verdict-harmlessness": "tie"}
        response = as_annotator.post(f"/annotate/assignments/{desk.pk}/", form)
        assert response.status_code == 400
        assert f"Response {verdict} is not in this comparison" in response.content.decode()
    assert not Judgement.objects.exists()


def test_ids_of_responses_are_no_letters(as_annotator, desk):
    row = {str(pk): rank for rank, pk in enumerate(desk.display_order, start=1)}
    for action in ("draft", "submit"):
        answer = {"rankings": {"helpfulness": row, "harmlessness": row}}
        assert post(as_annotator, f"/annotate/assignments/{desk.pk}/{action}", answer).status_code == 400


def test_there_are_letters_for_more_responses_than_the_alphabet_has():
    names = list(letters(range(60)).values())
    assert (names[0], names[25], names[26], names[52]) == ("A", "Z", "AA", "BA")
    assert len(set(names)) == 60


def test_built_in_questions_are_read_in_the_readers_language(as_annotator, annotator, monkeypatch):
    project = make_project(annotator)
    project.dimensions.update(label="Helpfulness", question=PRESETS[0]["question"])
    project.dimensions.filter(key="harmlessness").update(label="Our own", question="Which one?")
    make_comparison(project)
    desk = assignment_next(annotator=annotator, project=project)
    monkeypatch.setattr("annotate.ranking.presets.gettext", lambda text: f"<{text}>")
    url = f"/annotate/assignments/{desk.pk}/"
    item = as_annotator.get(url).context["item"]
    assert [(d.label, d.question) for d in item.dimensions] == [
        ("<Helpfulness>", f"<{PRESETS[0]['question']}>"),
        ("Our own", "Which one?"),
    ]
    assert "<Helpfulness>: place at least two" in post(as_annotator, f"{url}submit", {}).json()["message"]
    post(as_annotator, f"{url}submit", ANSWER)
    for path in ("/annotate/", "/annotate/history/"):
        assert "&lt;Helpfulness&gt;" in as_annotator.get(path).content.decode()
