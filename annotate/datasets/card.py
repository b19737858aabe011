"""The dataset card: what a stranger must know before training on it. Pure, and the same for the same counts."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from annotate.datasets.config import DatasetConfig

TITLES = {
    "plots/agreement.svg": "Agreement by dimension",
    "plots/length.svg": "Lengths of chosen and rejected responses",
    "plots/position.svg": "How often each place was ranked best",
    "plots/preference.svg": "How sure the preferences are",
}
LABELS = {
    "human": "people",
    "simulated": "simulated annotators",
    "import": "imported judgements",
    "reviewer": "reviewers who decided where annotators disagreed",
}


def card(name: str, counts: dict[str, Any], config: DatasetConfig, pictures: Sequence[str] = ()) -> str:
    """README.md of a dataset version, with the front matter that `datasets` reads. pictures: paths of its plots."""
    lines = [
        "---",
        "configs:",
        "- config_name: pairs",
        "  data_files: pairs.jsonl",
        "  default: true",
        "- config_name: rankings",
        "  data_files: rankings.jsonl",
        "tags: [preference, plumbline]",
        "---",
        "",
        f"# {_plain(name)}",
        "",
        f"Rankings of responses to {sum(counts['prompts'].values()):,} prompts "
        f"({counts['prompts']['train']:,} for training, {counts['prompts']['test']:,} held out by a hash of the text).",
        "",
        "Judged by " + (_sources(counts["sources"]) or "nobody yet") + ".",
        "",
    ]
    lines += _how(counts, config)
    if "simulated" in counts["sources"]:
        lines += ["**Simulated annotators are not people.** Their judgements exercise the machinery only.", ""]
    lines += [
        "| dimension | comparisons train / test | judgements | pairs train / test | ties | longer chosen | agreement |",
        "|---|---|---|---|---|---|---|",
    ]
    for dimension, tally in counts["dimensions"].items():
        lines.append(
            f"| {dimension} | {_both(tally['comparisons'])} "
            f"| {tally['judgements']:,} | {_both(tally['pairs'])} | {tally['ties']:,} "
            f"| {_percent(tally['longer_chosen'], tally['longer_chosen_interval'])} "
            f"| {_percent(tally['agreement'], tally['agreement_interval'])} |"
        )
    lines += [
        "",
        "*Ties* are pairs that the judgements leave even; "
        + ("they are in `pairs.jsonl` with preference 0.5." if config.keep_ties else "they are not in `pairs.jsonl`."),
        "*Longer chosen* is the share of pairs whose chosen response has more characters: far from 50 % is a length",
        "bias, of the annotators or of the responses. *Agreement* is the share of pairs, strictly ordered by two",
        "annotators each, that both order the same way. In brackets are 95 % intervals, by comparison.",
        "",
    ]
    lines += _positions(counts) + _shares(counts) + _strengths(counts)
    if pictures:
        lines += ["## Plots", "", *(f"![{TITLES.get(path, path)}]({path})" for path in pictures), ""]
    lines += [
        "## Files",
        "",
        "- `pairs.jsonl`: TRL's conversational preference format (`prompt`, `chosen`, `rejected`) with `dimension`,",
        "  `margin`, `weight`, `preference` (" + _preference(config) + "), `split` and ids.",
        "- `rankings.jsonl`: one line per comparison and dimension. `ranks` is aligned with `responses`; 1 is best,",
        "  equal is a tie, null was not ranked.",
        "- `lineage.jsonl`: for each line of `rankings.jsonl` the judgements it comes from and the pairs that came of",
        "  it. For looking things up, not for training.",
        "",
        "```python",
        "from datasets import load_dataset",
        "",
        'pairs = load_dataset("json", data_files="pairs.jsonl", split="train")',
        'train = pairs.filter(lambda row: row["split"] == "train" and row["dimension"] == "'
        + next(iter(counts["dimensions"]), "helpfulness")
        + '")',
        "```",
        "",
        "## Choices",
        "",
        "| setting | value |",
        "|---|---|",
    ]
    lines += [f"| {key} | {_choice(key, value)} |" for key, value in sorted(config.model_dump(mode="json").items())]
    return "\n".join(lines) + "\n"


def _positions(counts: dict[str, Any]) -> list[str]:
    """How often the place that is shown first wins, against what chance would give."""
    rows = []
    for dimension, tally in counts["dimensions"].items():
        shown = sum(row["shown"] for row in tally["places"])
        first = next((row for row in tally["places"] if row["place"] == 1), None)
        if first is None:
            continue
        chance = sum(row["best"] * row["shown"] for row in tally["places"]) / shown
        rows.append(f"| {dimension} | {_percent(first['best'], first['interval'])} | {_percent(chance)} |")
    if not rows:
        return []
    return [
        "| dimension | shown first and ranked best | any place, on average |",
        "|---|---|---|",
        *rows,
        "",
        "Places are shuffled for each annotator, so a first place that wins far more often is a position bias.",
        "",
    ]


def _shares(counts: dict[str, Any]) -> list[str]:
    languages = {_plain(name) or "not said": count for name, count in counts["languages"].items()}
    said = [f"Languages of the prompts: {_listed(languages)}."] if set(languages) - {"not said"} else []
    if counts["tags"]:
        said.append(f"Tags: {_listed({_plain(name): count for name, count in counts['tags'].items()})}.")
    written = {_plain(name): count for name, count in counts["generators"].items()}
    said.append(f"Responses were written by {_listed(written)}.")
    return [line for each in said for line in (each, "")]


def _strengths(counts: dict[str, Any]) -> list[str]:
    names = {"1": "slightly better", "2": "better", "3": "much better"}
    given: dict[str, int] = {}
    for tally in counts["dimensions"].values():
        for key, count in tally["strengths"].items():
            given[names.get(key, key)] = given.get(names.get(key, key), 0) + count
    return [f"Strengths that annotators gave: {_listed(given)}.", ""] if given else []


def _preference(config: DatasetConfig) -> str:
    if config.aggregation == "consensus":
        return "the probability that `chosen` is preferred"
    if config.aggregation == "majority":
        return "1, or 0.5 for a tie, of the majority's ranking"
    return "share of judgements that chose `chosen`, by weight"


def _choice(key: str, value: Any) -> str:
    if key in ("annotators", "exclude_annotators") and value:
        return f"{len(value)} people"
    return _plain(", ".join(map(str, value)) if isinstance(value, list) else str(value))


def _listed(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} ({count:,})" for name, count in counts.items()) or "none"


def _plain(text: str) -> str:
    """Words of people as text in a Markdown table: no markup, no line ends."""
    return re.sub(r"([\\`*_\[\]<>|#!])", r"\\\1", " ".join(text.split()))


def _how(counts: dict[str, Any], config: DatasetConfig) -> list[str]:
    """Sentences about whose word counts how much."""
    said = []
    if counts.get("decided"):
        said.append(
            f"{counts['decided']:,} comparisons were decided by a reviewer; the decision (annotator `reviewer`, weight "
            "1) stands in place of their judgements."
        )
    if counts.get("extra"):
        said.append(f"{counts['extra']:,} judgements came too late for a place and are in it beside the others.")
    if config.weights == "reliability":
        said.append(
            "Rankings weigh by their annotator's estimated reliability at the time of building (`weight` in "
            "`rankings.jsonl`)."
        )
    if config.aggregation != "judgements":
        how = "the majority of them" if config.aggregation == "majority" else "their Bradley-Terry consensus"
        said.append(f"The judgements of a comparison are put together as one ranking, {how}.")
    edits = sum(tally["edits"] for tally in counts["dimensions"].values())
    if edits:
        said.append(f"{edits:,} times an annotator's edit is preferred to the response it was made from.")
    return [" ".join(said), ""] if said else []


def _both(count: dict[str, int]) -> str:
    return f"{count['train']:,} / {count['test']:,}"


def _sources(sources: dict[str, int]) -> str:
    return ", ".join(f"{LABELS.get(source, source)} ({count:,} judgements)" for source, count in sources.items())


def _percent(share: float | None, interval: Sequence[float] | None = None) -> str:
    if share is None:
        return "–"
    between = f" [{100 * interval[0]:.1f}, {100 * interval[1]:.1f}]" if interval else ""
    return f"{100 * share:.1f} %{between}"
