import subprocess
import sys

import pytest
from pydantic import ValidationError

from rl.training.config import ALGORITHMS, DPOConfig, EvaluationConfig, PPOConfig, policy_config, run_config


def test_algorithm_decides_which_settings_there_are():
    assert isinstance(policy_config.validate_python({"algorithm": "dpo"}), DPOConfig)
    assert isinstance(policy_config.validate_python({"algorithm": "ppo", "steps": 3}), PPOConfig)
    assert isinstance(run_config.validate_python({"algorithm": "evaluate"}), EvaluationConfig)


def test_a_setting_of_another_algorithm_is_refused_and_not_ignored():
    with pytest.raises(ValidationError, match="kl_coef"):
        policy_config.validate_python({"algorithm": "dpo", "kl_coef": 0.1})


@pytest.mark.parametrize(
    "wrong",
    [
        {"algorithm": "sarsa"},
        {"algorithm": "dpo", "beta": 0},
        {"algorithm": "dpo", "beta": float("nan")},
        {"algorithm": "dpo", "learning_rate": -1e-5},
        {"algorithm": "dpo", "loss": "hinge", "label_smoothing": 0.1},
        {"algorithm": "dpo", "loss": "ipo", "margin_scale": 1.0},
        {"algorithm": "dpo", "dimension_weights": {"helpfulness": 0}},
        {"algorithm": "dpo", "dimension_weights": {"helpfulness": -1}},
        {"algorithm": "ppo", "temperature": 0},
        {"algorithm": "ppo", "prompts_per_step": 2, "minibatches": 4},
        {"algorithm": "ppo", "lora": {"dropout": 0.1}},
        {"algorithm": "ppo", "steps": 0},
        {"algorithm": "dpo", "loss": "robust"},
        {"algorithm": "dpo", "loss": "simpo", "label_smoothing": 0.1},
        {"algorithm": "kto", "comparisons_per_step": 1},
        {"algorithm": "grpo", "samples_per_prompt": 1},
        {"algorithm": "grpo", "kl_estimator": "k1"},
        {"algorithm": "rloo", "samples_per_prompt": 1},
        {"algorithm": "reinforce", "samples_per_prompt": 1, "group_baseline": True},
        {"algorithm": "best_of_n", "samples_per_prompt": 4, "keep": 4},
        {"algorithm": "best_of_n", "kl_coef": 0.1},
        {"algorithm": "grpo", "reward_model_weight": 0},
        {"algorithm": "grpo", "checks": [{"kind": "pattern", "pattern": "(("}]},
    ],
)
def test_impossible_settings_are_refused(wrong):
    with pytest.raises(ValidationError):
        policy_config.validate_python(wrong)


@pytest.mark.parametrize("model", [*ALGORITHMS.values(), EvaluationConfig])
def test_every_setting_explains_itself(model):
    for name, field in model.model_fields.items():
        assert field.title and field.description, name
        assert field.description.endswith("."), name


@pytest.mark.parametrize("model", [*ALGORITHMS.values(), EvaluationConfig])
def test_settings_survive_json(model):
    config = model()
    assert run_config.validate_json(config.model_dump_json()) == config


def test_the_schema_is_read_without_torch():
    code = (
        "import sys, rl.training.config; sys.exit(any(m in sys.modules for m in ('torch', 'django', 'transformers')))"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
