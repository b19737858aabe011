"""The policy card: what a stranger must know before using a policy. Pure: figures in, Markdown out."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lm.cards import code, estimate, fenced, figure, front_matter, hub_name, plain, settings_table, table

NAMES = {
    "sft": "supervised fine-tuning",
    "dpo": "direct preference optimisation (DPO)",
    "kto": "Kahneman-Tversky optimisation (KTO)",
    "ppo": "proximal policy optimisation (PPO)",
    "grpo": "group-relative policy optimisation (GRPO)",
    "rloo": "REINFORCE leave-one-out (RLOO)",
    "reinforce": "REINFORCE++",
    "best_of_n": "rejection sampling (best of n)",
}
SAMPLES_SHOWN = 3
# Below so many prompts an interval says more about the prompts than about the policy.
FEW_PROMPTS = 30
HELD_OUT = (
    ("test_reward", "Reward", False),
    ("test_watched_reward", "Reward of the model that was not trained on", False),
    ("test_reward_bound", "Lower bound of the ensemble", False),
    ("test_kl", "KL from the reference (k1, nats per response)", False),
    ("test_response_tokens", "Tokens per response", False),
    ("test_eos_rate", "Responses that end by themselves", True),
    ("test_repetition", "Repeated 4-grams", True),
)


def card(policy: Mapping[str, Any], result: Mapping[str, Any], *, samples: Sequence[Mapping[str, Any]] = ()) -> str:
    """README.md of a policy's directory.

    policy: what policy.json says, with "title" and "lineage" where they are known. result: what result.json says.
    samples: the last answers to the prompts that were shown during training.
    """
    config = policy["config"]
    adapter = policy["method"] == "lora"
    lines = front_matter(
        {
            "library_name": "peft" if adapter else "transformers",
            "base_model": hub_name(str(policy["base_model"])),
            "pipeline_tag": "text-generation",
            "tags": ["plumbline", "rlhf", str(policy["algorithm"]), *(["lora"] if adapter else [])],
        }
    )
    lines += [f"# {plain(policy.get('title') or 'Policy')}", ""]
    lines += [
        f"{code(policy['base_model'])} trained by {NAMES.get(policy['algorithm'], plain(policy['algorithm']))}, "
        + _trained(policy["method"], config)
        + f". These are the weights of step {policy.get('step', '–')} of {result.get('steps', '–')}.",
        "",
    ]
    lines += ["## How it does", "", *_held_out(result), *_alarms(result)]
    lines += ["## What it was made from", "", *_lineage(policy)]
    lines += _samples(samples)
    lines += ["## How to load it", "", *_loading(policy, adapter)]
    lines += ["## Limits", "", *(f"- {limit}" for limit in limits(config, result)), ""]
    lines += ["## Settings", "", *settings_table(config)]
    versions = ", ".join(f"{name} {number}" for name, number in policy.get("versions", {}).items())
    return "\n".join([*lines, f"Made with {plain(versions)}." if versions else ""]).rstrip() + "\n"


def _trained(method: str, config: Mapping[str, Any]) -> str:
    if method == "full":
        return "all of its weights"
    rank = f" of rank {config['lora']['rank']}" if "lora" in config else ""
    return f"as a LoRA adapter{rank}" + (", which is folded into the weights" if method == "merged" else "")


def last_samples(events: Path) -> list[dict[str, Any]]:
    """The samples of the last step that events.jsonl shows any of; a line that is torn is passed over."""
    found: list[tuple[int, dict[str, Any]]] = []
    if not events.exists():
        return []
    with events.open(encoding="utf-8", errors="replace") as file:
        for line in file:
            try:
                event = json.loads(line)
                if event["type"] == "sample" and isinstance(event["step"], int):
                    found.append((event["step"], event["data"]))
            except (ValueError, KeyError, TypeError):
                continue
    last = found[-1][0] if found else None
    distinct = {data.get("prompt_id"): data for step, data in found if step == last}
    return list(distinct.values())[:SAMPLES_SHOWN]


def limits(config: Mapping[str, Any], result: Mapping[str, Any]) -> list[str]:
    """What the figures themselves say against trusting the policy further than it was measured."""
    found = []
    measured = result.get("held_out")
    gain = (measured or {}).get("gain")
    if gain:
        if gain["low"] <= 0 <= gain["high"]:
            found.append("The gain in reward on held-out prompts cannot be told from nothing: its interval includes 0.")
        elif gain["high"] < 0:
            found.append("On held-out prompts it earns less reward than what it started from.")
        if gain["prompts"] < FEW_PROMPTS:
            found.append(f"It was measured on {gain['prompts']} held-out prompts only; more would narrow the interval.")
        if config.get("save") == "best":
            found.append("The step was chosen by the held-out reward, so that figure flatters a little.")
    elif "held_out" in result:
        found.append("Nothing was measured on prompts kept out of training.")
    if "test" in result:
        found += _offline_limits(result["test"])
    if measured:
        ended = measured["figures"].get("test_eos_rate", [None, None])[1]
        if ended is not None and ended < 0.9:
            found.append(
                f"{figure(1 - ended, percent=True)} of its responses did not end within "
                f"{config.get('max_response_tokens')} tokens."
            )
        found.append(
            f"It stands {figure(measured['kl']['value'])} nats per response from its reference; what the reward does "
            "not measure may have moved with it."
        )
    if result.get("alarms"):
        found.append("Alarms were raised in training; see above.")
    if result.get("prompts_cut"):
        found.append(f"{result['prompts_cut']} prompts were too long and lost their oldest turns.")
    found.append("A reward stands for the people who judged, on prompts like theirs. Safety was not evaluated here.")
    return found


def _offline_limits(test: Mapping[str, Any] | None) -> list[str]:
    if not test:
        return ["The dataset held nothing out, so nothing was measured."]
    accuracy = test.get("accuracy")
    if accuracy and accuracy["low"] <= 0.5 <= accuracy["high"]:
        return ["On held-out preferences it cannot be told from guessing: the interval includes one half."]
    return []


def _held_out(result: Mapping[str, Any]) -> list[str]:
    measured = result.get("held_out")
    if measured:
        rows = [["Reward, with interval", estimate(measured["before"]), estimate(measured["after"])]]
        for name, label, percent in HELD_OUT:
            if name in measured["figures"]:
                before, after = measured["figures"][name]
                rows.append([label, figure(before, percent=percent), figure(after, percent=percent)])
        gain = measured.get("gain")
        return [
            "On prompts kept out of training, before and after:",
            "",
            *table(["figure", "before", "after"], rows),
            f"Gain in reward by prompt: {estimate(gain)}"
            + (f" over {gain['prompts']} prompts" if gain else "")
            + f", at a KL of {estimate(measured['kl'])} nats per response. Intervals are 95 %, by prompt.",
            "",
        ]
    test = result.get("test")
    if test:
        rows = []
        if test.get("accuracy"):
            rows.append(["accuracy", estimate(test["accuracy"], percent=True)])
        rows += [[code(name), figure(value)] for name, value in sorted(test.items()) if name != "accuracy"]
        return ["On preferences kept out of training (docs/metrics.md explains each):", "",
                *table(["figure", "value"], rows)]  # fmt: skip
    return ["Nothing was kept out of training to measure on.", ""]


def _alarms(result: Mapping[str, Any]) -> list[str]:
    said = [f"- Step {alarm['step']}: {plain(alarm['message'])}" for alarm in result.get("alarms") or ()]
    if result.get("stopped"):
        said.append(f"- {plain(result['stopped'])}")
    if not said:
        return ["No alarm was raised in training.", ""] if "alarms" in result else []
    return ["Alarms in training:", "", *said, ""]


def _lineage(policy: Mapping[str, Any]) -> list[str]:
    lineage = policy.get("lineage") or {}
    start = lineage.get("start") or {}
    rows = [["start", code(start.get("generator") or policy["base_model"]), code(start.get("adapter_sha256") or "")]]
    dataset = lineage.get("dataset")
    if dataset:
        rows.append(["dataset", code(dataset["name"]), code(dataset["sha256"])])
    elif policy.get("dataset_sha256"):
        rows.append(["dataset", "–", code(policy["dataset_sha256"])])
    rows += [["reward model", code(each["name"]), code(each["sha256"])] for each in lineage.get("reward_models") or ()]
    if lineage.get("project"):
        rows.append(["prompts", code(lineage["project"]), "–"])
    weighed = zip(policy.get("dimensions") or (), policy.get("reward_weights") or (), strict=False)
    named = ", ".join(f"{plain(name)} × {figure(weight)}" for name, weight in weighed)
    return [*table(["what", "name", "sha256"], rows), *([f"The reward: {named}.", ""] if named else [])]


def _samples(samples: Sequence[Mapping[str, Any]]) -> list[str]:
    lines = (
        ["## Samples", "", "Its last answers to the prompts that were shown during training.", ""] if samples else []
    )
    for sample in samples:
        reward = sample.get("reward")
        lines += [f"Prompt{'' if reward is None else f' (reward of the answer: {figure(reward)})'}:", ""]
        lines += [*fenced(str(sample.get("prompt", ""))), *fenced(str(sample.get("response", "")))]
    return lines


def _loading(policy: Mapping[str, Any], adapter: bool) -> list[str]:
    if adapter:
        base = str(policy["base_model"])
        packaged = "/" not in base  # a name of Plumbline's own for weights that come in a package
        load = [
            *(["from lm.loading import resolve_model  # of Plumbline: it knows where the base is"] if packaged else []),
            "from peft import PeftModel",
            "from transformers import AutoModelForCausalLM, AutoTokenizer",
            "",
            'directory = "."  # where this file is',
            f"base = {f'resolve_model({base!r})' if packaged else repr(base)}",
            "model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), directory)",
        ]
    else:
        load = [
            "from transformers import AutoModelForCausalLM, AutoTokenizer",
            "",
            'directory = "."  # where this file is',
            "model = AutoModelForCausalLM.from_pretrained(directory)",
        ]
    use = [
        "tokenizer = AutoTokenizer.from_pretrained(directory)",
        "inputs = tokenizer.apply_chat_template(",
        '    [{"role": "user", "content": "Why is the sky blue?"}],',
        '    add_generation_prompt=True, return_tensors="pt", return_dict=True,',
        ")",
        "output = model.generate(**inputs, max_new_tokens=64)",
        'print(tokenizer.decode(output[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True))',
    ]
    return fenced("\n".join([*load, *use]), "python")
