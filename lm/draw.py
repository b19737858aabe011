"""Drawing one token a row, with the log-prob it really had."""

from __future__ import annotations

import torch

from lm.config import Sampling

# The nucleus is nearly always among this many tokens; sorting the whole vocabulary costs more than the model does.
_CANDIDATES = 64
# Words in one step of the first flight of `_draw_any`.
_BLOCK = 256


def draw(logits: torch.Tensor, uniforms: torch.Tensor, sampling: Sampling) -> tuple[torch.Tensor, torch.Tensor]:
    """Draw from softmax(logits / temperature), cut to top-k, then to the nucleus of top-p (Holtzman et al. 2019).

    `logits` [n, V] float32, `uniforms` [n] float64 in [0, 1) -> ids [n], and their log-probs [n] under the distribution
    they were drawn from: temperature applied, the cut renormalised. Temperature 0 takes the likeliest token, with
    log-prob 0. The same logits and uniform always give the same token (inverse transform), whatever the other rows are.
    """
    if sampling.temperature == 0:
        return logits.argmax(dim=-1), logits.new_zeros(logits.shape[0])
    scaled = logits if sampling.temperature == 1 else logits / sampling.temperature
    if sampling.top_p == 1 and sampling.top_k in (0, *range(logits.shape[1], sampling.top_k + 1)):
        return _draw_any(scaled, uniforms)
    return _draw_cut(scaled, uniforms, sampling)


def _draw_any(scaled: torch.Tensor, uniforms: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Climb the distribution in two flights, over blocks of words and then within one.

    One flight of steps in float64 over the whole vocabulary takes three times as long as the softmax.
    """
    rows, words = scaled.shape
    peak = scaled.amax(dim=-1, keepdim=True)
    shares = torch.nn.functional.pad((scaled - peak).exp_(), (0, -words % _BLOCK)).view(rows, -1, _BLOCK)
    ladder = shares.sum(dim=-1).double().cumsum(dim=-1)
    total = ladder[:, -1:]
    goal = uniforms[:, None] * total
    block = torch.searchsorted(ladder, goal, right=True).clamp_(max=ladder.shape[1] - 1)
    below = torch.where(block > 0, ladder.gather(1, (block - 1).clamp_(min=0)), 0.0)
    steps = shares[torch.arange(rows, device=scaled.device), block[:, 0]].double().cumsum(dim=-1)
    place = torch.searchsorted(steps, goal - below, right=True)
    # Rounding may lead past the last word that has a share at all.
    last = torch.searchsorted(steps, steps[:, -1:].contiguous())
    ids = (block * _BLOCK + torch.minimum(place, last)).clamp_(max=words - 1)
    logprobs = scaled.gather(1, ids) - peak - total.log().to(scaled.dtype)
    return ids[:, 0], logprobs[:, 0]


def _draw_cut(
    scaled: torch.Tensor, uniforms: torch.Tensor, sampling: Sampling, width: int = _CANDIDATES
) -> tuple[torch.Tensor, torch.Tensor]:
    width = min(sampling.top_k or width, scaled.shape[1])
    values, indices = scaled.topk(width, dim=-1)
    share = (values - scaled.logsumexp(dim=-1, keepdim=True)).double().exp()
    if sampling.top_k:
        share = share / share.sum(dim=-1, keepdim=True)
    ladder = share.cumsum(dim=-1)
    # A token is in if those before it do not yet reach top_p, so the likeliest always is.
    kept = share.masked_fill(ladder - share >= sampling.top_p, 0.0)
    steps = kept.cumsum(dim=-1)
    mass = steps[:, -1:]
    rank = torch.searchsorted(steps, uniforms[:, None] * mass, right=True)
    rank = torch.minimum(rank, (kept > 0).sum(dim=-1, keepdim=True) - 1)
    ids = indices.gather(1, rank)[:, 0]
    logprobs = (kept.gather(1, rank) / mass).log().to(scaled.dtype)[:, 0]
    if not sampling.top_k and width < scaled.shape[1]:
        wider = (ladder[:, -1] < sampling.top_p).nonzero()[:, 0]
        if len(wider):
            ids[wider], logprobs[wider] = _draw_cut(scaled[wider], uniforms[wider], sampling, width * 8)
    return ids, logprobs
