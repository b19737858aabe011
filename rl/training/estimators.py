"""The mathematics of reinforcement: estimators of KL, returns and advantages, and the clipped losses.

Shapes: N responses; T tokens of the longest; a `mask` [N, T] is True on response tokens, left-aligned. Pure functions
on tensors; losses return one value per token, and `token_weights` says how those add up to a minibatch's loss.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

Normalisation = Literal["token", "sequence", "constant"]
KLEstimator = Literal["k1", "k2", "k3"]

# KL -----------------------------------------------------------------------------------------------------------------


def kl_k1(policy: Tensor, reference: Tensor) -> Tensor:
    """`log pi - log ref` of sampled tokens: unbiased for KL(pi || ref) under samples of pi, may be negative.

    Schulman 2020, 'Approximating KL divergence'. Any shape, elementwise, nats.
    """
    return policy - reference


def kl_k3(policy: Tensor, reference: Tensor) -> Tensor:
    """`ref/pi - 1 - log(ref/pi)`: unbiased like k1, never negative, of lower variance (Schulman 2020). Elementwise."""
    log_ratio = reference - policy
    return torch.expm1(log_ratio) - log_ratio


def kl_k2(policy: Tensor, reference: Tensor) -> Tensor:
    """`(log pi - log ref)^2 / 2`: biased but of low variance (Schulman 2020). Elementwise.

    As a loss it is the one whose gradient, over samples of pi, is that of the KL itself (Zhang et al. 2025).
    """
    return 0.5 * (policy - reference).square()


KL_ESTIMATORS = {"k1": kl_k1, "k2": kl_k2, "k3": kl_k3}


# tokens -------------------------------------------------------------------------------------------------------------


def masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    """Mean over the tokens where `mask` is true."""
    return values.masked_fill(~mask, 0.0).sum() / mask.sum()


def whiten(values: Tensor, mask: Tensor) -> Tensor:
    """Shift and scale to mean 0 and variance 1 over `mask`; zero elsewhere. [N, T] -> [N, T].

    The variance is the unbiased one, with 1e-8 under the root, as in the original RLHF code; a single token gives 0.
    """
    count = mask.sum()
    centred = (values - masked_mean(values, mask)).masked_fill(~mask, 0.0)
    variance = centred.square().sum() / (count - 1).clamp(min=1)
    return centred * torch.rsqrt(variance + 1e-8)


def token_weights(mask: Tensor, how: Normalisation, longest: int) -> Tensor:
    """Weight of each token in the loss of the N responses of a minibatch. [N, T] bool -> [N, T] float.

        token      1 / (all response tokens): every token counts the same, long responses more (DAPO, Yu et al. 2025)
        sequence   1 / (N |y_n|): every response counts the same, a token of a long one less (GRPO, Shao et al. 2024)
        constant   1 / (N longest): neither length nor batch changes what a token counts (Dr. GRPO, Liu et al. 2025)

    Computed over a whole minibatch, whatever forwards it is cut into.
    """
    inside = mask.to(torch.float32)
    if how == "token":
        return inside / inside.sum()
    if how == "sequence":
        return inside / (len(mask) * inside.sum(1, keepdim=True).clamp(min=1.0))
    return inside / (len(mask) * longest)


# rewards ------------------------------------------------------------------------------------------------------------


@dataclass
class RunningMoments:
    """Mean and variance of all rewards seen so far (Welford 1962; batches by Chan et al. 1979)."""

    count: float = 0.0
    mean: float = 0.0
    squares: float = 0.0

    def update(self, values: Sequence[float]) -> None:
        """Take in a batch. An empty one changes nothing."""
        if not values:
            return
        n = len(values)
        mean = math.fsum(values) / n
        squares = math.fsum((value - mean) ** 2 for value in values)
        gap, total = mean - self.mean, self.count + n
        self.squares += squares + gap * gap * self.count * n / total
        self.mean += gap * n / total
        self.count = total

    @property
    def std(self) -> float:
        """Standard deviation over everything seen; 1 while there is no spread, so that dividing by it does nothing."""
        spread = math.sqrt(self.squares / self.count) if self.count else 0.0
        return spread if spread > 1e-8 else 1.0


def scaled_rewards(rewards: Tensor, moments: RunningMoments | None, clip: float | None) -> Tensor:
    """Rewards [N] brought to running mean 0 and spread 1, then kept within [-clip, clip]; None leaves a part out."""
    if moments is not None:
        rewards = (rewards - moments.mean) / moments.std
    return rewards if clip is None else rewards.clamp(-clip, clip)


def token_rewards(
    scores: Tensor, policy: Tensor, reference: Tensor, mask: Tensor, kl_coef: float, estimator: KLEstimator = "k1"
) -> Tensor:
    """Reward of every sampled token: the KL penalty everywhere, the score on the last token of each response.

        r_t = -kl_coef kl_t + [t is the response's last token] score

    scores [N]; the others [N, T]; mask rows are left-aligned. InstructGPT (Ouyang et al. 2022, eq. 2) with k1.
    """
    rewards = (-kl_coef * KL_ESTIMATORS[estimator](policy, reference)).masked_fill(~mask, 0.0)
    last = mask.sum(1) - 1
    return rewards.scatter_add(1, last[:, None], scores[:, None].to(rewards.dtype))


# advantages ---------------------------------------------------------------------------------------------------------


def gae(rewards: Tensor, values: Tensor, mask: Tensor, *, gamma: float, lam: float) -> tuple[Tensor, Tensor]:
    """Generalised advantage estimation (Schulman et al. 2016, eq. 16). [N, T] each -> (advantages, returns) [N, T].

        delta_t = r_t + gamma V_{t+1} - V_t ;   A_t = delta_t + gamma lam A_{t+1} ;   return_t = A_t + V_t

    V_t is the value of the state before token t. A response ends after its last token, whether it closed itself or ran
    out of room, and the value there is 0. Positions outside the mask are 0 in both results.
    """
    inside = mask.to(values.dtype)
    advantages = torch.zeros_like(values)
    ahead = torch.zeros_like(values[:, 0])
    next_value = torch.zeros_like(ahead)
    for t in range(values.shape[1] - 1, -1, -1):
        delta = rewards[:, t] + gamma * next_value - values[:, t]
        ahead = (delta + gamma * lam * ahead) * inside[:, t]
        advantages[:, t] = ahead
        next_value = values[:, t] * inside[:, t]
    return advantages, (advantages + values) * inside


def rewards_to_go(rewards: Tensor, mask: Tensor, *, gamma: float) -> Tensor:
    """`R_t = r_t + gamma R_{t+1}` over each response, 0 outside the mask. [N, T] -> [N, T]."""
    returns = torch.zeros_like(rewards)
    ahead = torch.zeros_like(rewards[:, 0])
    inside = mask.to(rewards.dtype)
    for t in range(rewards.shape[1] - 1, -1, -1):
        ahead = (rewards[:, t] + gamma * ahead) * inside[:, t]
        returns[:, t] = ahead
    return returns


def group_advantages(scores: Tensor, size: int, *, standardise: bool) -> Tensor:
    """GRPO's advantage of a response among the `size` to its prompt (Shao et al. 2024, sec. 4.1.2). [N] -> [N].

        A_n = (s_n - mean) / (std + 1e-4) ;   without standardisation A_n = s_n - mean (Dr. GRPO, Liu et al. 2025)

    Groups are consecutive. std is the unbiased one. A group whose responses all score the same teaches nothing: 0.
    """
    groups = scores.view(-1, size)
    centred = groups - groups.mean(1, keepdim=True)
    if standardise:
        centred = centred / (groups.std(1, keepdim=True) + 1e-4)
    return centred.reshape(-1)


def leave_one_out(scores: Tensor, size: int) -> Tensor:
    """RLOO's advantage: the score less the mean of the *other* responses to the prompt (Ahmadian et al. 2024).

        A_n = s_n - 1/(size - 1) sum_{m != n} s_m

    Groups of `size` >= 2 are consecutive. [N] -> [N]. The baseline does not depend on y_n, so the gradient is unbiased.
    """
    groups = scores.view(-1, size)
    others = (groups.sum(1, keepdim=True) - groups) / (size - 1)
    return (groups - others).reshape(-1)


def best_of_groups(scores: Tensor, size: int, *, keep: int, threshold: float | None = None) -> Tensor:
    """1 for the `keep` best of each consecutive group of `size`, 0 for others. [N] -> [N].

    Rejection sampling; with `threshold` only what scores at least that is kept (ReST, Gulcehre et al. 2023). Of equal
    scores the earlier sample is kept.
    """
    groups = scores.view(-1, size)
    order = groups.argsort(dim=1, descending=True, stable=True)[:, :keep]
    kept = torch.zeros_like(groups).scatter(1, order, 1.0)
    if threshold is not None:
        kept = kept * (groups >= threshold)
    return kept.reshape(-1)


# losses -------------------------------------------------------------------------------------------------------------


def ppo_policy_loss(new: Tensor, old: Tensor, advantages: Tensor, *, clip: float) -> tuple[Tensor, Tensor]:
    """Clipped surrogate (Schulman et al. 2017, eq. 7), elementwise over tokens -> (loss, clipped).

        rho = exp(new - old) ;   L = -min(rho A, clamp(rho, 1 - clip, 1 + clip) A)

    new, old: log-probabilities of the sampled tokens now and when they were sampled. `clipped` is true where the clamp
    is what counts, i.e. where the token gives no gradient.
    """
    ratio = torch.exp(new - old)
    plain = -advantages * ratio
    clamped = -advantages * ratio.clamp(1.0 - clip, 1.0 + clip)
    return torch.maximum(plain, clamped), (clamped > plain).detach()


def ppo_value_loss(new: Tensor, old: Tensor, returns: Tensor, *, clip: float) -> tuple[Tensor, Tensor]:
    """Clipped value regression of PPO's reference implementation, elementwise over tokens -> (loss, clipped).

    V' = clamp(V, V_old - clip, V_old + clip) ;   L = 1/2 max((V - R)^2, (V' - R)^2)
    """
    bounded = torch.maximum(torch.minimum(new, old + clip), old - clip)
    plain = (new - returns).square()
    clamped = (bounded - returns).square()
    return 0.5 * torch.maximum(plain, clamped), (clamped > plain).detach()


def explained_variance(values: Tensor, returns: Tensor, mask: Tensor) -> float:
    """`1 - Var(R - V) / Var(R)` over response tokens: 1 is perfect, 0 as good as a constant, NaN without spread."""
    r, v = returns[mask].double(), values[mask].double()
    spread = r.var(correction=0)
    return float("nan") if spread == 0 else float(1.0 - (r - v).var(correction=0) / spread)


def adapted_kl_coef(coef: float, kl: float, *, target: float, horizon: float, responses: int) -> float:
    """Next KL coefficient of the proportional controller of Ziegler et al. 2019, section 2.2.

        e = clamp(kl/target - 1, -0.2, 0.2) ;   coef' = coef (1 + e * responses / horizon)

    kl and target in nats per response; `responses` were sampled since the last call.
    """
    error = min(max(kl / target - 1.0, -0.2), 0.2)
    return coef * (1.0 + error * responses / horizon)


# best of n ----------------------------------------------------------------------------------------------------------


def best_of_n_kl(n: int) -> float:
    """`log n - (n - 1)/n`: how far best-of-n is from its policy at most, in nats (Beirami et al. 2024).

    It is that exactly where no two responses tie.
    """
    return math.log(n) - (n - 1) / n


def best_of_n_reward(rewards: Sequence[float], n: int) -> float:
    """Expected best of n draws from the samples at hand, without replacement: an unbiased estimate of best-of-n.

        E[max] = sum_i C(i - 1, n - 1) / C(N, n) r_(i)     with r_(1) <= ... <= r_(N)

    All N >= n samples count, not n of them (Nakano et al. 2021); pass@k of Chen et al. 2021 is its case of 0 and 1.
    """
    count = len(rewards)
    if not 1 <= n <= count:
        raise ValueError(f"Best of {n} needs at least {n} samples, and there are {count}.")
    total = math.comb(count, n)
    return math.fsum(math.comb(i, n - 1) / total * reward for i, reward in enumerate(sorted(rewards)))
