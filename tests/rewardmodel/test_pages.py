"""The pages: for admins, whole, and honest about what is not known."""

import pytest

from rewardmodel.models import RewardModelRun

PAGES = ["/reward-models/", "/reward-models/new/", "/reward-models/{pk}/"]


def form_data(version, generator, **changes):
    return {"dataset_version": version.pk, "generator": generator.pk, "title": "", "method": "lora", **changes}


@pytest.mark.parametrize("place", PAGES)
def test_pages_are_for_admins(place, reward_model, as_admin, as_annotator, as_outsider, as_nobody):
    address = place.format(pk=reward_model.pk)
    assert as_admin.get(address).status_code == 200
    for visitor in (as_annotator, as_outsider):
        assert visitor.get(address).status_code == 403
    assert as_nobody.get(address)["Location"].startswith("/account/login/")


def test_an_annotator_cannot_start_a_run(version, generator, as_annotator, as_nobody):
    assert as_annotator.post("/reward-models/new/", form_data(version, generator)).status_code == 403
    assert as_nobody.post("/reward-models/new/", form_data(version, generator)).status_code == 302
    assert not RewardModelRun.objects.exists()


def test_an_empty_list_says_what_to_do_next(as_admin, generator):
    page = as_admin.get("/reward-models/").content.decode()
    assert "No reward model yet" in page
    assert "Build one first" in page


def test_the_list_shows_accuracy_with_its_interval(reward_model, as_admin):
    page = as_admin.get("/reward-models/").content.decode()
    assert "71.2 % [55.0 %, 84.0 %]" in page
    assert f'href="/reward-models/{reward_model.pk}/"' in page


def test_the_list_shows_runs_that_have_not_succeeded(version, generator, admin, as_admin):
    as_admin.post("/reward-models/new/", form_data(version, generator, title="Waiting one"))
    assert "Waiting one" in as_admin.get("/reward-models/").content.decode()


def test_the_number_of_queries_of_the_list_does_not_grow(
    reward_model, version, generator, as_admin, django_assert_max_num_queries
):
    for number in range(5):
        as_admin.post("/reward-models/new/", form_data(version, generator, title=f"Run {number}"))
    with django_assert_max_num_queries(5):
        assert as_admin.get("/reward-models/").status_code == 200


def test_the_form_starts_a_run_and_goes_to_its_page(version, generator, admin, as_admin):
    answer = as_admin.post(
        "/reward-models/new/",
        form_data(version, generator, title="Judge", epochs="3", dimensions="helpfulness", **{"lora.rank": "8"}),
    )
    run = RewardModelRun.objects.get()
    assert answer.status_code == 302
    assert answer["Location"] == f"/runs/{run.pk}/"
    assert (run.title, run.created_by, run.config["epochs"], run.config["lora"]["rank"]) == ("Judge", admin, 3, 8)
    assert run.config["dimensions"] == ["helpfulness"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"dimensions": "truth"}, "has no dimension truth"),
        ({"learning_rate": "2"}, "less than or equal to 1"),
        ({"lora.rank": "0"}, "greater than or equal to 1"),
        ({"label_smoothing": "0.7"}, "less than 0.5"),
        ({"loss": "plackett_luce", "use_margin": "on"}, "choose bradley_terry"),
        ({"generator": ""}, "This field is required"),
    ],
)
def test_a_form_with_a_mistake_comes_back_filled_in(version, generator, as_admin, change, words):
    answer = as_admin.post("/reward-models/new/", {**form_data(version, generator, title="Keep me"), **change})
    page = answer.content.decode()
    assert answer.status_code == 422
    assert words in page
    assert 'value="Keep me"' in page
    assert not RewardModelRun.objects.exists()


def test_a_mistake_in_a_folded_setting_unfolds_it(version, generator, as_admin):
    page = as_admin.post("/reward-models/new/", form_data(version, generator, seed="-1")).content.decode()
    assert '<details class="advanced" open>' in page


def test_the_form_can_be_linked_to_with_a_dataset(version, generator, as_admin):
    page = as_admin.get(f"/reward-models/new/?dataset_version={version.pk}&generator=nonsense").content.decode()
    assert f'<option value="{version.pk}" selected>' in page


def test_every_setting_of_the_schema_is_on_the_form_with_its_help(generator, as_admin):
    from rewardmodel.training.config import RewardConfig

    page = as_admin.get("/reward-models/new/").content.decode()
    for name, field in RewardConfig.model_fields.items():
        if name != "lora":
            assert f'name="{name}"' in page
            assert field.description in page
    assert 'name="lora.rank"' in page


def test_a_generator_that_is_not_local_is_not_offered(version, generator, endpoint, as_admin):
    page = as_admin.get("/reward-models/new/").content.decode()
    assert "Tiny" in page
    assert "Far away" not in page


def test_the_detail_page_sets_accuracy_beside_the_baseline(reward_model, as_admin):
    page = as_admin.get(f"/reward-models/{reward_model.pk}/").content.decode()
    assert "71.2 % [55.0 %, 84.0 %]" in page
    assert "43.3 %" in page
    assert '<span class="badge good">better</span>' in page
    assert "80.0 % [60.0 %, 90.0 %] of the 15 prompts" in page
    assert "First v1" in page
    assert reward_model.artifact.sha256 in page
    assert "AutoModelForSequenceClassification.from_pretrained" in page


def test_the_detail_page_of_a_model_without_held_out_pairs_says_so(reward_model, as_admin):
    reward_model.metrics = {"dimensions": reward_model.dimensions, "accuracy": {}}
    reward_model.save()
    page = as_admin.get(f"/reward-models/{reward_model.pk}/").content.decode()
    assert "nothing is known of this model" in page


def test_a_title_is_shown_as_text(reward_model, as_admin):
    reward_model.name = "<script>alert(1)</script>"
    reward_model.save()
    for address in ("/reward-models/", f"/reward-models/{reward_model.pk}/"):
        assert "<script>alert" not in as_admin.get(address).content.decode()


def test_a_reward_model_that_is_not_there_is_not_found(as_admin):
    assert as_admin.get("/reward-models/999/").status_code == 404


def test_pages_need_no_inline_style_or_script(reward_model, as_admin):
    for page in PAGES:
        text = as_admin.get(page.format(pk=reward_model.pk)).content.decode()
        assert "style=" not in text
        assert "<script>" not in text and "onclick" not in text


def test_the_dashboard_has_a_panel(reward_model, as_admin):
    assert "Judge" in as_admin.get("/").content.decode()


def test_the_django_admin_shows_but_does_not_change(reward_model, as_admin):
    for model in ("rewardmodel", "rewardmodelrun"):
        assert as_admin.get(f"/admin/rewardmodel/{model}/").status_code == 200
        assert as_admin.get(f"/admin/rewardmodel/{model}/add/").status_code == 403


def test_the_model_card_is_shown_in_plain_words_and_can_be_downloaded(trained, as_admin, as_annotator):
    page = as_admin.get(f"/reward-models/{trained.pk}/").content.decode()
    assert "What it is for, and what not" in page
    assert "library_name" not in page
    listed = {file["path"]: file["sha256"] for file in trained.artifact.manifest["files"]}
    assert len(listed["README.md"]) == 64
    address = f"/api/v1/artifacts/{trained.artifact_id}/files/README.md"
    assert f'href="{address}"' in page
    text = b"".join(as_admin.get(address).streaming_content).decode()
    assert text.startswith('---\nlibrary_name: "transformers"\n')
    assert as_annotator.get(address).status_code == 403


def test_a_model_without_a_card_has_a_page(reward_model, as_admin):
    page = as_admin.get(f"/reward-models/{reward_model.pk}/")
    assert page.status_code == 200
    assert "Model card" not in page.content.decode()
