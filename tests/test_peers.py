"""What we export is read, unchanged, by the trainers that people use: TRL's RewardTrainer and DPOTrainer."""

import math

import pytest

from annotate.datasets.build import Record, write_dataset
from annotate.datasets.config import DatasetConfig
from tests.tiny import tiny_model

QUIET = {"max_steps": 1, "per_device_train_batch_size": 2, "report_to": [], "use_cpu": True, "bf16": False}


@pytest.fixture
def pairs(tmp_path):
    """pairs.jsonl of a dataset version, loaded the way its card says."""
    from datasets import load_dataset

    records = [
        Record(
            comparison=str(number),
            prompt=[{"role": "user", "content": f"问题 {number}?"}],
            responses=[{"id": f"{number}-{i}", "text": f"answer {i}", "generator": "g"} for i in range(3)],
            rankings={
                "helpfulness": [{"ranks": [1, 2, 3], "weight": 1.0, "annotator": "a1", "strengths": [2, None, None]}]
            },
            sources=("human",),
        )
        for number in range(4)
    ]
    write_dataset(tmp_path, records, DatasetConfig(test_fraction=0.0), name="Peers", dimensions=["helpfulness"])
    loaded = load_dataset("json", data_files=str(tmp_path / "pairs.jsonl"), split="train", cache_dir=str(tmp_path))
    assert len(loaded) == 12
    return loaded


@pytest.fixture
def model(tmp_path):
    return tiny_model(tmp_path / "model")


def test_trl_trains_a_reward_model_on_an_export(pairs, model, tmp_path):
    from transformers import AutoModelForSequenceClassification, AutoTokenizer
    from trl import RewardConfig, RewardTrainer

    trainer = RewardTrainer(
        model=AutoModelForSequenceClassification.from_pretrained(model, num_labels=1),
        args=RewardConfig(output_dir=str(tmp_path / "reward"), **QUIET),
        train_dataset=pairs,
        processing_class=AutoTokenizer.from_pretrained(model),
    )
    result = trainer.train()
    assert result.global_step == 1
    assert math.isfinite(result.training_loss)
    assert len(trainer.train_dataset) == 12


def test_trl_trains_a_policy_on_an_export(pairs, model, tmp_path):
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from trl import DPOConfig, DPOTrainer

    trainer = DPOTrainer(
        model=AutoModelForCausalLM.from_pretrained(model),
        args=DPOConfig(output_dir=str(tmp_path / "policy"), **QUIET),
        train_dataset=pairs,
        processing_class=AutoTokenizer.from_pretrained(model),
    )
    result = trainer.train()
    assert result.global_step == 1
    # Before its first update a policy is its own reference: the loss is log 2 exactly.
    assert result.training_loss == pytest.approx(math.log(2), abs=1e-6)
