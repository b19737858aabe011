"""TRL's sides of benchmarks/policy_training.py: its own trainers and loops, stopped between steps and otherwise as is.

PPO left TRL after 1.12, so this module runs under a peer's interpreter too, and imports nothing of the platform.
Gradient checkpointing and bfloat16, which TRL has on unless told otherwise, are off: ours computes in float32 and keeps
its activations. Both made TRL slower or different.
"""

from __future__ import annotations

import re
import tempfile
from typing import Any

from benchmarks.sides import Turns, by_step, serve


def dpo(what: dict[str, Any], turns: Turns) -> None:
    """A turn is one step on all pairs of the rankings, the reference within, as is its default. Gives the loss."""
    from datasets import Dataset
    from peft import set_peft_model_state_dict
    from safetensors.torch import load_file
    from trl import DPOConfig, DPOTrainer

    rows = [
        {"prompt_ids": prompt, "chosen_ids": responses[i], "rejected_ids": responses[j]}
        for prompt, responses in what["comparisons"]
        for i in range(len(responses))
        for j in range(i + 1, len(responses))
    ]
    size = what["rows_per_forward"] // 2
    assert len(rows) % size == 0
    trainer = DPOTrainer(
        model=_model(what),
        args=DPOConfig(
            **_arguments(what),
            per_device_train_batch_size=size,
            gradient_accumulation_steps=len(rows) // size,
            beta=0.1,
            max_length=None,
        ),
        train_dataset=Dataset.from_list([{"prompt": "?", "chosen": "1", "rejected": "2"}]),
        processing_class=_tokenizer(what),
        peft_config=_lora(what),
        callbacks=[by_step(turns)],
    )
    if what["method"] == "lora":  # its random half as in ours, so that the losses can be compared
        set_peft_model_state_dict(trainer.model, load_file(what["start"]))
    trainer.train_dataset = Dataset.from_list(rows)  # in the form that its preparation of texts ends with
    trainer.train()


def grpo(what: dict[str, Any], turns: Turns) -> None:
    """A turn is one step, sampling included. Gives how many tokens the responses have."""
    from datasets import Dataset
    from trl import GRPOConfig, GRPOTrainer

    class Timed(GRPOTrainer):
        def _generate_single_turn(self, *args: Any, **kwargs: Any) -> Any:
            with turns.phase("sample"):
                return super()._generate_single_turn(*args, **kwargs)

        def _get_per_token_logps_and_entropies(self, *args: Any, **kwargs: Any) -> Any:
            import torch

            if torch.is_grad_enabled():
                return super()._get_per_token_logps_and_entropies(*args, **kwargs)
            with turns.phase("reference"):
                return super()._get_per_token_logps_and_entropies(*args, **kwargs)

    lengths: list[int] = []

    def reward(completions: list[str], completion_ids: list[list[int]], **kwargs: Any) -> list[float]:
        lengths.extend(map(len, completion_ids))
        return [float(bool(re.search(what["pattern"], text))) for text in completions]

    responses = len(what["prompts"]) * what["k"]
    size = what["rows_per_forward"]
    trainer = Timed(
        model=_model(what),
        reward_funcs=[reward],
        args=GRPOConfig(
            **_arguments(what),
            per_device_train_batch_size=size,
            gradient_accumulation_steps=responses // size,
            num_generations=what["k"],
            max_completion_length=what["response"],
            temperature=1.0,
            beta=0.05,
        ),
        train_dataset=Dataset.from_list([{"prompt": text} for text in what["prompts"]]),
        processing_class=_tokenizer(what),
        peft_config=_lora(what),
        callbacks=[by_step(turns, lambda: sum(lengths), lengths.clear)],
    )
    trainer.train()


def ppo(what: dict[str, Any], turns: Turns) -> None:
    """A turn is one step of sampling, scoring and all its epochs. Gives how many tokens the responses have.

    TRL's documentation wraps the policy alone in an adapter and trains the whole value model. Here the value model gets
    the same adapter, as ours has it.
    """
    import torch
    from datasets import Dataset
    from peft import inject_adapter_in_model
    from transformers import LlamaForSequenceClassification, TrainerCallback
    from trl.experimental.ppo import PPOConfig, PPOTrainer, ppo_trainer

    tokenizer = _tokenizer(what)
    responses = len(what["ids"]) * what["k"]
    size = responses // what["minibatches"]

    class ByStep(TrainerCallback):
        def on_train_begin(self, *args: Any, **kwargs: Any) -> None:
            turns.wait()

        def on_step_end(self, *args: Any, **kwargs: Any) -> None:
            turns.give({"tokens": responses * what["response"]})
            turns.wait()

    def timed(*args: Any, **kwargs: Any) -> Any:
        with turns.phase("sample"):
            return generate(*args, **kwargs)

    generate, ppo_trainer.batch_generation = ppo_trainer.batch_generation, timed
    lora = _lora(what)
    reward, value = (
        LlamaForSequenceClassification.from_pretrained(what["model"], num_labels=1, dtype=torch.float32)
        for _ in range(2)
    )
    value = inject_adapter_in_model(lora, value)
    value.score.requires_grad_(True)
    arguments = {key: found for key, found in _arguments(what).items() if key != "max_steps"}
    trainer = PPOTrainer(
        args=PPOConfig(
            **arguments,
            per_device_train_batch_size=size,
            gradient_accumulation_steps=what["minibatches"],
            num_mini_batches=what["minibatches"],
            num_ppo_epochs=what["epochs"],
            total_episodes=1000 * responses,
            response_length=what["response"],
            temperature=1.0,
            kl_coef=0.05,
            num_sample_generations=0,
        ),
        processing_class=tokenizer,
        model=_model(what),
        ref_model=None,
        reward_model=reward,
        value_model=value,
        train_dataset=Dataset.from_list([{"input_ids": ids} for ids in what["ids"] for _ in range(what["k"])]),
        peft_config=lora,
        callbacks=[ByStep()],
    )
    trainer.train()


def _arguments(what: dict[str, Any]) -> dict[str, Any]:
    return {
        "output_dir": tempfile.mkdtemp(dir=what["folder"]),
        "max_steps": 1000,
        "learning_rate": what["learning_rate"],
        "lr_scheduler_type": "constant",
        "weight_decay": 0.0,
        "max_grad_norm": 1.0,
        "gradient_checkpointing": False,
        "bf16": False,
        "use_cpu": True,
        "dataloader_pin_memory": False,
        "save_strategy": "no",
        "logging_steps": 1,
        "disable_tqdm": True,
        "report_to": [],
    }


def _model(what: dict[str, Any]) -> Any:
    import torch
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(what["model"], dtype=torch.float32)


def _tokenizer(what: dict[str, Any]) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(what["model"])


def _lora(what: dict[str, Any]) -> Any:
    from peft import LoraConfig

    if what["method"] == "full":
        return None
    return LoraConfig(task_type="CAUSAL_LM", target_modules="all-linear", **what["lora"])


if __name__ == "__main__":
    serve({"dpo": dpo, "grpo": grpo, "ppo": ppo})
