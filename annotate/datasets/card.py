"""The dataset card: what a stranger must know before training on it. Pure, and the same for the same counts."""

from __future__ import annotations

from typing import Any

from annotate.datasets.config import DatasetConfig

LABELS = {
    "human": "people",
    "simulated": "simulated annotators",
    "import": "imported judgements",
    "reviewer": "reviewers who decided where annotators disagreed",
}


def card(name: str, counts: dict[str, Any], config: DatasetConfig) -> str:
    """README.md of a dataset version, with the front matter that `datasets` reads."""
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
        f"# {name}",
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
            f"| {_percent(tally['longer_chosen'])} | {_percent(tally['agreement'])} |"
        )
    lines += [
        "",
        "*Ties* are pairs that the judgements leave even; "
        + ("they are in `pairs.jsonl` with preference 0.5." if config.keep_ties else "they are not in `pairs.jsonl`."),
        "*Longer chosen* is the share of pairs whose chosen response has more characters: far from 50 % is a length",
        "bias, of the annotators or of the responses. *Agreement* is the share of pairs, strictly ordered by two",
        "annotators each, that both order the same way.",
        "",
        "## Files",
        "",
        "- `pairs.jsonl`: TRL's conversational preference format (`prompt`, `chosen`, `rejected`) with `dimension`,",
        "  `margin`, `weight`, `preference` (share of judgements that chose `chosen`, by weight), `split` and ids.",
        "- `rankings.jsonl`: one line per comparison and dimension. `ranks` is aligned with `responses`; 1 is best,",
        "  equal is a tie, null was not ranked.",
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
    lines += [f"| {key} | {value} |" for key, value in sorted(config.model_dump(mode="json").items())]
    return "\n".join(lines) + "\n"


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
    return [" ".join(said), ""] if said else []


def _both(count: dict[str, int]) -> str:
    return f"{count['train']:,} / {count['test']:,}"


def _sources(sources: dict[str, int]) -> str:
    return ", ".join(f"{LABELS.get(source, source)} ({count:,} judgements)" for source, count in sources.items())


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.1f} %"
