"""Which metrics of a policy run are drawn together, and what is good; docs/metrics.md explains each one."""

from __future__ import annotations

from runs.metrics import Plot

SUBJECTS: dict[str, list[Plot]] = {
    "Loss and accuracy": [
        Plot("Loss", ("loss", "test_loss"), good="lower is better; a held-out one that turns up is overfitting"),
        Plot("Accuracy", ("accuracy", "test_accuracy"), good="higher is better"),
        Plot("Perplexity", ("perplexity", "test_perplexity"), good="lower is better"),
    ],
    "Reward": [
        Plot(
            "Reward",
            ("reward", "test_reward", "test_watched_reward", "reward_bound", "test_reward_bound"),
            good="higher is better, as long as all of them rise",
        ),
        Plot("Reward by part", ("reward/*",), good="none falls for another\u2019s sake"),
        Plot("Held-out reward by part", ("test_reward/*",), good="none falls for another\u2019s sake"),
        Plot("Implicit reward margin", ("reward_margin", "test_reward_margin"), good="higher is better"),
        Plot(
            "Implicit rewards",
            ("chosen_reward", "rejected_reward", "test_chosen_reward", "test_rejected_reward"),
            good="preferred above the others, and not both far down",
        ),
        Plot("Spread of the rewards", ("reward_std",), good="above 0, or there is nothing to learn"),
        Plot("What a step teaches", ("even_groups", "kept_share"), good="few prompts that teach nothing"),
    ],
    "Distance from the reference": [
        Plot(
            "KL from the reference",
            ("kl", "kl_k3", "test_kl", "test_kl_k3"),
            good="grows slowly from 0",
            level="kl_target",
            level_when=("kl_control", "adaptive"),
        ),
        Plot("KL coefficient", ("kl_coef",), good="moves slowly, if at all"),
        Plot("KL baseline of KTO", ("kl_baseline", "test_kl_baseline"), good="grows slowly from 0"),
    ],
    "Policy update": [
        Plot("Entropy", ("entropy",), good="falls slowly, never to 0"),
        Plot("Clip fraction", ("clip_fraction",), good="0.05 to 0.2"),
        Plot("KL of one step\u2019s update", ("update_kl",), good="around 0.01, below 0.1"),
        Plot("Policy loss", ("policy_loss",)),
        Plot("Language-model loss of the mix", ("ptx_loss",), good="steady or falling"),
        Plot("Gradient norm before clipping", ("grad_norm",), good="steady"),
        Plot("Learning rate", ("learning_rate",)),
        Plot("Rounding", ("sampler_error", "first_ratio_error"), good="below 0.0001 in float32"),
    ],
    "Critic": [
        Plot("Explained variance", ("explained_variance",), good="rises towards 1"),
        Plot("Value loss", ("value_loss",), good="lower is better"),
        Plot("Mean value", ("value_mean",), good="follows the reward"),
        Plot("Value clip fraction", ("value_clip_fraction",), good="falls"),
        Plot("Gradient norm of the critic before clipping", ("critic_grad_norm",), good="steady"),
    ],
    "Responses": [
        Plot("Length", ("response_tokens", "test_response_tokens"), good="steady"),
        Plot("Ended by themselves", ("eos_rate", "test_eos_rate"), good="rises or stays"),
        Plot("Repeats", ("repetition", "test_repetition"), good="low and steady"),
    ],
    "Time and speed": [
        Plot(
            "Time of a step by phase",
            ("seconds/sample", "seconds/score", "seconds/reference", "seconds/update", "seconds/*"),
            good="sampling and update dominate",
            stacked=True,
            apart=("seconds/step",),
        ),
        Plot("Time of a whole step", ("seconds/step",), good="lower is better"),
        Plot("Speed", ("tokens_per_second",), good="higher is better"),
    ],
}
