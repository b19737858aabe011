"""Drawing one token a row, with the log-prob it really had."""

from __future__ import annotations

import torch

from lm.config import Sampling

# The nucleus is nearly always among this many tokens; sorting the whole vocabulary costs more than the model does.
_CANDIDATES = 64


def draw(logits: torch.Tensor, uniforms: torch.Tensor, sampling: Sampling) -> tuple[torch.Tensor, torch.Tensor]:
    """Draw from softmax(logits / temperature), cut to top-k, then to the nucleus of top-p (Holtzman et al. 2019).

    `logits` [n, V] float32, `uniforms` [n] float64 in [0, 1) -> ids [n], and their log-probs [n] under the distribution
    they were drawn from: temperature applied, the cut renormalised. Temperature 0 takes the likeliest token, with
    log-prob 0. The same logits and uniform always give the same token (inverse transform), whatever the other rows are.
    """
    if sampling.temperature == 0:
        return logits.argmax(dim=-1), logits.new_zeros(logits.shape[0])
    scaled = logits / sampling.temperature
    if sampling.top_p == 1 and sampling.top_k in (0, *range(logits.shape[1], sampling.top_k + 1)):
        return _draw_any(scaled, uniforms)
    return _draw_cut(scaled, uniforms, sampling)


def _draw_any(scaled: torch.Tensor, uniforms: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    logprobs = scaled.log_softmax(dim=-1)
    ladder = logprobs.exp().cumsum(dim=-1, dtype=torch.float64)
    ids = torch.searchsorted(ladder, (uniforms * ladder[:, -1])[:, None], right=True)
    ids.clamp_(max=scaled.shape[1] - 1)
    return ids[:, 0], logprobs.gather(1, ids)[:, 0]


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
