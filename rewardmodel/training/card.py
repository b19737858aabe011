"""The model card: what a stranger must know before using a reward model. Pure, and the same for the same figures.

Every sentence on what the model is good for follows from a figure by a rule that stands here, so that no card praises
a model that was not told apart from guessing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

README = "README.md"

# The model follows length more than people do where its correlation is further from theirs than this.
LENGTH_EXCESS = 0.1
# Cutting is worth a warning where it touched more than this share of the prompts or responses.
CUT_SHARE = 0.01
FEW_PROMPTS = 100
SOURCES = {
    "human": "people",
    "simulated": "simulated annotators",
    "import": "imported judgements",
    "reviewer": "reviewers who decided where annotators disagreed",
}
METHODS = {
    "lora": "low-rank adapters (LoRA), merged into the layers",
    "dora": "low-rank adapters with a magnitude (DoRA), merged into the layers",
    "qlora": "low-rank adapters over a base in 4 bits (QLoRA), merged into the layers",
    "ia3": "one factor a channel (IA3), merged into the layers",
    "prefix": "keys and values before the prompt in every layer (prefix tuning)",
    "prompt": "embeddings before the prompt (prompt tuning)",
    "ptuning": "embeddings before the prompt, from a small network (P-tuning)",
    "bitfit": "biases only (BitFit)",
    "head": "the score head only",
    "full": "every weight",
}

Figures = Mapping[str, Any]


def model_card(reward: Figures, result: Figures, about: Figures) -> str:
    """README.md of a reward model, with the front matter that the Hugging Face hub reads.

    reward: what reward.json holds. result: the run's figures. about: what only the platform knows, all of it optional:
    name, run, dataset (its name), sources {name: judgements}, agreement {dimension: {value, low, high}}, start,
    public_base, licence.
    """
    name = about.get("name") or "Reward model"
    return "\n".join(
        [
            *_front_matter(name, reward, result, about),
            f"# {_text(name)}",
            "",
            "For a conversation and a response to it this model gives "
            + (f"{len(reward['dimensions'])} scores: " if len(reward["dimensions"]) > 1 else "a score of ")
            + f"{_listed(reward['dimensions'])}. Higher is better. It learned that from rankings of responses"
            + (f" by {_sources(about['sources'])}." if about.get("sources") else "."),
            "",
            *_accuracy(reward, result, about),
            *_use(reward, result, about),
            *_loading(reward),
            *_length(reward, result),
            *_ensemble(reward, result),
            *_data(reward, result, about),
            *_training(reward, result, about),
            *_lineage(reward, about),
            *_licence(reward, about),
        ]
    )


def loading_code(reward: Figures) -> str:
    """Python that scores a response with nothing but transformers (and peft), run inside the model's directory."""
    adapter = reward.get("adapter")
    lines = [
        "import torch",
        *(["from peft import PeftModel"] if adapter else []),
        "from transformers import AutoModelForSequenceClassification, AutoTokenizer",
        "",
        'directory = "."  # where this file lies',
        "model = AutoModelForSequenceClassification.from_pretrained(directory).eval()",
        *(
            [f'model = PeftModel.from_pretrained(model, directory + "/{adapter["directory"]}").eval()']
            if adapter
            else []
        ),
        "tokenizer = AutoTokenizer.from_pretrained(directory)",
        "",
        'messages = [{"role": "user", "content": "Why is the sky blue?"}]',
        'response = "Air scatters blue light most."',
        "prompt = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=False)",
        'answer = tokenizer(response, add_special_tokens=False)["input_ids"]',
        "ids = torch.tensor([prompt + answer + [model.config.eos_token_id]])",
        "with torch.no_grad():",
        f"    scores = model(ids).logits[0]  # {_code(_listed(reward['dimensions']))}",
    ]
    return "\n".join(lines)


# the parts ----------------------------------------------------------------------------------------------------------


def _front_matter(name: str, reward: Figures, result: Figures, about: Figures) -> list[str]:
    base, licence = about.get("public_base"), about.get("licence")
    lines = [
        "---",
        "library_name: transformers",
        "pipeline_tag: text-classification",
        "tags: [reward-model, rlhf, preference, plumbline]",
        *([f"base_model: {_yaml(base)}"] if base else []),
        *([f"license: {_yaml(licence)}"] if licence else []),
    ]
    measured = [each for each in reward["dimensions"] if result["accuracy"].get(each)]
    if measured:
        lines += [
            "model-index:",
            f"- name: {_yaml(name)}",
            "  results:",
            "  - task: {type: text-classification, name: Preference}",
            f"    dataset: {{name: {_yaml(about.get('dataset') or 'preferences')}, "
            f"type: {_yaml(about.get('dataset') or 'preferences')}, split: test, "
            f"revision: {_yaml(reward['dataset_sha256'])}}}",
            "    metrics:",
        ]
        lines += [
            f"    - {{type: accuracy, name: {_yaml(f'Held-out pairwise accuracy, {each}')}, "
            f"value: {result['accuracy'][each]['value']:.4f}}}"
            for each in measured
        ]
    return [*lines, "---", ""]


def _accuracy(reward: Figures, result: Figures, about: Figures) -> list[str]:
    lines = ["## How good it is", ""]
    if not result["accuracy"]:
        return [*lines, "**Not measured.** The dataset has no held-out preferences.", ""]
    agreement = about.get("agreement") or {}
    heads = ["dimension", "held-out accuracy", "choosing the longer", "pairs", "prompts", "accuracy in training"]
    lines += _header([*heads, *(["two annotators agree"] if agreement else [])])
    for name in reward["dimensions"]:
        found = result["accuracy"].get(name)
        cells = [_text(name), _share(found), _share(result["baseline_longer"].get(name))]
        cells += [_count(found, "n"), _count(found, "prompts"), _share(result["train_accuracy"].get(name))]
        lines.append(_row([*cells, *([_share(agreement.get(name))] if agreement else [])]))
    return [
        *lines,
        "",
        "*Held-out accuracy* is the share of pairs, of prompts that training never saw, which the model orders as the "
        "majority of judgements does; one half is guessing. *Choosing the longer* is what preferring the response with "
        "more characters gets on the same pairs. "
        + (
            "*Two annotators agree* is how often two people order a pair alike, in the whole dataset. "
            * bool(agreement)
        )
        + "In brackets are 95 % intervals that count the pairs of a prompt together.",
        "",
        f"Held-out loss {_figure(result.get('loss'))}, in training {_figure(result.get('train_loss'))}"
        + (" (0.693 is guessing)." if reward["config"].get("loss") == "bradley_terry" else "."),
        "",
    ]


def _use(reward: Figures, result: Figures, about: Figures) -> list[str]:
    return [
        "## What it is for, and what not",
        "",
        "It orders responses to one prompt: to choose the best of several, to give policy training its reward, or to "
        "find pairs worth a second look. Scores of different prompts are not on one scale, and only differences have a "
        "meaning. A score is a guess at what the annotators would prefer. It is no measure of truth, and no safety "
        "filter.",
        "",
        *(f"- {said}" for said in limits(reward, result, about)),
        "",
    ]


def limits(reward: Figures, result: Figures, about: Figures) -> Iterator[str]:
    """What the figures say against the model, a sentence each."""
    for name in reward["dimensions"]:
        yield from _limits_of(name, result)
    scored = result["comparisons"]["train"] + result["comparisons"]["test"]
    cuts = result["cuts"]
    if cuts.get("prompts_cut", 0) > CUT_SHARE * scored:
        yield (
            f"{cuts['prompts_cut']:,} of {scored:,} prompts were longer than {reward['max_prompt_tokens']:,} tokens "
            "and lost their oldest turns: it has not learned from long conversations as a whole."
        )
    if cuts.get("responses_cut"):
        yield (
            f"{cuts['responses_cut']:,} responses lost their end, being longer than {reward['max_response_tokens']:,} "
            "tokens. What stands behind that is not read."
        )
    if "simulated" in (about.get("sources") or {}):
        yield "**Simulated annotators are not people.** Judgements by them exercise the machinery only."
    if reward.get("ensemble", {}).get("of") == "adapters":
        yield "Plain transformers gives the first member's score; the ensemble's is the mean over its members."


def _limits_of(name: str, result: Figures) -> Iterator[str]:
    said = f"**{_text(name)}**"
    found, train = result["accuracy"].get(name), result["train_accuracy"].get(name)
    if not found:
        yield f"{said}: not measured on held-out pairs, so nothing is known of its accuracy."
        return
    if found["low"] <= 0.5 <= found["high"]:
        yield f"{said}: not told apart from guessing, {_share(found)}. Do not rely on it."
    elif found["high"] < 0.5:
        yield f"{said}: orders pairs against people's preference, {_share(found)}. Do not use it."
    duel = result["better_than_longer"].get(name)
    if duel and duel["high"] < 0.5:
        yield f"{said}: worse than choosing the longer response, which is right more often on the same prompts."
    elif duel and duel["low"] <= 0.5:
        yield f"{said}: not told apart from choosing the longer response on the same prompts."
    if found["prompts"] < FEW_PROMPTS:
        yield f"{said}: measured on {found['prompts']:,} prompts only."
    if train and train["low"] > found["high"]:
        yield f"{said}: overfitted; it orders {_share(train)} of the training pairs rightly."
    scores, people = (result["length_correlation"][which].get(name) for which in ("scores", "preferences"))
    if scores is not None and people is not None and abs(scores) > abs(people) + LENGTH_EXCESS:
        both = f"correlation {_sign(scores)} and {_sign(people)}"
        yield f"{said}: follows the length of a response more than people do ({both})."


def _loading(reward: Figures) -> list[str]:
    lines = ["## How to use it", "", "```python", loading_code(reward), "```", ""]
    lines += [
        "The score is the logit at the end-of-turn token that closes the response. For a reward around zero, as policy "
        "training wants it, subtract `shift` in `reward.json`, the mean score over the dataset's responses:",
        "",
        *_header(["dimension", "shift", "spread of scores"]),
        *(
            _row([_text(name), _figure(reward["shift"].get(name)), _figure(reward.get("std", {}).get(name))])
            for name in reward["dimensions"]
        ),
        "",
        f"Prompts are cut to {reward['max_prompt_tokens']:,} tokens from the oldest turn on, responses to "
        f"{reward['max_response_tokens']:,}.",
        "",
    ]
    return lines


def _length(reward: Figures, result: Figures) -> list[str]:
    found = result["length_correlation"]
    return [
        "## Length",
        "",
        *_header(["dimension", "score and length", "people's preference and length"]),
        *(
            _row([_text(name), _sign(found["scores"].get(name)), _sign(found["preferences"].get(name))])
            for name in reward["dimensions"]
        ),
        "",
        "Correlations with the length in tokens, within comparisons: 0 is no relation, 1 is length alone.",
        "",
    ]


def _ensemble(reward: Figures, result: Figures) -> list[str]:
    if result["members"] < 2:
        return []
    lines = [
        "## Ensemble",
        "",
        f"{result['members']} members that differ in their {reward['ensemble']['of']}; the score is their mean.",
        "",
    ]
    if result.get("disagreement"):
        lines += _header(["dimension", "members' accuracies", "disagreement", "where right", "where wrong", "AUROC"])
        for name, found in result["disagreement"].items():
            values = [each[name]["value"] for each in result["member_accuracy"] if name in each]
            lines.append(
                _row(
                    [
                        _text(name),
                        f"{100 * min(values):.1f} to {100 * max(values):.1f} %" if values else "–",
                        *(_figure(found[key]) for key in ("mean", "when_right", "when_wrong", "auroc")),
                    ]
                )
            )
        lines += [
            "",
            "*Disagreement* is the standard deviation over members of a pair's score difference. *AUROC* is the "
            "probability that a pair ordered wrongly has more of it than one ordered rightly; 0.5 knows nothing of "
            "errors.",
            "",
        ]
    return lines


def _data(reward: Figures, result: Figures, about: Figures) -> list[str]:
    counts, cuts = result["comparisons"], result["cuts"]
    aside = f", {counts['validation']:,} to decide when to stop" if "validation" in counts else ""
    return [
        "## Data",
        "",
        f"{_text(about['dataset']) if about.get('dataset') else 'A dataset version'}, "
        f"sha256 `{reward['dataset_sha256']}`: {counts['train']:,} comparisons for training{aside}, {counts['test']:,} "
        "held out by a hash of the prompt, so that no prompt is on both sides.",
        "",
        f"To fit the lengths, {cuts.get('prompts_cut', 0):,} prompts lost old turns and "
        f"{cuts.get('responses_cut', 0):,} responses their end. Empty responses: {cuts.get('responses_empty', 0):,}.",
        "",
    ]


def _training(reward: Figures, result: Figures, about: Figures) -> list[str]:
    config = reward["config"]
    start = f" (`{_code(about['start'])}`)" if about.get("start") else ""
    objective = {
        "bradley_terry": "Bradley-Terry over all pairs of a comparison's K responses",
        "plackett_luce": "Plackett-Luce over each ranking as a whole",
    }[config["loss"]]
    stopped = f", of which step {result['kept_step']:,} was kept" if result["kept_step"] != result["steps"] else ""
    return [
        "## Training",
        "",
        f"Base: {_base(reward, about)}{start}. Trained: {METHODS[config['method']]}, "
        f"{result['trainable_parameters']:,} numbers, {result['steps']:,} steps{stopped}. Objective: {objective}.",
        "",
        *_header(["setting", "value"]),
        *(_row([key, _setting(value)]) for key, value in _flat(config)),
        "",
    ]


def _lineage(reward: Figures, about: Figures) -> list[str]:
    lines = ["## Where it comes from", ""]
    if about.get("run"):
        lines.append(f"- Run {about['run']} of Plumbline. `manifest.json` lists every file with its sha256.")
    lines.append(f"- Dataset `{reward['dataset_sha256']}`")
    lines.append(
        f"- Base model {_base(reward, about)}" + (", with an adapter merged" if reward["base_adapter"] else "")
    )
    versions = ", ".join(f"{name} {version}" for name, version in sorted(reward["versions"].items()))
    return [*lines, f"- Made with {versions}", ""]


def _licence(reward: Figures, about: Figures) -> list[str]:
    if about.get("licence"):
        said = f"The base model stands under `{_code(about['licence'])}`, whose terms go with these weights."
    else:
        said = "The licence of the base model is not known here. Look it up before you pass these weights on."
    return ["## Licence", "", f"{said} The terms of the data are those of its dataset card.", ""]


# words and figures --------------------------------------------------------------------------------------------------


def _base(reward: Figures, about: Figures) -> str:
    """What the base is called; a directory of the machine that trained is nobody's business but its own."""
    if about.get("public_base"):
        return f"`{_code(about['public_base'])}`"
    name = str(reward["base_model"]).rstrip("/")
    return f"`{_code(name.rpartition('/')[2] or name)}`, a local directory"


def _flat(config: Figures, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in config.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


def _setting(value: Any) -> str:
    if isinstance(value, list):
        return _listed(value) if value else "all"
    return "–" if value is None else _text(str(value))


def _sources(sources: Mapping[str, int]) -> str:
    return ", ".join(f"{SOURCES.get(name, _text(name))} ({count:,} judgements)" for name, count in sources.items())


def _listed(names: Sequence[str]) -> str:
    return ", ".join(_text(name) for name in names)


def _header(names: Sequence[str]) -> list[str]:
    return [_row(names), "|" + "---|" * len(names)]


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _share(found: Mapping[str, float] | None) -> str:
    if not found or found.get("value") is None:
        return "–"
    return f"{100 * found['value']:.1f} % [{100 * found['low']:.1f}, {100 * found['high']:.1f}]"


def _count(found: Mapping[str, int] | None, key: str) -> str:
    return f"{found[key]:,}" if found else "–"


def _figure(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _sign(value: float | None) -> str:
    return "–" if value is None else f"{value:+.2f}"


def _text(words: str) -> str:
    """Words of people as text in Markdown: no markup, no line ends."""
    return re.sub(r"([\\`*_\[\]<>|#!])", r"\\\1", " ".join(words.split()))


def _code(words: str) -> str:
    """Words of people inside a code span."""
    return " ".join(words.replace("`", "'").split())


def _yaml(words: str) -> str:
    """A YAML string: JSON is one, whatever is in it."""
    return json.dumps(" ".join(str(words).split()), ensure_ascii=False)
