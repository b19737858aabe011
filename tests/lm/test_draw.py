import math

import pytest
import torch

from lm.config import Sampling
from lm.draw import draw


def shares(logits: torch.Tensor, sampling: Sampling, count: int = 20_000) -> torch.Tensor:
    """How often each token is drawn over an even grid of uniforms, which is its probability up to 1 / count."""
    uniforms = (torch.arange(count, dtype=torch.float64) + 0.5) / count
    ids, _ = draw(logits.expand(count, -1), uniforms, sampling)
    return torch.bincount(ids, minlength=len(logits)) / count


LOGITS = torch.tensor([1.0, 3.0, -2.0, 2.0, 0.0])


def test_tokens_are_drawn_as_often_as_the_tempered_softmax_says():
    for temperature in (0.5, 1.0, 2.0):
        found = shares(LOGITS, Sampling(temperature=temperature, top_p=1.0))
        assert torch.allclose(found, (LOGITS / temperature).softmax(-1), atol=2e-4)


def test_words_of_every_block_are_drawn_by_their_share_and_impossible_ones_never():
    logits = torch.randn(1000, generator=torch.Generator().manual_seed(0))
    logits[[0, 255, 256, 700, 999]] = float("-inf")
    found = shares(logits, Sampling(temperature=1.0, top_p=1.0), 200_000)
    assert torch.allclose(found, logits.softmax(-1), atol=2e-5)
    assert found[[0, 255, 256, 700, 999]].tolist() == [0.0] * 5
    ends = torch.tensor([0.0, 1.0 - 2**-53], dtype=torch.float64)
    ids, logprobs = draw(logits.expand(2, -1), ends, Sampling(temperature=1.0, top_p=1.0))
    assert ids.tolist() == [1, 998]
    assert torch.allclose(logprobs, logits.log_softmax(-1)[ids])


def test_top_k_keeps_the_likeliest_in_proportion():
    wanted = torch.tensor([0.0, math.e**3, 0.0, math.e**2, 0.0])
    assert torch.allclose(
        shares(LOGITS, Sampling(temperature=1.0, top_p=1.0, top_k=2)), wanted / wanted.sum(), atol=2e-4
    )


def test_the_nucleus_is_the_fewest_tokens_that_reach_top_p():
    probabilities = torch.tensor([0.5, 0.25, 0.125, 0.0625, 0.0625])
    for top_p, kept in ((0.4, 1), (0.6, 2), (0.74, 2), (0.76, 3), (1.0, 5)):
        wanted = probabilities * (torch.arange(5) < kept)
        found = shares(probabilities.log(), Sampling(temperature=1.0, top_p=top_p))
        assert torch.allclose(found, wanted / wanted.sum(), atol=2e-4), top_p


def test_top_p_is_taken_of_what_top_k_left():
    probabilities = torch.tensor([0.4, 0.3, 0.2, 0.1])
    # Of the two left, the likelier has 4/7 of the mass.
    found = shares(probabilities.log(), Sampling(temperature=1.0, top_k=2, top_p=0.5))
    assert found.tolist() == [1.0, 0.0, 0.0, 0.0]


def test_a_wide_nucleus_is_found_beyond_the_first_candidates():
    flat = torch.zeros(1000)
    found = shares(flat, Sampling(temperature=1.0, top_p=0.8995), 4_500)
    assert int((found > 0).sum()) == 900
    assert torch.allclose(found[found > 0], torch.tensor(1 / 900), atol=1e-3)


def test_a_row_is_drawn_the_same_whatever_its_neighbours_need():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(6, 1000, generator=generator) * torch.tensor([0.0, 0.1, 1.0, 3.0, 10.0, 30.0])[:, None]
    uniforms = torch.rand(6, dtype=torch.float64, generator=generator)
    for sampling in (Sampling(temperature=0.9, top_p=0.95), Sampling(temperature=1.0, top_p=1.0)):
        together = draw(logits, uniforms, sampling)
        for row in range(6):
            alone = draw(logits[row : row + 1], uniforms[row : row + 1], sampling)
            assert int(alone[0]) == int(together[0][row])
            assert float(alone[1]) == pytest.approx(float(together[1][row]), abs=1e-6)


@pytest.mark.parametrize(
    "sampling",
    [
        Sampling(temperature=1.0, top_p=1.0),
        Sampling(temperature=0.7, top_p=0.8),
        Sampling(temperature=1.3, top_k=3, top_p=1.0),
        Sampling(temperature=1.3, top_k=4, top_p=0.7),
    ],
)
def test_log_probs_are_those_of_the_distribution_that_was_drawn_from(sampling):
    found = shares(LOGITS, sampling)
    uniforms = (torch.arange(200, dtype=torch.float64) + 0.5) / 200
    ids, logprobs = draw(LOGITS.expand(200, -1), uniforms, sampling)
    assert torch.allclose(logprobs.exp(), found[ids], atol=2e-4)


def test_temperature_0_takes_the_likeliest_for_certain():
    ids, logprobs = draw(LOGITS[None], torch.tensor([0.999], dtype=torch.float64), Sampling(temperature=0.0))
    assert (ids.tolist(), logprobs.tolist()) == ([1], [0.0])


def test_the_largest_uniform_still_draws_a_token_that_can_be_drawn():
    last = torch.tensor([1 - 2**-53], dtype=torch.float64)
    logits = torch.tensor([[0.0, 0.0, -1e4, -1e4]])
    for sampling in (Sampling(temperature=1.0, top_p=1.0), Sampling(temperature=1.0, top_p=0.9)):
        ids, logprobs = draw(logits, last, sampling)
        assert int(ids) in (0, 1)
        assert float(logprobs) == pytest.approx(math.log(0.5))
