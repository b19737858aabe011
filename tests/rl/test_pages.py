"""The pages: for admins, whole, and honest about what is not known."""

import json

import pytest
from django.utils.html import escape

from rl.models import EvaluationRun, PolicyRun
from rl.training.config import ALGORITHMS, EvaluationConfig

PAGES = [
    "/policies/",
    "/policies/new/",
    *(f"/policies/new/{algorithm}/" for algorithm in ALGORITHMS),
    "/policies/{policy}/",
    "/evaluations/",
    "/evaluations/new/",
    "/evaluations/{evaluation}/",
]


@pytest.fixture
def addresses(policy_run, evaluation_run):
    return lambda place: place.format(policy=policy_run.pk, evaluation=evaluation_run.pk)


def started():
    return PolicyRun.objects.filter(state="queued"), EvaluationRun.objects.filter(state="queued")


@pytest.mark.parametrize("place", PAGES)
def test_pages_are_for_admins(place, addresses, as_admin, as_annotator, as_outsider, as_nobody):
    address = addresses(place)
    assert as_admin.get(address).status_code == 200
    for visitor in (as_annotator, as_outsider):
        assert visitor.get(address).status_code == 403
    assert as_nobody.get(address)["Location"].startswith("/account/login/")


@pytest.mark.parametrize("place", ["/policies/new/dpo/", "/policies/new/ppo/", "/evaluations/new/"])
def test_nobody_else_starts_anything(place, answered, version, generator, reward_model, as_annotator, as_nobody):
    data = {
        "dataset_version": version.pk,
        "generator": generator.pk,
        "reference": generator.pk,
        "reward_model": reward_model.pk,
        "project": answered.pk,
    }
    assert as_annotator.post(place, data).status_code == 403
    assert as_nobody.post(place, data).status_code == 302
    assert not any(runs.exists() for runs in started())


def test_empty_lists_say_what_to_do_next(as_admin):
    assert "Build one first" in as_admin.get("/policies/").content.decode()
    assert "Train one first" in as_admin.get("/evaluations/").content.decode()


def test_the_dpo_form_starts_a_run_and_goes_to_its_page(version, generator, admin, as_admin):
    data = {"dataset_version": version.pk, "generator": generator.pk, "title": "New", "method": "lora", "beta": "0.3"}
    data |= {"dimension_weights": "helpfulness 2, harmlessness=0.5", "lora.rank": "8", "soft_labels": "on"}
    answer = as_admin.post("/policies/new/dpo/", data)
    run = PolicyRun.objects.get()
    assert answer["Location"] == f"/runs/{run.pk}/"
    assert run.config["dimension_weights"] == {"helpfulness": 2.0, "harmlessness": 0.5}
    assert (run.config["beta"], run.config["lora"]["rank"], run.created_by) == (0.3, 8, admin)


def test_the_ppo_form_starts_a_run(generator, reward_model, as_admin):
    data = {"reward_model": reward_model.pk, "generator": generator.pk, "steps": "3", "dimension_weights": ""}
    answer = as_admin.post("/policies/new/ppo/", data)
    run = PolicyRun.objects.get()
    assert answer.status_code == 302
    assert (run.algorithm, run.config["steps"], run.config["dimension_weights"]) == ("ppo", 3, {})


def test_the_grpo_form_takes_checks_and_further_reward_models(generator, reward_model, real_judge, as_admin):
    data = {"reward_model": reward_model.pk, "watched_reward_model": real_judge.pk, "generator": generator.pk}
    data["checks"] = '[{"kind": "words", "any_of": ["please"], "weight": 0.5}]'
    answer = as_admin.post("/policies/new/grpo/", data)
    run = PolicyRun.objects.get(algorithm="grpo")
    assert answer.status_code == 302
    assert run.config["checks"][0]["any_of"] == ["please"]
    assert run.watched_reward_model == real_judge


@pytest.mark.parametrize(
    ("checks", "words"),
    [
        ("[", "The checks are not JSON"),
        ("{}", "The checks are a list"),
        ('[{"kind": "pattern", "pattern": "(("}]', "is not a regular expression"),
        ('[{"kind": "run"}]', "does not match any of the expected tags"),
    ],
)
def test_checks_that_cannot_work_are_refused_beside_their_field(generator, reward_model, as_admin, checks, words):
    data = {"reward_model": reward_model.pk, "generator": generator.pk, "checks": checks}
    answer = as_admin.post("/policies/new/grpo/", data)
    assert answer.status_code == 422
    assert any(words in message for message in answer.context["form"].errors["checks"])
    assert not PolicyRun.objects.exists()


@pytest.mark.parametrize(
    ("algorithm", "change", "field"),
    [
        ("ppo", {"prompts_per_step": "2"}, "minibatches"),
        ("grpo", {"lora.dropout": "0.1"}, "lora.dropout"),
        ("grpo", {"kl_estimator": "k1"}, "kl_estimator"),
        ("grpo", {"reward_model_weight": "0"}, "checks"),
        ("best_of_n", {"keep": "8", "samples_per_prompt": "8"}, "keep"),
    ],
)
def test_settings_that_do_not_go_together_are_refused_beside_the_one_to_change(
    generator, reward_model, as_admin, algorithm, change, field
):
    data = {"reward_model": reward_model.pk, "generator": generator.pk, **change}
    answer = as_admin.post(f"/policies/new/{algorithm}/", data)
    assert answer.status_code == 422
    assert list(answer.context["form"].errors) == [field]


def test_a_mistake_in_one_of_several_checks_says_in_which(generator, reward_model, as_admin):
    checks = '[{"kind": "number"}, {"kind": "pattern", "pattern": "(("}]'
    data = {"reward_model": reward_model.pk, "generator": generator.pk, "checks": checks}
    answer = as_admin.post("/policies/new/grpo/", data)
    assert "Entry 2: " in answer.context["form"].errors["checks"][0]


def test_every_example_of_a_check_on_the_form_can_be_used(as_admin):
    from rl.forms import CHECK_EXAMPLES
    from rl.training.config import GRPOConfig

    page = as_admin.get("/policies/new/grpo/").content.decode()
    for words, written in CHECK_EXAMPLES:
        assert GRPOConfig(checks=json.loads(written)).checks
        assert escape(words) in page and escape(written) in page


def test_what_is_not_essential_is_folded_away_by_subject(as_admin, generator, reward_model):
    page = as_admin.get("/policies/new/ppo/").content.decode()
    for heading in ("Reward", "Update", "Measuring, samples and alarms", "LoRA", "Lengths and machine"):
        assert f'<details class="advanced"><summary>{heading}</summary>' in page
    assert "More settings" not in page
    answer = as_admin.post("/policies/new/ppo/", {"reward_model": reward_model.pk, "generator": generator.pk, "lam": 2})
    assert '<details class="advanced" open><summary>Update</summary>' in answer.content.decode()


def test_the_evaluation_form_starts_a_run(answered, generator, reward_model, as_admin):
    data = {"generator": generator.pk, "reference": generator.pk, "reward_model": reward_model.pk}
    answer = as_admin.post("/evaluations/new/", {**data, "project": answered.pk, "prompts": "held_out"})
    assert answer.status_code == 302
    assert EvaluationRun.objects.get().project == answered


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"beta": "0"}, "greater than 0"),
        ({"dimension_weights": "helpfulness much"}, "is not a dimension and its weight"),
        ({"dimension_weights": "3"}, "is a weight without its dimension"),
        ({"dimension_weights": "charm 1"}, "no dimension charm"),
        ({"loss": "ipo", "margin_scale": "1"}, "takes no margin"),
        ({"generator": ""}, "This field is required"),
    ],
)
def test_a_form_with_a_mistake_comes_back_filled_in(version, generator, as_admin, change, words):
    data = {"dataset_version": version.pk, "generator": generator.pk, "title": "Keep me", **change}
    answer = as_admin.post("/policies/new/dpo/", data)
    page = answer.content.decode()
    assert answer.status_code == 422
    assert words in page and 'value="Keep me"' in page
    assert not PolicyRun.objects.exists()


@pytest.mark.parametrize(
    ("place", "model"),
    [
        *((f"/policies/new/{algorithm}/", model) for algorithm, model in ALGORITHMS.items()),
        ("/evaluations/new/", EvaluationConfig),
    ],
)
def test_every_setting_of_the_schema_is_on_the_form_with_its_help(place, model, generator, as_admin):
    page = as_admin.get(place).content.decode()
    for name, field in model.model_fields.items():
        if name not in ("algorithm", "lora", "sampling"):
            assert f'name="{name}"' in page
            assert field.description.split("'")[0] in page


def test_an_algorithm_that_is_not_there_is_not_found(as_admin):
    assert as_admin.get("/policies/new/sarsa/").status_code == 404


def test_the_form_can_be_linked_to(version, generator, as_admin):
    page = as_admin.get(f"/policies/new/dpo/?dataset_version={version.pk}&generator=nonsense").content.decode()
    assert f'<option value="{version.pk}" selected>' in page


def test_the_policy_page_shows_what_training_did_and_the_evaluations(policy_run, evaluation_run, as_admin):
    page = as_admin.get(f"/policies/{policy_run.pk}/").content.decode()
    assert "−0.25" in page and "12.5 %" in page
    assert "0.5 [0.4, 0.6]" in page
    assert '<span class="badge good">better</span>' in page
    assert "AutoPeftModelForCausalLM" in page
    assert f"/evaluations/{evaluation_run.pk}/" in page


def test_the_policy_page_shows_gain_alarms_and_memory(policy_run, as_admin):
    mean = {"value": 0.5, "low": 0.25, "high": 0.75, "n": 8, "prompts": 4}
    policy_run.result |= {
        "held_out": {"before": mean, "after": mean, "gain": mean, "kl": mean, "step": 4},
        "alarms": [{"name": "kl_runaway", "step": 3, "message": "KL is 200.0 nats."}],
        "stopped": "Stopped at step 3 by an alarm.",
        "saved_step": 2,
        "steps": 3,
        "memory": {"base": 2_000_000, "policy": 30_000, "reference": 0},
    }
    policy_run.save()
    page = as_admin.get(f"/policies/{policy_run.pk}/").content.decode()
    assert "0.5 [0.25, 0.75]" in page and "/runs/metrics/#kl_runaway" in page and "raise the KL coefficient" in page
    assert "Stopped at step 3 by an alarm." in page and "the weights of step 2 of 3" in page
    assert "held once for the policy and the reference" in page
    assert "a model for each of them would take 3.8 MiB" in page  # 2,030,000 bytes, and the base once more


def measured(n, value):
    return {"n": n, "kl": 0.25 * (n - 1), "reward": {"value": value, "low": value - 0.5, "high": value + 0.5}}


def test_the_policy_page_sets_the_policy_beside_best_of_n(policy_run, as_admin):
    policy_run.result |= {"best_of_n": [measured(1, 0.0), measured(2, 1.0), measured(5, 3.0)], "saved_step": 10}
    policy_run.save()
    for step, kl, reward in ((0, 0.0, 0.1), (10, 0.5, 2.5), (20, 3.0, 2.0)):
        policy_run.events.create(type="metrics", step=step, data={"test_reward": reward, "test_kl": kl})
    page = as_admin.get(f"/policies/{policy_run.pk}/").content.decode()
    assert "Best of 1 to 5 of the start model" in page
    # A quarter of a nat is best of 2, one nat best of 5: half a nat is a third of the way from 1 to 3.
    assert "At step 10 the policy earns 2.5 at 0.5 nats. Best-of-n of the start model earns about 1.67" in page
    assert "1 [0.5, 1.5]" in page and page.count("<title>step ") == 3
    policy_run.result["saved_step"] = 20
    policy_run.save()
    page = as_admin.get(f"/policies/{policy_run.pk}/").content.decode()
    assert "Best of 5 of the start model earns 3 at 1 nats, which is as far as it was measured." in page


def test_best_of_n_is_there_while_the_run_goes_on(policy_run, as_admin):
    policy_run.events.create(type="log", data={"message": "Measured.", "best_of_n": [measured(1, 0.0), measured(2, 1)]})
    assert "beside best-of-n" not in as_admin.get(f"/policies/{policy_run.pk}/").content.decode()
    policy_run.events.create(type="metrics", step=0, data={"test_reward": 0.5, "test_kl": 0.0})
    assert "beside best-of-n" in as_admin.get(f"/policies/{policy_run.pk}/").content.decode()


def test_the_page_of_a_cancelled_run_says_which_policy_is_kept(policy_run, as_admin):
    type(policy_run).objects.filter(pk=policy_run.pk).update(state="cancelled")
    page = as_admin.get(policy_run.get_absolute_url()).content.decode()
    assert "Cancelled." in page and "is kept in" not in page
    for name, content in (("output/policy.json", {"step": 6}), ("best/best.json", {"step": 6, "figure": 0.25})):
        (policy_run.directory / name).parent.mkdir(parents=True)
        (policy_run.directory / name).write_text(json.dumps(content))
    page = as_admin.get(policy_run.get_absolute_url()).content.decode()
    assert f"The policy of step 6 (held-out reward 0.25) is kept in {policy_run.directory}/output." in page


@pytest.mark.parametrize("algorithm", ["sft", "kto"])
def test_the_page_of_every_offline_algorithm_shows_its_own_figures(policy_run, as_admin, algorithm):
    policy_run.algorithm = algorithm
    policy_run.result = {
        "test": {
            "loss": 0.4,
            "perplexity": 1.5,
            "kl_baseline": 0.25,
            "accuracy": {"value": 0.75, "low": 0.5, "high": 0.9, "n": 8},
        }
    }
    policy_run.save()
    page = as_admin.get(f"/policies/{policy_run.pk}/").content.decode()
    assert ("Perplexity" in page) == (algorithm == "sft")
    assert ("75.0 % [50.0 %, 90.0 %]" in page) == (algorithm == "kto")


def test_the_evaluation_page_sets_before_beside_after(evaluation_run, as_admin):
    page = as_admin.get(f"/evaluations/{evaluation_run.pk}/").content.decode()
    assert "4.25 [4.15, 4.35]" in page
    assert "50.0 % [40.0 %, 60.0 %]" in page
    assert "nats per response" in page


def test_an_evaluation_without_figures_says_so(evaluation_run, as_admin):
    evaluation_run.result = {}
    evaluation_run.save()
    assert "no figures" in as_admin.get(f"/evaluations/{evaluation_run.pk}/").content.decode()


def test_a_run_without_policy_says_so(policy_run, as_admin):
    policy_run.policy, policy_run.result = None, {}
    policy_run.save()
    assert "No policy came of this run" in as_admin.get(f"/policies/{policy_run.pk}/").content.decode()


def test_a_dpo_page_shows_held_out_accuracy_or_that_there_is_none(policy_run, as_admin):
    policy_run.algorithm = "dpo"
    policy_run.result = {"test": {"accuracy": {"value": 0.75, "low": 0.5, "high": 0.9, "n": 8}, "loss": 0.6}}
    policy_run.save()
    assert "75.0 % [50.0 %, 90.0 %]" in as_admin.get(f"/policies/{policy_run.pk}/").content.decode()
    policy_run.result = {"test": None}
    policy_run.save()
    assert "nothing was measured" in as_admin.get(f"/policies/{policy_run.pk}/").content.decode()


@pytest.mark.parametrize("place", ["/policies/", "/evaluations/"])
def test_the_number_of_queries_of_a_list_does_not_grow(
    place, policy_run, evaluation_run, as_admin, django_assert_max_num_queries
):
    for run in (policy_run, evaluation_run):
        for _ in range(5):
            run.pk = run.id = run.run_ptr_id = None
            run._state.adding = True
            run.save()
    with django_assert_max_num_queries(6):
        assert as_admin.get(place).status_code == 200


def test_a_title_is_shown_as_text(policy_run, evaluation_run, as_admin):
    for run in (policy_run, evaluation_run):
        run.title = "<script>alert(1)</script>"
        run.save()
    policy_run.policy.name = "<script>alert(2)</script>"
    policy_run.policy.save()
    for address in ("/policies/", f"/policies/{policy_run.pk}/", "/evaluations/", f"/evaluations/{evaluation_run.pk}/"):
        assert "<script>alert" not in as_admin.get(address).content.decode()


@pytest.mark.parametrize("place", PAGES)
def test_pages_need_no_inline_style_or_script(place, addresses, as_admin):
    text = as_admin.get(addresses(place)).content.decode()
    assert "style=" not in text
    assert "<script>" not in text and "onclick" not in text


def test_the_dashboard_has_a_panel(policy_run, evaluation_run, as_admin):
    page = as_admin.get("/").content.decode()
    assert f"/policies/{policy_run.pk}/" in page and f"/evaluations/{evaluation_run.pk}/" in page


def test_the_django_admin_shows_but_does_not_change(policy_run, evaluation_run, as_admin):
    for model in ("policyrun", "evaluationrun"):
        assert as_admin.get(f"/admin/rl/{model}/").status_code == 200
        assert as_admin.get(f"/admin/rl/{model}/add/").status_code == 403
