"""Starting reward-model runs: refused by field before a run exists, or queued whole."""

import pytest
from django.core.exceptions import ValidationError

from rewardmodel.kind import RewardModelKind
from rewardmodel.models import RewardModel, RewardModelRun
from rewardmodel.services import reward_model_create, reward_model_run_start


def refused(field, words, **arguments):
    with pytest.raises(ValidationError) as caught:
        reward_model_run_start(**arguments)
    assert words in " ".join(caught.value.message_dict[field])
    assert not RewardModelRun.objects.exists()


def test_a_run_waits_in_the_gpu_queue_with_its_whole_configuration(version, generator, admin):
    run = reward_model_run_start(
        dataset_version=version, generator=generator, config={"epochs": 2, "seed": 7}, title=" Judge ", user=admin
    )
    run = RewardModelRun.objects.get(pk=run.pk)
    assert (run.kind, run.queue, run.state, run.title, run.seed) == ("reward_model", "gpu", "queued", "Judge", 7)
    assert run.config["epochs"] == 2
    assert run.config["lora"]["rank"] == 16
    assert (run.dataset_version, run.generator, run.created_by) == (version, generator, admin)


def test_a_run_without_a_title_is_called_after_its_dataset(version, generator, admin):
    run = reward_model_run_start(dataset_version=version, generator=generator, user=admin)
    assert run.title == "Reward model on First v1"


def test_a_dimension_that_the_dataset_lacks_is_refused(version, generator, admin):
    refused(
        "dimensions",
        "harmlessness, helpfulness",
        dataset_version=version,
        generator=generator,
        config={"dimensions": ["truth"]},
        user=admin,
    )


def test_a_dataset_without_training_pairs_is_refused(version, generator, admin):
    pairs = {"helpfulness": {"pairs": {"train": 0, "test": 4}}, "harmlessness": {"pairs": {"train": 9, "test": 4}}}
    version.counts = {"dimensions": pairs}
    version.save()
    refused(
        "dataset_version", "no preference for helpfulness", dataset_version=version, generator=generator, user=admin
    )
    config = {"dimensions": ["harmlessness"]}
    assert reward_model_run_start(dataset_version=version, generator=generator, config=config, user=admin).pk


def test_where_a_dataset_did_not_count_its_dimensions_those_of_the_project_hold(version, generator, admin):
    version.counts = {}
    version.save()
    version.project.dimensions.create(key="helpfulness", label="Helpfulness")
    config = {"dimensions": ["truth"]}
    refused("dimensions", "helpfulness", dataset_version=version, generator=generator, config=config, user=admin)


@pytest.mark.parametrize(
    ("config", "field"),
    [({"learning_rate": -1}, "learning_rate"), ({"lora": {"rank": 0}}, "lora.rank"), ({"epoch": 2}, "epoch")],
)
def test_a_wrong_setting_is_refused(version, generator, admin, config, field):
    refused(field, "", dataset_version=version, generator=generator, config=config, user=admin)


def test_settings_that_contradict_each_other_are_refused(version, generator, admin):
    config = {"loss": "plackett_luce", "use_margin": True}
    refused("__all__", "plackett_luce", dataset_version=version, generator=generator, config=config, user=admin)


def test_a_start_that_is_not_a_model_is_refused(version, generator, admin, tmp_path):
    generator.model = str(tmp_path)
    refused("generator", "no config.json", dataset_version=version, generator=generator, user=admin)


def test_a_start_whose_weights_are_elsewhere_is_refused(version, endpoint, admin):
    refused("generator", "Choose a local model", dataset_version=version, generator=endpoint, user=admin)


def test_all_that_is_wrong_is_said_at_once(version, endpoint, admin):
    with pytest.raises(ValidationError) as caught:
        reward_model_run_start(dataset_version=version, generator=endpoint, config={"epochs": 0}, user=admin)
    assert set(caught.value.message_dict) == {"epochs", "generator"}


def test_the_child_gets_directories_that_are_complete(version, generator, admin, settings, tmp_path):
    run = reward_model_run_start(dataset_version=version, generator=generator, user=admin)
    inputs = RewardModelKind().prepare(run, tmp_path)
    assert (tmp_path / inputs["dataset"] / "rankings.jsonl").is_file()
    assert inputs["dataset_sha256"] == version.sha256
    assert inputs["model"] == generator.model
    assert inputs["adapter"] is None
    assert inputs["models_dir"] == str(settings.MODELS_DIR)


def test_a_second_model_of_the_same_title_gets_the_number_of_its_run(reward_model, version, generator, admin, tmp_path):
    from runs.artifacts import artifact_publish

    run = reward_model_run_start(dataset_version=version, generator=generator, title="Judge", user=admin)
    artifact_publish(run=run, source=tmp_path / "output", kind="reward_model")
    second = reward_model_create(run=run, result={"dimensions": ["helpfulness"]})
    assert (reward_model.name, second.name) == ("Judge", f"Judge ({run.pk})")
    assert RewardModel.objects.count() == 2
