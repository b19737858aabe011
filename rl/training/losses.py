"""The mathematics of policy training, as small pure functions on tensors.

Shapes: E edges; N responses; T tokens of the longest response; a `mask` [N, T] is True on response tokens. Nothing here
knows a model, a tokenizer or a run. Averages over minibatches are the caller's: these functions return one value per
edge or per token, so that accumulated batches can be divided by the true count of the whole step.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

# preferences --------------------------------------------------------------------------------------------------------


def implicit_rewards(policy: Tensor, reference: Tensor) -> Tensor:
    """`log pi(y|x) - log ref(y|x)`: what DPO calls the reward, before its factor beta.

    policy, reference: log-probabilities of whole responses, summed over tokens, any equal shape, in nats.
    """
    return policy - reference


def dpo_loss(gap: Tensor, p: Tensor, margin: Tensor, *, beta: float, label_smoothing: float = 0.0) -> Tensor:
    """Direct preference optimisation with soft labels. [E] -> [E].

        h = [log pi/ref](y_i) - [log pi/ref](y_j)
        q = p (1 - 2 eps) + eps
        L = -q log sigma(beta h - m) - (1 - q) log sigma(-(beta h - m))

    gap: h. p: probability that i is preferred; 1 is plain DPO (Rafailov et al. 2023, eq. 7). margin: m, signed towards
    i, as in ODPO (Amini et al. 2024). label_smoothing: eps, the share of labels taken to be flipped (cDPO, Mitchell
    2023).
    """
    logit = beta * gap - margin
    q = p * (1.0 - 2.0 * label_smoothing) + label_smoothing
    return -q * F.logsigmoid(logit) - (1.0 - q) * F.logsigmoid(-logit)


def ipo_loss(gap: Tensor, p: Tensor, *, beta: float) -> Tensor:
    """Identity preference optimisation (Azar et al. 2023, eq. 17). [E] -> [E].

        L = p (h - 1/(2 beta))^2 + (1 - p) (h + 1/(2 beta))^2

    The gap h is a difference of log-probabilities *summed* over tokens, as in the paper; its target 1/(2 beta) is in
    nats per response. A hard label (p = 1) is the paper's loss; a soft one is its expectation over the label.
    """
    target = 1.0 / (2.0 * beta)
    return p * (gap - target).square() + (1.0 - p) * (gap + target).square()


def hinge_loss(gap: Tensor, p: Tensor, margin: Tensor, *, beta: float) -> Tensor:
    """Hinge on the normalised likelihood ratio (SLiC, Zhao et al. 2023; RSO, Liu et al. 2023). [E] -> [E].

    L = p max(0, 1 - (beta h - m)) + (1 - p) max(0, 1 + (beta h - m))
    """
    logit = beta * gap - margin
    return p * F.relu(1.0 - logit) + (1.0 - p) * F.relu(1.0 + logit)


# reinforcement ------------------------------------------------------------------------------------------------------


def kl_k1(policy: Tensor, reference: Tensor) -> Tensor:
    """`log pi - log ref` of sampled tokens: unbiased for KL(pi || ref) under samples of pi, may be negative.

    Schulman 2020, 'Approximating KL divergence'. Any shape, elementwise, nats.
    """
    return policy - reference


def kl_k3(policy: Tensor, reference: Tensor) -> Tensor:
    """`ref/pi - 1 - log(ref/pi)`: unbiased like k1, never negative, of lower variance (Schulman 2020). Elementwise."""
    log_ratio = reference - policy
    return torch.expm1(log_ratio) - log_ratio


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


def token_rewards(scores: Tensor, policy: Tensor, reference: Tensor, mask: Tensor, kl_coef: float) -> Tensor:
    """Reward of every sampled token: the KL penalty everywhere, the score on the last token of each response.

        r_t = -kl_coef (log pi_t - log ref_t) + [t is the response's last token] score

    scores [N]; the others [N, T]; mask rows are left-aligned. InstructGPT (Ouyang et al. 2022, eq. 2).
    """
    rewards = (-kl_coef * kl_k1(policy, reference)).masked_fill(~mask, 0.0)
    last = mask.sum(1) - 1
    return rewards.scatter_add(1, last[:, None], scores[:, None].to(rewards.dtype))


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
