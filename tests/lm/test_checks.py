import json
import shutil
from pathlib import Path

import pytest

from lm.adapters import add_lora
from lm.checks import check_adapter, check_model
from lm.config import LoraSettings
from lm.loading import save_model


@pytest.fixture
def copy(tiny: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny, tmp_path / "model"))


@pytest.mark.parametrize("name", ["smollm2-135m-instruct", "HuggingFaceTB/SmolLM2-360M-Instruct", "org_1/a.b-c"])
def test_aliases_and_hub_ids_pass(name):
    check_model(name)


@pytest.mark.parametrize("name", ["", "  ", "smollm3", "a/b/c", "owner/", "/owner", "owner/na me", "../x", "own--er/x"])
def test_what_is_neither_alias_nor_hub_id_nor_directory_is_refused(name):
    with pytest.raises(ValueError, match=r"model|directory"):
        check_model(name)


def test_a_model_directory_passes_by_path_and_by_its_name_in_the_models_folder(copy):
    check_model(str(copy))
    check_model("model", copy.parent)


def test_a_missing_directory_is_named(tmp_path):
    with pytest.raises(ValueError, match="There is no directory"):
        check_model(str(tmp_path / "nothing"))


def test_a_directory_without_config_is_not_a_model(copy):
    (copy / "config.json").unlink()
    with pytest.raises(ValueError, match="config.json"):
        check_model(str(copy))


def test_a_config_that_is_no_json_object_is_refused(copy):
    for text in ("{", "[]", "{}"):
        (copy / "config.json").write_text(text)
        with pytest.raises(ValueError, match="config.json"):
            check_model(str(copy))


def test_weights_cut_short_are_found_without_loading_them(copy):
    weights = copy / "model.safetensors"
    whole = weights.read_bytes()
    for part in (b"", whole[:5], whole[:100], whole[:-1]):
        weights.write_bytes(part)
        with pytest.raises(ValueError, match=r"model\.safetensors"):
            check_model(str(copy))


def test_pickled_weights_are_refused_in_words(copy):
    (copy / "model.safetensors").rename(copy / "pytorch_model.bin")
    with pytest.raises(ValueError, match="pickle"):
        check_model(str(copy))


def test_every_shard_of_an_index_must_be_there(copy):
    (copy / "model.safetensors").rename(copy / "model-00001-of-00002.safetensors")
    index = {"weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}}
    (copy / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(ValueError, match="00002-of-00002"):
        check_model(str(copy))


def test_an_index_cannot_point_outside_its_directory(copy):
    index = {"weight_map": {"a": "../elsewhere.safetensors"}}
    (copy / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(ValueError, match="outside"):
        check_model(str(copy))


def test_an_adapter_is_an_adapter_and_no_model(policy, tmp_path):
    model, chat = policy
    save_model(add_lora(model, LoraSettings(rank=2)), chat, tmp_path / "adapter")
    check_adapter(tmp_path / "adapter")
    with pytest.raises(ValueError, match="adapter, not a model"):
        check_model(str(tmp_path / "adapter"))


def test_a_model_is_no_adapter(copy):
    with pytest.raises(ValueError, match=r"adapter_config\.json"):
        check_adapter(copy)
