"""The losses of learning from given responses, as small pure functions on tensors.

Shapes: E edges, pairs (i, j) of responses to one prompt; N responses; log-probs are of whole responses, summed over
their tokens, in nats, unless a function says otherwise. Nothing here knows a model, a tokenizer or a run. Each function
returns one value per edge, response or token: averages are the caller's, who divides by the true count of a whole step.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

# supervised ---------------------------------------------------------------------------------------------------------


def sft_loss(logprobs: Tensor) -> Tensor:
    """Negative log-likelihood of response tokens, elementwise: `-log pi(y_t | x, y_<t)`.

    Only tokens of the response come in, its end token included, so nothing of the prompt is learnt by heart. Any shape.
    """
    return -logprobs


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


def robust_dpo_loss(gap: Tensor, p: Tensor, margin: Tensor, *, beta: float, flip_rate: float) -> Tensor:
    """DPO that is unbiased if a known share of labels is flipped (rDPO, Chowdhury et al. 2024). [E] -> [E].

        l(z) = -log sigma(z) ;   z = beta h - m
        r(z) = [(1 - eps) l(z) - eps l(-z)] / (1 - 2 eps)
        L = p r(z) + (1 - p) r(-z)

    flip_rate: eps, below one half. Where cDPO pulls every gap towards a finite one, this keeps the noiseless optimum,
    and may be negative.
    """
    z = beta * gap - margin

    def unbiased(value: Tensor) -> Tensor:
        straight, flipped = -F.logsigmoid(value), -F.logsigmoid(-value)
        return ((1.0 - flip_rate) * straight - flip_rate * flipped) / (1.0 - 2.0 * flip_rate)

    return p * unbiased(z) + (1.0 - p) * unbiased(-z)


def simpo_loss(mean_i: Tensor, mean_j: Tensor, p: Tensor, margin: Tensor, *, beta: float, target: float) -> Tensor:
    """Simple preference optimisation, without a reference (Meng et al. 2024, eq. 6). [E] -> [E].

        z = beta (a_i - a_j)
        L = -p log sigma(z - g - m) - (1 - p) log sigma(-z - g + m)

    mean_i, mean_j: a, log-probs *averaged* over the response's tokens, so that length earns nothing. target: g, the gap
    that the paper asks the preferred response to win by.
    """
    z = beta * (mean_i - mean_j)
    return -p * F.logsigmoid(z - target - margin) - (1.0 - p) * F.logsigmoid(-z - target + margin)


def odds_ratio_loss(mean_i: Tensor, mean_j: Tensor, p: Tensor, margin: Tensor) -> Tensor:
    """The preference term of ORPO (Hong et al. 2024, eq. 7), to be added to the SFT loss. [E] -> [E].

        odds(a) = e^a / (1 - e^a) ;   z = log odds(a_i) - log odds(a_j)
        L = -p log sigma(z - m) - (1 - p) log sigma(-(z - m))

    mean_i, mean_j: a < 0, log-probs averaged over tokens. There is no reference.
    """
    z = log_odds(mean_i) - log_odds(mean_j) - margin
    return -p * F.logsigmoid(z) - (1.0 - p) * F.logsigmoid(-z)


def log_odds(mean: Tensor) -> Tensor:
    """`a - log(1 - e^a)` for a <= 0, exact near both ends (Maechler 2012); 0 is taken as the nearest number below."""
    a = mean.clamp(max=-torch.finfo(mean.dtype).tiny)
    near = torch.log(-torch.expm1(a.clamp(min=-math.log(2.0))))
    far = torch.log1p(-torch.exp(a.clamp(max=-math.log(2.0))))
    return a - torch.where(a > -math.log(2.0), near, far)


def kto_baseline(policy: Tensor, reference: Tensor) -> Tensor:
    """KTO's reference point z0: how far policy is from reference (Ethayarajh et al. 2024, sec. 4). [N] -> [].

        z0 = max(0, mean_n [log pi(y'_n|x_n) - log ref(y'_n|x_n)])

    y'_n is a response to *another* prompt: such mismatched pairs estimate the KL without sampling. No gradient flows.
    """
    return (policy - reference).detach().mean().clamp(min=0.0)


def kto_loss(
    implicit: Tensor,
    desirable: Tensor,
    baseline: Tensor,
    *,
    beta: float,
    desirable_weight: float,
    undesirable_weight: float,
) -> Tensor:
    """Kahneman-Tversky optimisation from unpaired feedback (Ethayarajh et al. 2024). [N] -> [N].

        v = sigma(beta (r - z0)) if desirable, sigma(beta (z0 - r)) if not ;   L = lambda (1 - v)

    implicit: r = log pi(y|x) - log ref(y|x). baseline: z0 [] of `kto_baseline`. The paper's loss lambda_y - v with
    v = lambda_y sigma(.). The two weights should make up for an imbalance of the labels.
    """
    z = beta * (implicit - baseline)
    wanted = desirable_weight * torch.sigmoid(-z)
    unwanted = undesirable_weight * torch.sigmoid(z)
    return torch.where(desirable, wanted, unwanted)
