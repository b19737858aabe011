"""Policies and an evaluation through the real executor and child, on the tiny model."""

import pytest

from annotate.models import Generator
from rl.services import evaluation_run_start, policy_run_start
from runs.artifacts import artifact_path
from runs.executor import run_execute
from runs.models import RunEvent
from tests.rl.conftest import answer

pytestmark = pytest.mark.django_db(transaction=True)

SMALL = {"lora": {"rank": 4}, "sample_prompts": 1, "learning_rate": 1e-2}


def carried_out(run):
    run_execute(run_id=run.pk, worker="test")
    run.refresh_from_db()
    assert run.state == "succeeded", f"{run.error}\n{run.error_detail}"
    return run


def test_dpo_leaves_a_policy_that_can_be_the_next_generator(version, generator, admin, as_admin):
    from lm.loading import load_policy

    config = {"algorithm": "dpo", "epochs": 2, "comparisons_per_step": 4, "sampling": {"max_tokens": 4}, **SMALL}
    config["dimension_weights"] = {"helpfulness": 1}
    run = carried_out(
        policy_run_start(generator=generator, config=config, dataset_version=version, title="Kinder", user=admin)
    )
    policy = run.policy
    assert policy == Generator.objects.get(name="Kinder")
    assert (policy.model, policy.produced_by_id) == (generator.model, run.pk)
    load_policy(policy.model, adapter=artifact_path(policy.adapter))
    lineage = run.artifacts.get().manifest["lineage"]
    assert lineage["dataset"]["sha256"] == version.sha256 and lineage["start"]["generator"] == "Tiny"
    assert run.events.filter(type=RunEvent.Type.SAMPLE).exists()
    assert {"loss", "reward_margin"} <= run.events.filter(type=RunEvent.Type.METRICS).first().data.keys()
    assert run.result["test"]["accuracy"]["n"] == 18
    page = as_admin.get(f"/policies/{run.pk}/").content.decode()
    assert "Kinder" in page and "18 held-out pairs" in page
    # The next round starts from it.
    second = {**config, "epochs": 1}
    again = carried_out(policy_run_start(generator=policy, config=second, dataset_version=version, title="Kindest"))
    assert again.policy.name == "Kindest"


def test_ppo_and_its_evaluation_go_around(answered, generator, real_judge, admin, as_admin):
    config = {"algorithm": "ppo", "steps": 2, "prompts_per_step": 4, "max_response_tokens": 6, "epochs": 1, **SMALL}
    run = carried_out(
        policy_run_start(generator=generator, config=config, reward_model=real_judge, project=answered, title="Braver")
    )
    assert run.result["last"]["first_ratio_error"] < 1e-4
    answer(answered, run.policy, "yes yes")
    evaluation = carried_out(
        evaluation_run_start(
            generator=run.policy, reference=generator, reward_model=real_judge, project=answered, user=admin
        )
    )
    assert evaluation.result["difference"]["reward"]["prompts"] == evaluation.result["policy"]["kl"]["prompts"]
    assert (artifact_path(evaluation.artifacts.get()) / "scores.jsonl").is_file()
    page = as_admin.get(f"/evaluations/{evaluation.pk}/").content.decode()
    assert "Before and after" in page and "There is no KL" not in page


@pytest.mark.parametrize("algorithm", ["sft", "kto", "grpo", "best_of_n"])
def test_every_other_algorithm_goes_around(version, generator, real_judge, admin, as_admin, algorithm):
    config = {"algorithm": algorithm, **SMALL}
    if algorithm in ("sft", "kto"):
        config |= {"comparisons_per_step": 4, "sampling": {"max_tokens": 4}, "dimension_weights": {"helpfulness": 1}}
        inputs = {"dataset_version": version}
    else:
        config |= {"steps": 2, "prompts_per_step": 3, "samples_per_prompt": 2, "max_response_tokens": 4}
        inputs = {"reward_model": real_judge}
    run = carried_out(policy_run_start(generator=generator, config=config, title="Newer", user=admin, **inputs))
    assert run.policy.name == "Newer"
    assert run.policy.description.startswith(run.get_algorithm_display())
    page = as_admin.get(f"/policies/{run.pk}/").content.decode()
    assert ("On prompts kept out of training" in page) == run.is_online


def test_a_wrong_model_directory_found_late_is_the_users_fault(version, generator, tiny, tmp_path):
    import shutil

    copy = tmp_path / "copy"
    shutil.copytree(tiny, copy)
    generator.model = str(copy)
    generator.save()
    run = policy_run_start(generator=generator, config={"algorithm": "dpo", **SMALL}, dataset_version=version)
    shutil.rmtree(copy)
    run_execute(run_id=run.pk, worker="test")
    run.refresh_from_db()
    assert (run.state, run.fault) == ("failed", "user")
    assert "Traceback" not in run.error
    assert not run.artifacts.exists() and run.policy is None
