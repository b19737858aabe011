"""Losses against numbers worked out by hand in the comments."""

import math

import pytest
import torch

from rl.training import losses


def column(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def rows(*values: list[float]) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


NONE = column(0.0)


# preferences --------------------------------------------------------------------------------------------------------


def test_dpo_of_a_plain_preference_is_minus_log_sigma_of_the_scaled_gap():
    # rewards: (-10 - -12) - (-9 - -8) = 2 + 1 = 3; beta h = 0.3; log(1 + e^-0.3) = 0.5543552
    policy, reference = column(-10.0, -9.0), column(-12.0, -8.0)
    implicit = losses.implicit_rewards(policy, reference)
    loss = losses.dpo_loss(implicit[:1] - implicit[1:], column(1.0), NONE, beta=0.1)
    assert loss.item() == pytest.approx(0.5543552444, abs=1e-9)


def test_dpo_starts_at_log_two_because_policy_and_reference_agree():
    assert losses.dpo_loss(NONE, column(1.0), NONE, beta=0.1).item() == pytest.approx(math.log(2))


def test_dpo_of_a_soft_label_mixes_both_directions():
    # beta h = 1: 0.75 * 0.3132617 + 0.25 * 1.3132617 = 0.5632617
    loss = losses.dpo_loss(column(2.0), column(0.75), NONE, beta=0.5)
    assert loss.item() == pytest.approx(0.5632616875, abs=1e-9)


def test_label_smoothing_flips_a_share_of_the_labels():
    # p = 1, eps = 0.1 is p = 0.9: 0.9 * 0.3132617 + 0.1 * 1.3132617 = 0.4132617
    loss = losses.dpo_loss(column(2.0), column(1.0), NONE, beta=0.5, label_smoothing=0.1)
    assert loss.item() == pytest.approx(0.4132616875, abs=1e-9)


def test_a_margin_must_be_won_on_top():
    # beta h - m = 1 - 1 = 0
    assert losses.dpo_loss(column(2.0), column(1.0), column(1.0), beta=0.5).item() == pytest.approx(math.log(2))


def test_a_pair_read_backwards_costs_the_same():
    forwards = losses.dpo_loss(column(1.7), column(0.8), column(0.4), beta=0.3, label_smoothing=0.05)
    backwards = losses.dpo_loss(column(-1.7), column(0.2), column(-0.4), beta=0.3, label_smoothing=0.05)
    assert forwards.item() == pytest.approx(backwards.item(), abs=1e-12)


def test_ipo_is_the_squared_distance_to_its_target():
    # target 1 / (2 * 0.1) = 5; (3 - 5)^2 = 4
    assert losses.ipo_loss(column(3.0), column(1.0), beta=0.1).item() == pytest.approx(4.0)


def test_ipo_of_a_soft_label_is_least_at_the_expected_target():
    # p = 0.75: 0.75 (h - 5)^2 + 0.25 (h + 5)^2 is least at h = 2.5
    gap = torch.tensor([2.5], dtype=torch.float64, requires_grad=True)
    losses.ipo_loss(gap, column(0.75), beta=0.1).sum().backward()
    assert gap.grad.item() == pytest.approx(0.0, abs=1e-12)


def test_hinge_is_flat_beyond_a_gap_of_one():
    # beta h = 0.4 -> 0.6; beta h = 1.5 -> 0; p = 0 on beta h = 0.4 -> 1.4
    loss = losses.hinge_loss(column(0.8, 3.0, 0.8), column(1.0, 1.0, 0.0), column(0.0, 0.0, 0.0), beta=0.5)
    assert loss.tolist() == pytest.approx([0.6, 0.0, 1.4])


# reinforcement ------------------------------------------------------------------------------------------------------


def test_kl_estimators_of_one_token():
    # log pi - log ref = 0.5: k1 = 0.5; k3 = e^-0.5 - 1 + 0.5 = 0.1065307
    assert losses.kl_k1(column(-1.0), column(-1.5)).item() == pytest.approx(0.5)
    assert losses.kl_k3(column(-1.0), column(-1.5)).item() == pytest.approx(0.1065306597, abs=1e-9)


def test_kl_estimators_agree_with_the_true_divergence_in_expectation():
    # pi = (0.7, 0.3), ref = (0.5, 0.5): KL = 0.7 ln 1.4 + 0.3 ln 0.6 = 0.0822830
    pi, ref = column(0.7, 0.3), column(0.5, 0.5)
    for estimator in (losses.kl_k1, losses.kl_k3):
        assert (pi * estimator(pi.log(), ref.log())).sum().item() == pytest.approx(0.0822828, abs=1e-6)


def test_the_score_sits_on_the_last_token_and_the_kl_penalty_on_every_one():
    policy, reference = rows([-1.0, -2.0, -1.0], [-1.0, 9.0, 9.0]), rows([-1.5, -2.0, -3.0], [-2.0, 0.0, 0.0])
    mask = torch.tensor([[True, True, True], [True, False, False]])
    # row 0: -0.1 * (0.5, 0, 2) + (0, 0, 3);  row 1: -0.1 * 1 + -1, and nothing on padding
    rewards = losses.token_rewards(column(3.0, -1.0), policy, reference, mask, 0.1)
    assert rewards[0].tolist() == pytest.approx([-0.05, 0.0, 2.8])
    assert rewards[1].tolist() == pytest.approx([-1.1, 0.0, 0.0])


def test_gae_by_hand():
    # gamma 1, lam 0.5, V = (1, 2, 3), r = (0, 0, 4)
    # delta = (0 + 2 - 1, 0 + 3 - 2, 4 - 3) = (1, 1, 1);  A = (1 + 0.5 * 1.5, 1 + 0.5, 1) = (1.75, 1.5, 1)
    mask = torch.ones(1, 3, dtype=torch.bool)
    values = rows([1.0, 2.0, 3.0])
    advantages, returns = losses.gae(rows([0.0, 0.0, 4.0]), values, mask, gamma=1.0, lam=0.5)
    assert advantages[0].tolist() == pytest.approx([1.75, 1.5, 1.0])
    assert returns[0].tolist() == pytest.approx([2.75, 3.5, 4.0])


def test_gae_of_a_short_response_does_not_see_its_padding():
    mask = torch.tensor([[True, True, False]])
    alone, _ = losses.gae(rows([0.0, 1.0]), rows([0.5, 0.2]), mask[:, :2], gamma=0.9, lam=0.95)
    padded, returns = losses.gae(rows([0.0, 1.0, 77.0]), rows([0.5, 0.2, 55.0]), mask, gamma=0.9, lam=0.95)
    assert padded[0, :2].tolist() == pytest.approx(alone[0].tolist())
    assert padded[0, 2].item() == 0.0 and returns[0, 2].item() == 0.0


def test_lambda_one_gives_the_plain_return():
    _, returns = losses.gae(
        rows([1.0, 2.0, 3.0]), rows([9.0, -4.0, 0.5]), torch.ones(1, 3, dtype=torch.bool), gamma=1.0, lam=1.0
    )
    assert returns[0].tolist() == pytest.approx([6.0, 5.0, 3.0])


def test_whitening_counts_only_masked_tokens():
    # 1, 2, 3 have mean 2 and unbiased variance 1
    mask = torch.tensor([[True, True, False], [True, False, False]])
    white = losses.whiten(rows([1.0, 2.0, 100.0], [3.0, -100.0, 5.0]), mask)
    assert white[mask].tolist() == pytest.approx([-1.0, 0.0, 1.0], abs=1e-6)
    assert white[~mask].tolist() == [0.0, 0.0, 0.0]


def test_masked_mean_ignores_padding_even_if_it_is_not_a_number():
    assert losses.masked_mean(rows([1.0, math.nan, 3.0]), torch.tensor([[True, False, True]])).item() == 2.0


def test_ppo_policy_loss_clips_only_what_would_go_too_far():
    # ratios 1, 1.5, 1.5, 0.5, 0.5; advantages 2, 1, -1, 1, -1
    # losses: -2;  -min(1.5, 1.2) = -1.2;  -min(-1.5, -1.2) = 1.5;  -min(0.5, 0.8) = -0.5;  -min(-0.5, -0.8) = 0.8
    new = column(1.0, 1.5, 1.5, 0.5, 0.5).log()
    loss, clipped = losses.ppo_policy_loss(new, torch.zeros_like(new), column(2.0, 1.0, -1.0, 1.0, -1.0), clip=0.2)
    assert loss.tolist() == pytest.approx([-2.0, -1.2, 1.5, -0.5, 0.8])
    assert clipped.tolist() == [False, True, False, False, True]


def test_clipped_tokens_give_no_gradient():
    new = column(1.5, 1.5).log().requires_grad_()
    loss, _ = losses.ppo_policy_loss(new, column(0.0, 0.0), column(1.0, -1.0), clip=0.2)
    loss.sum().backward()
    assert new.grad.tolist() == pytest.approx([0.0, 1.5])


def test_ppo_value_loss_takes_the_worse_of_plain_and_clipped():
    # old 0, clip 0.2. new 1, R 1: plain 0, V' 0.2 -> 0.64 / 2 = 0.32;  new 0.1, R 1: both 0.81 -> 0.405
    # new -1, R 1: plain 4, V' = -0.2 -> 1.44; worse is 4 -> 2
    new, old, returns = column(1.0, 0.1, -1.0), column(0.0, 0.0, 0.0), column(1.0, 1.0, 1.0)
    loss, clipped = losses.ppo_value_loss(new, old, returns, clip=0.2)
    assert loss.tolist() == pytest.approx([0.32, 0.405, 2.0])
    assert clipped.tolist() == [True, False, False]


def test_explained_variance_of_perfect_useless_and_absent():
    mask = torch.tensor([[True, True, True, False]])
    returns = rows([1.0, 2.0, 3.0, 50.0])
    assert losses.explained_variance(returns, returns, mask) == pytest.approx(1.0)
    assert losses.explained_variance(torch.zeros_like(returns), returns, mask) == pytest.approx(0.0)
    assert math.isnan(losses.explained_variance(returns, torch.ones_like(returns), mask))


def test_the_adaptive_coefficient_moves_towards_its_target_and_never_fast():
    # error clamps at 0.2: 0.1 * (1 + 0.2 * 100 / 1000) = 0.102; at target nothing; below it falls
    def adapted(kl: float) -> float:
        return losses.adapted_kl_coef(0.1, kl, target=6.0, horizon=1000, responses=100)

    assert adapted(60.0) == pytest.approx(0.102)
    assert adapted(6.0) == pytest.approx(0.1)
    assert adapted(5.4) == pytest.approx(0.1 * (1 - 0.1 * 0.1))
