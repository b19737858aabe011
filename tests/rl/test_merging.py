"""Taking a policy out of the platform: as it is, or merged into its base."""

from __future__ import annotations

import json

import pytest
from django.core.exceptions import ValidationError
from django.core.management import CommandError, call_command

from rl.services import merge_run_start, policy_run_start
from runs.artifacts import artifact_path
from tests.rl.test_whole_run import SMALL, carried_out

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_policy_is_merged_from_its_page_and_exported_by_command(version, generator, admin, as_admin, tmp_path):
    import torch
    from transformers import AutoModelForCausalLM

    config = {"algorithm": "sft", "comparisons_per_step": 4, "dimension_weights": {"helpfulness": 1}, **SMALL}
    run = carried_out(policy_run_start(generator=generator, config=config, dataset_version=version, title="Kinder"))
    page = as_admin.get(f"/policies/{run.pk}/").content.decode()
    assert "Merge into one model" in page
    answer = as_admin.post(f"/policies/{run.pk}/merge/")
    merging = carried_out(run.merges.get())
    assert answer["Location"] == merging.get_absolute_url()
    assert "Merged model and download" in as_admin.get(f"/policies/{run.pk}/").content.decode()
    assert merge_run_start(policy_run=run) == merging
    adapter, merged = run.artifacts.get(), merging.artifacts.get()
    assert merged.manifest["lineage"]["adapter"]["sha256"] == adapter.sha256
    assert merged.manifest["lineage"]["dataset"]["sha256"] == version.sha256
    assert "README.md" in {file["path"] for file in merged.manifest["files"]}
    assert "# Kinder" in (artifact_path(merged) / "README.md").read_text()
    call_command("export_policy", "Kinder", "--merged", out=tmp_path / "whole")
    call_command("export_policy", str(run.pk), out=tmp_path / "adapter")
    assert (tmp_path / "adapter" / "adapter_model.safetensors").is_file()
    assert json.loads((tmp_path / "whole" / "policy.json").read_text())["method"] == "merged"
    one, other = (AutoModelForCausalLM.from_pretrained(each) for each in (artifact_path(merged), tmp_path / "whole"))
    ids = torch.tensor([[1, 70, 71]])
    with torch.no_grad():
        assert torch.equal(one(ids).logits, other(ids).logits)
    with pytest.raises(CommandError, match="exists already"):
        call_command("export_policy", "Kinder", out=tmp_path / "whole")
    with pytest.raises(CommandError, match="no policy 'Kindest'"):
        call_command("export_policy", "Kindest", out=tmp_path / "other")


def test_where_there_is_nothing_to_merge_it_is_said(policy_run, as_admin):
    policy_run.config["method"] = "full"
    policy_run.save()
    with pytest.raises(ValidationError, match="whole model already"):
        merge_run_start(policy_run=policy_run)
    assert "Merge into one model" not in as_admin.get(f"/policies/{policy_run.pk}/").content.decode()
    shown = as_admin.post(f"/policies/{policy_run.pk}/merge/", follow=True).content.decode()
    assert "whole model already" in shown
    policy_run.artifacts.all().delete()
    with pytest.raises(ValidationError, match="nothing to merge"):
        merge_run_start(policy_run=policy_run)


def test_two_clicks_make_one_run(policy_run, admin):
    assert merge_run_start(policy_run=policy_run, user=admin) == merge_run_start(policy_run=policy_run, user=admin)
    assert merge_run_start(policy_run=policy_run, config={"dtype": "float32"}).config["dtype"] == "float32"
    assert policy_run.merges.count() == 2


def test_only_admins_merge(policy_run, as_annotator, as_other_annotator, as_outsider, as_nobody):
    for person in (as_annotator, as_other_annotator, as_outsider, as_nobody):
        assert person.post(f"/policies/{policy_run.pk}/merge/").status_code in (302, 403, 404)
    assert not policy_run.merges.exists()
