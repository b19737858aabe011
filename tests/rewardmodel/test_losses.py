"""Losses against numbers worked out by hand in the comments."""

import math

import pytest
import torch

from annotate.pairs import Edge, edges
from rewardmodel.training import losses

SCORES = torch.tensor([2.0, 1.0, 0.0], dtype=torch.float64)


def sigma(x):
    return 1 / (1 + math.exp(-x))


def test_a_plain_preference_costs_minus_log_sigma_of_the_difference():
    # s_0 - s_1 = 1: -log sigma(1) = log(1 + e^-1) = 0.313262
    loss = losses.bradley_terry(SCORES, [Edge(0, 1, 1.0, 1.0)])
    assert loss.item() == pytest.approx(0.3132616875, abs=1e-7)


def test_k_wise_loss_is_the_mean_over_all_pairs_of_the_comparison():
    # 0 beats 1 beats 2. Differences 1, 2, 1: (0.3132617 + 0.1269280 + 0.3132617) / 3 = 0.2511505
    everything = edges([{"ranks": [1, 2, 3]}], 3)
    assert losses.bradley_terry(SCORES, everything).item() == pytest.approx(0.2511504607, abs=1e-7)


def test_a_reversed_ranking_costs_the_mirrored_pairs():
    # 2 beats 1 beats 0. -log sigma(-1) = 1.3132617, -log sigma(-2) = 2.1269280: (2 * 1.3132617 + 2.1269280) / 3
    everything = edges([{"ranks": [3, 2, 1]}], 3)
    assert losses.bradley_terry(SCORES, everything).item() == pytest.approx(1.5844837940, abs=1e-7)


def test_weights_average_the_pairs_of_a_comparison():
    # weights 3 and 1 on losses 0.3132617 (difference 1) and 2.1269280 (difference -2): (0.9397851 + 2.1269280) / 4
    loss = losses.bradley_terry(SCORES, [Edge(0, 1, 3.0, 1.0), Edge(0, 2, 1.0, 0.0)])
    assert loss.item() == pytest.approx(0.7666782685, abs=1e-7)


def test_a_soft_label_mixes_both_directions():
    # two of three prefer 0: 2/3 * 0.3132617 + 1/3 * 1.3132617 = 0.6465950
    loss = losses.bradley_terry(
        SCORES, edges([{"ranks": [1, 2, None]}, {"ranks": [1, 2, None]}, {"ranks": [2, 1, None]}], 3)
    )
    assert loss.item() == pytest.approx(0.6465950208, abs=1e-7)


def test_a_tie_is_cheapest_at_equal_scores_and_pushes_them_together():
    scores = torch.tensor([0.7, 0.7], requires_grad=True)
    loss = losses.bradley_terry(scores, edges([{"ranks": [1, 1]}], 2))
    loss.backward()
    assert loss.item() == pytest.approx(math.log(2), abs=1e-6)
    assert scores.grad.tolist() == pytest.approx([0.0, 0.0], abs=1e-7)
    apart = torch.tensor([1.0, 0.0], requires_grad=True)
    losses.bradley_terry(apart, edges([{"ranks": [1, 1]}], 2)).backward()
    # d/ds_0 of the tie loss is sigma(1) - 1/2 = 0.2310586
    assert apart.grad.tolist() == pytest.approx([0.2310586, -0.2310586], abs=1e-6)


def test_label_smoothing_moves_p_towards_one_half():
    # e = 0.1 on p = 1: 0.9 * 0.3132617 + 0.1 * 1.3132617 = 0.4132617
    loss = losses.bradley_terry(SCORES, [Edge(0, 1, 1.0, 1.0)], label_smoothing=0.1)
    assert loss.item() == pytest.approx(0.4132616875, abs=1e-7)


def test_a_margin_asks_for_a_larger_difference_in_the_preferred_direction():
    # m = 1: -log sigma(1 - 1) = log 2, whichever way round the edge is written
    forwards = losses.bradley_terry(
        SCORES, edges([{"ranks": [1, 2, None], "strengths": [1, None, None]}], 3), use_margin=True
    )
    assert forwards.item() == pytest.approx(math.log(2), abs=1e-7)
    flipped = torch.tensor([1.0, 2.0, 0.0], dtype=torch.float64)
    backwards = losses.bradley_terry(
        flipped, edges([{"ranks": [2, 1, None], "strengths": [None, 1, None]}], 3), use_margin=True
    )
    assert backwards.item() == pytest.approx(math.log(2), abs=1e-7)


def test_margins_are_ignored_unless_asked_for():
    assert losses.bradley_terry(SCORES, [Edge(0, 1, 1.0, 1.0, 2.0)]).item() == pytest.approx(0.3132616875, abs=1e-7)


def test_a_response_that_nobody_ranked_gets_no_gradient():
    scores = SCORES.clone().requires_grad_()
    losses.bradley_terry(scores, edges([{"ranks": [1, None, 2]}], 3)).backward()
    assert scores.grad[1].item() == 0
    # d/ds_0 of -log sigma(2) is -sigma(-2) = -0.1192029
    assert scores.grad[0].item() == pytest.approx(-0.1192029220, abs=1e-7)


def test_centering_is_the_mean_squared_sum_of_each_pair():
    # (2 + 1)^2 = 9 with weight 1, (1 + 0)^2 = 1 with weight 3: 12 / 4 = 3
    assert losses.centering(SCORES, [Edge(0, 1, 1.0, 1.0), Edge(1, 2, 3.0, 1.0)]).item() == pytest.approx(3.0)


def test_plackett_luce_multiplies_the_choices():
    # exp(2, 1, 0) = 7.389056, 2.718282, 1.
    # Choices: log(11.107338 / 7.389056) = 0.4076060; log(3.718282 / 2.718282) = 0.3132617.
    # Mean of the two choices: 0.3604338
    loss = losses.plackett_luce(SCORES, [{"ranks": [1, 2, 3], "weight": 1.0}])
    assert loss.item() == pytest.approx(0.3604338248, abs=1e-7)


@pytest.mark.parametrize("ranks", [[1, 2], [2, 1], [1, 1]])
def test_plackett_luce_of_two_responses_is_bradley_terry(ranks):
    scores = torch.tensor([0.3, -1.1], dtype=torch.float64)
    pair = losses.bradley_terry(scores, edges([{"ranks": ranks}], 2))
    assert losses.plackett_luce(scores, [{"ranks": ranks}]).item() == pytest.approx(pair.item(), abs=1e-12)


@pytest.mark.parametrize(
    ("tied", "orders"),
    [
        ([1, 1, 2], [[1, 2, 3], [2, 1, 3]]),
        ([1, 2, 2], [[1, 2, 3], [1, 3, 2]]),
        ([1, 1, 1], [[1, 2, 3], [1, 3, 2], [2, 1, 3], [2, 3, 1], [3, 1, 2], [3, 2, 1]]),
    ],
)
def test_a_plackett_luce_tie_is_the_mean_over_the_orders_it_allows(tied, orders):
    every = [losses.plackett_luce(SCORES, [{"ranks": order}]).item() for order in orders]
    assert losses.plackett_luce(SCORES, [{"ranks": tied}]).item() == pytest.approx(sum(every) / len(every), abs=1e-12)


def test_plackett_luce_weighs_rankings_and_skips_those_that_order_nothing():
    # 3 parts of 1 > 2 (0.3132617), 1 part of 2 > 1 (1.3132617), and two that say nothing: 0.5632617
    rankings = [
        {"ranks": [1, 2, None], "weight": 3.0},
        {"ranks": [2, 1, None], "weight": 1.0},
        {"ranks": [None, None, 1], "weight": 5.0},
        {"ranks": [3, 2, 1], "weight": 0.0},
    ]
    assert losses.plackett_luce(SCORES, rankings).item() == pytest.approx(0.5632616875, abs=1e-7)


def test_plackett_luce_refuses_rankings_that_order_nothing():
    with pytest.raises(ValueError, match="nothing to learn"):
        losses.plackett_luce(SCORES, [{"ranks": [1, None, None]}])


def test_large_differences_do_not_overflow():
    scores = torch.tensor([-1e4, 1e4], requires_grad=True)
    loss = losses.bradley_terry(scores, [Edge(0, 1, 1.0, 1.0)])
    loss.backward()
    assert loss.item() == pytest.approx(2e4)
    assert torch.isfinite(scores.grad).all()
