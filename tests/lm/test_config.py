import subprocess
import sys

import pytest
from pydantic import ValidationError

from lm.config import GenerationConfig, LoraSettings, Sampling


def test_sampling_refuses_what_no_sampler_can_do():
    for wrong in (
        {"temperature": -0.1},
        {"temperature": 2.1},
        {"temperature": float("nan")},
        {"top_p": 0.0},
        {"top_p": 1.01},
        {"top_k": -1},
        {"max_tokens": 0},
        {"max_tokens": 5000},
    ):
        with pytest.raises(ValidationError):
            Sampling.model_validate(wrong)


def test_an_unknown_key_is_an_error_and_not_a_silent_typo():
    with pytest.raises(ValidationError, match="temprature"):
        Sampling.model_validate({"temprature": 0.5})


def test_configurations_do_not_change():
    with pytest.raises(ValidationError):
        GenerationConfig().k = 3  # type: ignore[misc]


@pytest.mark.parametrize("model", [Sampling, LoraSettings, GenerationConfig])
def test_every_field_explains_itself(model):
    for name, field in model.model_fields.items():
        assert field.title, name
        assert field.description, name


def test_a_configuration_survives_json():
    config = GenerationConfig(k=2, sampling=Sampling(temperature=0.0, max_tokens=7), seed=3)
    assert GenerationConfig.model_validate_json(config.model_dump_json()) == config


@pytest.mark.parametrize("module", ["lm.config", "lm.checks", "lm.seeds", "lm.endpoint", "lm.generation"])
def test_torch_stays_out_of_the_modules_that_web_and_endpoint_runs_import(module):
    code = f"import sys, {module}; sys.exit(any(name in sys.modules for name in ('torch', 'transformers', 'peft')))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
