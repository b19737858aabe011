"""One turn of the whole loop, through the services and workers that everybody uses. Nothing here is special-cased.

prompts -> K responses -> rankings -> dataset version -> reward model -> DPO, PPO -> new responses -> before and after
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from django.utils import timezone

from accounts.models import User
from annotate import simulation
from annotate.datasets.services import dataset_run_start
from annotate.generation.models import Generator
from annotate.generation.services import generation_run_start, generator_create
from annotate.importing.services import prompts_import
from annotate.projects.models import Project, Prompt
from annotate.projects.services import membership_add, project_create
from annotate.ranking.engine import assignment_next
from annotate.ranking.services import judgement_submit
from rewardmodel.models import RewardModel
from rewardmodel.services import reward_model_run_start
from rl.demo.report import Scored, compare
from rl.models import EvaluationRun
from rl.services import evaluation_run_start, policy_run_start
from runs.artifacts import artifact_path
from runs.models import Run
from runs.states import State

PROMPTS = Path(__file__).with_name("prompts.jsonl")
TEST_FRACTION = 0.3
SAMPLING = {"temperature": 0.8, "top_p": 1.0}  # the whole distribution, so that the KL measured on it is unbiased


class DemoError(Exception):
    """A step of the demo did not succeed; the message says which run and why."""


@dataclass(frozen=True)
class Size:
    """How much work the demo does. The default fits ten minutes on two cores without a GPU."""

    model: str = "smollm2-135m-instruct"
    prompts: int = 40
    k: int = 4
    max_tokens: int = 48
    overlap: int = 2
    reward_epochs: int = 2
    dpo_epochs: int = 2
    ppo_steps: int = 4
    best_of_n_samples: int = 4
    ppo_prompts: int = 4
    seed: int = 0


@dataclass
class Loop:
    """State of one demo: who, where, and what has been made so far."""

    size: Size
    admin: User
    report: Callable[[str, Run | None], None]
    phases: dict[str, float] = field(default_factory=dict)
    memory: dict[str, int] = field(default_factory=dict)

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        self.report(name, None)
        start = time.monotonic()
        yield
        self.phases[name] = time.monotonic() - start

    def wait(self, run: Run, name: str) -> Run:
        """Follow a run until it ends, reporting as it goes."""
        while True:
            run.refresh_from_db()
            self.report(name, run)
            if run.state == State.SUCCEEDED:
                self.memory[name] = int((run.result or {}).get("peak_rss_bytes") or 0)
                return run
            if run.state in (State.FAILED, State.CANCELLED):
                raise DemoError(f"{name}: run {run.pk} {run.state}. {run.error}")
            time.sleep(0.5)

    # the steps, in order ----------------------------------------------------------------------------------------------

    def collect(self) -> Project:
        with self.phase("Prompts"):
            stamp = timezone.localtime().strftime("%Y-%m-%d %H:%M:%S")
            project = project_create(
                name=f"Demo {stamp}",
                description="Short questions in English and Chinese, ranked by simulated annotators.",
                guidelines=GUIDELINES,
                k=self.size.k,
                overlap=self.size.overlap,
                dimensions=[
                    {"key": "helpfulness", "label": "Helpfulness", "question": "Which response helps more?"},
                    {"key": "harmlessness", "label": "Harmlessness", "question": "Which response does less harm?"},
                ],
                user=self.admin,
            )
            lines = PROMPTS.read_bytes().splitlines(keepends=True)
            # Every n-th line, so that a small demo still has every kind of prompt.
            chosen = [lines[i * len(lines) // self.size.prompts] for i in range(self.size.prompts)]
            prompts_import(project=project, data=b"".join(chosen), filename=PROMPTS.name, user=self.admin)
        return project

    def start_model(self) -> Generator:
        generator = Generator.objects.filter(kind=Generator.Kind.LOCAL, model=self.size.model, adapter=None).first()
        return generator or generator_create(
            name="SmolLM2-135M", kind=Generator.Kind.LOCAL, model=self.size.model, user=self.admin
        )

    def generate(self, project: Project, generator: Generator, name: str, **options: Any) -> Run:
        with self.phase(name):
            sampling = {**SAMPLING, "max_tokens": self.size.max_tokens}
            run = generation_run_start(
                project=project,
                generator=generator,
                config={"k": self.size.k, "sampling": sampling, "seed": self.size.seed},
                user=self.admin,
                **options,
            )
            return self.wait(run, name)

    def annotate(self, project: Project) -> int:
        """Simulated annotators take assignments and submit judgements like anybody else."""
        with self.phase("Rankings"):
            count = 0
            for number in range(self.size.overlap + 1):
                user, _ = User.objects.get_or_create(username=f"simulated-{number + 1}")
                user.kind = User.Kind.SIMULATED
                user.set_unusable_password()
                user.save()
                membership_add(project=project, user=user, by=self.admin)
                while (assignment := assignment_next(annotator=user, project=project)) is not None:
                    responses = {str(r.pk): r.text for r in assignment.comparison.responses.all()}
                    shown = [str(pk) for pk in assignment.display_order]
                    seed = f"{self.size.seed}:{user.username}:{assignment.comparison.prompt.content_hash}"
                    rankings = {}
                    for dimension in project.dimensions.all():
                        messages = assignment.comparison.prompt.messages
                        texts = [responses[pk] for pk in shown]
                        ranks = simulation.rank(dimension.key, messages, texts, seed=seed)
                        rankings[dimension.key] = dict(zip(shown, ranks, strict=True))
                    judgement_submit(assignment=assignment, rankings=rankings, source="simulated")
                    count += 1
        return count

    def build(self, project: Project) -> Run:
        with self.phase("Dataset"):
            run = dataset_run_start(project=project, config={"test_fraction": TEST_FRACTION}, user=self.admin)
            return self.wait(run, "Dataset")

    def train_reward_model(self, version: Any, generator: Generator) -> RewardModel:
        with self.phase("Reward model"):
            run = reward_model_run_start(
                dataset_version=version,
                generator=generator,
                config={"epochs": self.size.reward_epochs, "learning_rate": 2e-4, "comparisons_per_step": 4},
                title="Demo reward model",
                user=self.admin,
            )
            self.wait(run, "Reward model")
        return RewardModel.objects.get(run_id=run.pk)

    def train_policy(self, name: str, config: dict[str, Any], **inputs: Any) -> Generator:
        with self.phase(name):
            run = policy_run_start(config=config, title=name, user=self.admin, **inputs)
            self.wait(run, name)
        policy = run.policy
        assert policy is not None
        return policy

    def evaluate(
        self, name: str, project: Project, policy: Generator, reference: Generator, reward_model: RewardModel
    ) -> EvaluationRun:
        with self.phase(name):
            run = evaluation_run_start(
                project=project,
                generator=policy,
                reference=reference,
                reward_model=reward_model,
                config={"temperature": SAMPLING["temperature"]},
                title=name,
                user=self.admin,
            )
            self.wait(run, name)
        return run


def held_out_prompts(project: Project) -> list[Prompt]:
    from annotate.pairs import split_of

    return [p for p in project.prompts.order_by("pk") if split_of(p.messages, TEST_FRACTION) == "test"]


def scored(run: EvaluationRun, file: str, prompts: dict[int, Prompt]) -> list[Scored]:
    """Read the scores of one side of an evaluation back from its artifact. The reference's own have no KL: it is 0."""
    rows = []
    # Bytes end a line at "\n" only; text would end it at U+2028 too, which a model may well write.
    for line in (artifact_path(run.artifacts.get()) / file).read_bytes().split(b"\n")[:-1]:
        row = json.loads(line)
        prompt = prompts[int(row["prompt_id"])]
        kl = row.get("kl") or 0.0
        rows.append(Scored(prompt.pk, prompt.messages, row["text"], row["reward"], kl, int(row["tokens"])))
    return rows


GUIDELINES = """\
**Helpfulness.** Prefer the response that answers the question asked, in its language, completely and without rambling.

**Harmlessness.** Prefer the response that is civil and, where the question is risky, careful.

Responses that you cannot tell apart share a rank.
"""


@dataclass(frozen=True)
class Outcome:
    """What the demo shows at its end."""

    comparison: dict[str, dict[str, Any]]
    accuracy: dict[str, dict[str, float]]
    pairs: Path
    held_out: int

    def figures(self, loop: Loop) -> dict[str, Any]:
        return {
            "comparison": self.comparison,
            "accuracy": self.accuracy,
            "held_out_prompts": self.held_out,
            "seconds": loop.phases,
            "peak_rss_bytes": loop.memory,
        }


def go_around(loop: Loop, annotator: User) -> Outcome:
    """The loop itself. `annotator`, a person, finds the second round's comparisons waiting."""
    size = loop.size
    project = loop.collect()
    membership_add(project=project, user=annotator, by=loop.admin)
    start = loop.start_model()
    loop.generate(project, start, "Responses")
    loop.annotate(project)
    dataset = loop.build(project)
    reward_model = loop.train_reward_model(dataset.version, start)

    dpo = loop.train_policy(
        "DPO",
        {
            "algorithm": "dpo",
            "epochs": size.dpo_epochs,
            "learning_rate": 2e-4,
            "comparisons_per_step": 4,
            "sample_every": 0,
            "seed": size.seed,
        },
        generator=start,
        dataset_version=dataset.version,
    )
    ppo = loop.train_policy(
        "PPO",
        {
            "algorithm": "ppo",
            "steps": size.ppo_steps,
            "prompts_per_step": size.ppo_prompts,
            "samples_per_prompt": 2,
            "max_response_tokens": size.max_tokens,
            "learning_rate": 2e-4,
            "epochs": 2,
            "minibatches": 2,
            "best_of_n_samples": size.best_of_n_samples,
            "sample_every": 0,
            "seed": size.seed,
        },
        generator=start,
        dataset_version=dataset.version,
        reward_model=reward_model,
    )

    # The new policies write the next round: on the prompts that nothing was trained on, beside the old one's responses.
    prompts = {prompt.pk: prompt for prompt in held_out_prompts(project)}
    evaluated: dict[str, list[Scored]] = {}
    for name, policy in (("DPO", dpo), ("PPO", ppo)):
        selection = {"ids": list(prompts)}
        round_two = {"comparisons": "mixed", "mix_with": [start], "round": 2, "selection": selection}
        loop.generate(project, policy, f"Responses of {name}", **round_two)
        run = loop.evaluate(f"Evaluation of {name}", project, policy, start, reward_model)
        evaluated.setdefault(start.name, scored(run, "reference_scores.jsonl", prompts))
        evaluated[policy.name] = scored(run, "scores.jsonl", prompts)
    return Outcome(
        comparison=compare(evaluated, baseline=start.name),
        accuracy=reward_model.run.result["accuracy"],
        pairs=artifact_path(dataset.version.artifact) / "pairs.jsonl",
        held_out=len(prompts),
    )
