from collections.abc import Mapping
from typing import Any

from django.apps import AppConfig
from django.http import HttpRequest


class RlConfig(AppConfig):
    name = "rl"
    verbose_name = "policies"

    def ready(self) -> None:
        from rl.kind import EvaluationKind, MergeKind, PolicyKind
        from rl.plots import SUBJECTS
        from runs.kinds import register
        from runs.metrics import Metric, register_metrics, register_plots

        register(PolicyKind())
        register(EvaluationKind())
        register(MergeKind())
        register_plots(PolicyKind.kind, SUBJECTS)
        register_metrics(
            {
                "reward": Metric("Reward", good="higher", order=20),
                "kl": Metric("KL from the reference (k1)", unit="nats/response", order=21),
                "kl_k3": Metric("KL from the reference (k3)", unit="nats/response", order=22),
                "kl_k3_per_token": Metric("KL from the reference (k3)", unit="nats/token", order=22),
                "reward_margin": Metric("Implicit reward margin", good="higher", order=23),
                "test_reward_margin": Metric("Held-out implicit reward margin", good="higher", order=24),
                "clip_fraction": Metric("Clip fraction", order=30),
                "entropy": Metric("Entropy", unit="nats/token", order=31),
                "value_loss": Metric("Value loss", good="lower", order=32),
                "explained_variance": Metric("Explained variance", good="higher", order=33),
                "response_tokens": Metric("Response length", unit="tokens", order=34),
                "eos_rate": Metric("Responses that end by themselves", order=35),
                "reward_std": Metric("Spread of the rewards", order=36),
                "chosen_reward": Metric("Implicit reward of preferred responses", order=37),
                "rejected_reward": Metric("Implicit reward of the others", order=38),
                "test_chosen_reward": Metric("Held-out implicit reward of preferred responses", order=39),
                "test_rejected_reward": Metric("Held-out implicit reward of the others", order=40),
                "policy_loss": Metric("Policy loss", order=50),
                "update_kl": Metric("KL of one step's update", unit="nats/token", order=51),
                "kl_coef": Metric("KL coefficient", order=52),
                "value_clip_fraction": Metric("Value clip fraction", order=53),
                "value_mean": Metric("Mean value", order=54),
                "first_ratio_error": Metric("Ratio error before any update", good="lower", order=55),
                "sampler_error": Metric("Sampler against trainer", unit="nats/token", good="lower", order=55),
                "tokens": Metric("Response length", unit="tokens", order=56),
                "critic_grad_norm": Metric("Gradient norm of the critic before clipping", order=90),
                "perplexity": Metric("Perplexity", good="lower", order=23),
                "test_perplexity": Metric("Held-out perplexity", good="lower", order=24),
                "kl_baseline": Metric("KL baseline of KTO", unit="nats/response", order=41),
                "test_kl_baseline": Metric("Held-out KL baseline of KTO", unit="nats/response", order=41),
                "test_reward": Metric("Held-out reward", good="higher", order=20),
                "test_kl": Metric("Held-out KL from the reference (k1)", unit="nats/response", order=21),
                "test_kl_k3": Metric("Held-out KL from the reference (k3)", unit="nats/response", order=22),
                "test_watched_reward": Metric("Held-out reward of the watched model", good="higher", order=20),
                "test_reward_bound": Metric("Held-out lower bound of the ensemble", good="higher", order=20),
                "reward_bound": Metric("Lower bound of the ensemble", good="higher", order=20),
                "test_response_tokens": Metric("Held-out response length", unit="tokens", order=34),
                "test_eos_rate": Metric("Held-out responses that end by themselves", order=35),
                "test_repetition": Metric("Held-out repeats", good="lower", order=36),
                "repetition": Metric("Repeats", good="lower", order=36),
                "even_groups": Metric("Prompts that teach nothing", good="lower", order=36),
                "kept_share": Metric("Responses kept", order=36),
                "ptx_loss": Metric("Language-model loss of the mix", unit="nats/token", good="lower", order=50),
                "seconds": Metric("Time", unit="s", good="lower", order=93),
            }
        )

    def dashboard(self, request: HttpRequest) -> list[dict[str, Any]]:
        """The newest policies and evaluations, for the admins' dashboard."""
        from rl.selectors import evaluation_runs, policy_runs

        context = {"policies": policy_runs()[:3], "evaluations": evaluation_runs()[:3]}
        return [{"position": 50, "template": "rl/_dashboard.html", "context": context}]

    def stale_generators(self, versions: Mapping[int, str]) -> dict[int, str]:
        """Generators that policies became, if those are stale when these dataset versions are."""
        from rl.staleness import stale_now

        return stale_now(versions).generators

    def stale_models(self, versions: Mapping[int, str]) -> list[dict[str, str]]:
        """Policies and evaluations that are stale if these dataset versions are."""
        from rl.selectors import evaluation_runs, policy_runs
        from rl.staleness import stale_now

        found = stale_now(versions)
        policies = policy_runs().filter(pk__in=found.policies)
        evaluations = evaluation_runs().filter(pk__in=found.evaluations)
        return [
            {
                "kind": "policy",
                "name": str(run.policy or run.title),
                "url": run.get_policy_url(),
                "reason": found.policies[run.pk],
            }
            for run in policies
        ] + [
            {
                "kind": "evaluation",
                "name": run.title,
                "url": run.get_evaluation_url(),
                "reason": found.evaluations[run.pk],
            }
            for run in evaluations
        ]
