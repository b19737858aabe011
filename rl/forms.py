"""Starting policy runs and evaluations from a page."""

from __future__ import annotations

import json
from typing import Any, ClassVar

from django import forms
from django.core.exceptions import ValidationError

from annotate.datasets.forms import DatasetVersionField
from annotate.models import Generator, Project
from rewardmodel.models import RewardModel
from rl.training.config import (
    BestOfNConfig,
    DPOConfig,
    EvaluationConfig,
    GRPOConfig,
    KTOConfig,
    OnlineSettings,
    PolicySettings,
    PPOConfig,
    ReinforceConfig,
    RLOOConfig,
    SFTConfig,
)
from runs.schema import ConfigForm


class WeightsField(forms.CharField):
    """Weights by name, as people write them: `helpfulness 1, harmlessness 2`."""

    def prepare_value(self, value: Any) -> Any:
        return ", ".join(f"{name} {weight:g}" for name, weight in value.items()) if isinstance(value, dict) else value

    def to_python(self, value: Any) -> dict[str, float]:
        weights: dict[str, float] = {}
        for part in str(value or "").split(","):
            if not part.strip():
                continue
            name, _, weight = part.replace("=", " ").replace(":", " ").strip().rpartition(" ")
            try:
                weights[name.strip()] = float(weight)
            except ValueError:
                raise ValidationError(f"“{part.strip()}” is not a dimension and its weight.", code="invalid") from None
            if not name.strip():
                raise ValidationError(f"“{part.strip()}” is a weight without its dimension.", code="invalid")
        return weights


class ChecksField(forms.CharField):
    """A list of checks, written as JSON."""

    widget = forms.Textarea(attrs={"rows": 4, "class": "mono", "spellcheck": "false"})

    def prepare_value(self, value: Any) -> Any:
        return json.dumps(list(value), ensure_ascii=False) if isinstance(value, list | tuple) else value

    def to_python(self, value: Any) -> list[Any]:
        if not str(value or "").strip():
            return []
        try:
            found = json.loads(value)
        except (ValueError, RecursionError) as error:
            raise ValidationError(f"The checks are not JSON: {error}.", code="invalid") from None
        if not isinstance(found, list):
            raise ValidationError("The checks are a list, such as [{…}, {…}].", code="invalid")
        return found


def _weights_field(model: type[PolicySettings] | type[EvaluationConfig]) -> WeightsField:
    info = model.model_fields["dimension_weights"]
    return WeightsField(
        label=info.title, help_text=f"{info.description} Write: helpfulness 1, harmlessness 2.", required=False
    )


def _local() -> forms.ModelChoiceField:
    return forms.ModelChoiceField(
        Generator.objects.filter(kind=Generator.Kind.LOCAL),
        label="Start from",
        help_text="The local model that becomes the policy; as it is now, it is also the reference.",
    )


MEASURING = (
    *("evaluate_every", "held_out_prompts", "best_of_n_samples", "save", "sample_every", "sample_prompts"),
    *("sampling.", "kl_limit", "length_limit", "repetition_limit", "on_alarm"),
)
MACHINE = (
    *("max_prompt_tokens", "max_response_tokens", "rows", "batch_tokens", "dtype", "processes"),
    *("checkpoint_every", "seed"),
)
OFFLINE_GROUPS: dict[str, tuple[str, ...]] = {
    "Preferences": (
        *("dimension_weights", "label_smoothing", "soft_labels", "margin_scale", "target_gap", "sft_weight"),
        *("desirable_weight", "undesirable_weight", "comparisons_per_step"),
    ),
    "Update": ("schedule", "warmup_ratio", "weight_decay", "max_grad_norm"),
    "Measuring and samples": MEASURING,
    "LoRA": ("lora.",),
    "Lengths and machine": MACHINE,
}
ONLINE_GROUPS: dict[str, tuple[str, ...]] = {
    "Reward": (
        *("dimension_weights", "reward_model_weight", "more_reward_weight", "ensemble_penalty", "gate_dimension"),
        *("gate_threshold", "length_penalty", "free_tokens", "eos_penalty", "reward_scaling", "reward_clip"),
    ),
    "Update": (
        *("epochs", "minibatches", "normalise", "ratio_clip", "kl_coef", "kl_estimator", "kl_control", "kl_target"),
        *("kl_horizon", "gamma", "lam", "value_clip", "vf_coef", "critic", "whiten_advantages", "ptx_coef"),
        *("schedule", "warmup_ratio", "weight_decay", "max_grad_norm", "standardise", "keep", "threshold"),
    ),
    "Measuring, samples and alarms": MEASURING,
    "LoRA": ("lora.",),
    "Lengths and machine": MACHINE,
}

# One of each kind of check, to start from: what it rewards, and how it is written.
CHECK_EXAMPLES: tuple[tuple[str, str], ...] = (
    ("The last number of the response is the answer in the prompt's metadata.", '[{"kind": "number"}]'),
    ("The response is that answer and nothing else.", '[{"kind": "exact"}]'),
    (
        "It ends with a line such as “Answer: 42”; the part in brackets must be this.",
        r'[{"kind": "pattern", "pattern": "Answer: (\\w+)", "answer": "42"}]',
    ),
    ("It thanks, and never says sorry.", '[{"kind": "words", "any_of": ["thank"], "none_of": ["sorry"]}]'),
    ("It has 20 to 80 words.", '[{"kind": "length", "min_words": 20, "max_words": 80}]'),
    (
        "It is JSON with a name and a price above 0.",
        '[{"kind": "json", "expects": [{"at": "name", "type": "string"}, {"at": "price", "least": 0.01}]}]',
    ),
    (
        "The right number counts fully, being short a quarter.",
        '[{"kind": "number", "weight": 1}, {"kind": "length", "max_words": 60, "weight": 0.25}]',
    ),
    (
        "Several cases: the reward is the share that passes.",
        '[{"kind": "share", "of": [{"kind": "words", "all_of": ["red"]}, {"kind": "words", "all_of": ["blue"]}]}]',
    ),
)


class PolicyRunForm(ConfigForm):
    """What the forms of all algorithms share. `intro` says what the algorithm does, `choose` when to take it."""

    left_out = ("algorithm",)
    intro: ClassVar[str] = ""
    choose: ClassVar[str] = ""

    title = forms.CharField(
        max_length=200, required=False, help_text="What the policy will be called. Empty: after what it learns from."
    )
    dimension_weights = _weights_field(PolicySettings)

    def add_service_errors(self, error: ValidationError) -> None:
        """Faults inside a check stand beside the checks."""
        if hasattr(error, "error_dict") and "checks" in self.fields:
            inner = [name for name in error.error_dict if name.startswith("checks.")]
            found = {name: texts for name, texts in error.message_dict.items() if name not in inner}
            messages = [f"{name.rpartition('.')[2]}: {text}" for name in inner for text in error.message_dict[name]]
            error = ValidationError({**found, **({"checks": messages} if messages else {})})
        super().add_service_errors(error)


class OfflineRunForm(PolicyRunForm):
    groups = OFFLINE_GROUPS

    dataset_version = DatasetVersionField(
        label="Dataset version",
        help_text="Training uses its train split; what was learnt is measured on its test split.",
    )
    generator = _local()


class SFTRunForm(OfflineRunForm):
    config_model = SFTConfig
    basic = ("responses", "learning_rate", "epochs", "comparisons_per_step", "method")
    intro = "The best responses, and those that annotators wrote, become likelier."
    choose = (
        "Imitates what people preferred or corrected. A good start before any of the others, where the model does not "
        "yet answer in the wanted way."
    )


class DPORunForm(OfflineRunForm):
    config_model = DPOConfig
    basic = ("loss", "beta", "learning_rate", "epochs", "comparisons_per_step", "method")
    intro = (
        "Every ranked response is read by policy and reference; the gap between preferred and other responses is "
        "widened."
    )
    choose = (
        "Learns from the rankings themselves: preferred responses become likelier than the others. One pass over the "
        "dataset, no sampling, hard to get wrong. Begin here. cDPO, rDPO, IPO, hinge, SimPO and ORPO are its losses."
    )


class KTORunForm(OfflineRunForm):
    config_model = KTOConfig
    basic = ("beta", "desirable_weight", "undesirable_weight", "learning_rate", "epochs", "method")
    intro = "Each response is desirable or not by itself; the policy gains what a person would feel as a gain."
    choose = "Needs no pairs: every response counts for itself. For noisy or one-sided judgements."


class OnlineRunForm(PolicyRunForm):
    groups = ONLINE_GROUPS
    basic = (
        "steps",
        "prompts_per_step",
        "samples_per_prompt",
        "max_response_tokens",
        "temperature",
        "learning_rate",
        "checks",
        "method",
    )

    reward_model = forms.ModelChoiceField(
        RewardModel.objects.all(),
        label="Reward model",
        required=False,
        help_text="What scores the policy's responses. Empty: only the checks do.",
    )
    more_reward_models = forms.ModelMultipleChoiceField(
        RewardModel.objects.all(),
        label="Further reward models",
        required=False,
        help_text="Their rewards are added to the first's.",
    )
    watched_reward_model = forms.ModelChoiceField(
        RewardModel.objects.all(),
        label="Watched reward model",
        required=False,
        help_text="Never trained on. If it falls while the reward rises, the reward is being deceived.",
    )
    generator = _local()
    dataset_version = DatasetVersionField(
        label="Prompts of a dataset",
        required=False,
        help_text="Its train split. Empty, and no project chosen: the dataset that the reward model was trained on.",
    )
    project = forms.ModelChoiceField(
        Project.objects.all(),
        label="Prompts of a project",
        required=False,
        help_text="All its prompts except those held out for measuring. Checks compare with the answer in a prompt's "
        "metadata.",
    )
    check_examples = CHECK_EXAMPLES

    checks = ChecksField(
        label=OnlineSettings.model_fields["checks"].title,
        required=False,
        help_text=f"{OnlineSettings.model_fields['checks'].description} A list, as in the examples below the form.",
    )


class PPORunForm(OnlineRunForm):
    config_model = PPOConfig
    basic = (*OnlineRunForm.basic, "kl_coef")
    intro = "Each step samples responses, scores them, and updates policy and critic."
    choose = (
        "The method of InstructGPT. A critic foresees the reward of every token. Patient and exact, but with the most "
        "to set: watch KL, length and the critic's explained variance."
    )


class GRPORunForm(OnlineRunForm):
    config_model = GRPOConfig
    basic = (*OnlineRunForm.basic, "kl_coef", "standardise", "normalise")
    intro = "Each step samples a group of responses to every prompt; better than the group becomes likelier."
    choose = "No critic: a response is measured against the others to its prompt. Good with checks, right or wrong."


class RLOORunForm(OnlineRunForm):
    config_model = RLOOConfig
    basic = (*OnlineRunForm.basic, "kl_coef")
    intro = "Each step samples a few responses to every prompt; each is measured against the mean of the others."
    choose = "The plainest of them: REINFORCE with the other responses as its baseline. Few settings, unbiased."


class ReinforceRunForm(OnlineRunForm):
    config_model = ReinforceConfig
    basic = (*OnlineRunForm.basic, "kl_coef", "group_baseline")
    intro = "Each step samples responses; their rewards are normalised over the whole step."
    choose = "No critic and no groups: one response to each of many prompts does."


class BestOfNRunForm(OnlineRunForm):
    config_model = BestOfNConfig
    basic = (*OnlineRunForm.basic, "keep", "threshold")
    intro = "Each step samples n responses to every prompt, keeps the best, and fine-tunes on those."
    choose = (
        "Sample, score, keep, imitate: rejection sampling. With a threshold it is ReST, with checks expert iteration. "
        "Never unstable, and slower to learn."
    )


POLICY_FORMS: dict[str, type[PolicyRunForm]] = {
    "sft": SFTRunForm,
    "dpo": DPORunForm,
    "kto": KTORunForm,
    "ppo": PPORunForm,
    "grpo": GRPORunForm,
    "rloo": RLOORunForm,
    "reinforce": ReinforceRunForm,
    "best_of_n": BestOfNRunForm,
}


class EvaluationRunForm(ConfigForm):
    config_model = EvaluationConfig
    basic = ("prompts",)
    left_out = ("algorithm",)

    title = forms.CharField(max_length=200, required=False, help_text="Empty: after policy and reference.")
    project = forms.ModelChoiceField(Project.objects.all(), help_text="Whose prompts were answered.")
    generator = forms.ModelChoiceField(
        Generator.objects.all(), label="Policy", help_text="It must have responses to the project's prompts."
    )
    reference = forms.ModelChoiceField(
        Generator.objects.all(), label="Reference", help_text="What it is compared with: usually what it started from."
    )
    reward_model = forms.ModelChoiceField(
        RewardModel.objects.all(), label="Reward model", help_text="What scores both."
    )
    dimension_weights = _weights_field(EvaluationConfig)
