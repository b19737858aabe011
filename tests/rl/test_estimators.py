"""Estimators against numbers worked out by hand in the comments."""

import math

import pytest
import torch

from rl.training import estimators


def column(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def rows(*values: list[float]) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def test_kl_estimators_of_one_token():
    # log pi - log ref = 0.5: k1 = 0.5; k3 = e^-0.5 - 1 + 0.5 = 0.1065307
    assert estimators.kl_k1(column(-1.0), column(-1.5)).item() == pytest.approx(0.5)
    assert estimators.kl_k3(column(-1.0), column(-1.5)).item() == pytest.approx(0.1065306597, abs=1e-9)


def test_kl_estimators_agree_with_the_true_divergence_in_expectation():
    # pi = (0.7, 0.3), ref = (0.5, 0.5): KL = 0.7 ln 1.4 + 0.3 ln 0.6 = 0.0822830
    pi, ref = column(0.7, 0.3), column(0.5, 0.5)
    for estimator in (estimators.kl_k1, estimators.kl_k3):
        assert (pi * estimator(pi.log(), ref.log())).sum().item() == pytest.approx(0.0822828, abs=1e-6)


def test_the_score_sits_on_the_last_token_and_the_kl_penalty_on_every_one():
    policy, reference = rows([-1.0, -2.0, -1.0], [-1.0, 9.0, 9.0]), rows([-1.5, -2.0, -3.0], [-2.0, 0.0, 0.0])
    mask = torch.tensor([[True, True, True], [True, False, False]])
    # row 0: -0.1 * (0.5, 0, 2) + (0, 0, 3);  row 1: -0.1 * 1 + -1, and nothing on padding
    rewards = estimators.token_rewards(column(3.0, -1.0), policy, reference, mask, 0.1)
    assert rewards[0].tolist() == pytest.approx([-0.05, 0.0, 2.8])
    assert rewards[1].tolist() == pytest.approx([-1.1, 0.0, 0.0])


def test_gae_by_hand():
    # gamma 1, lam 0.5, V = (1, 2, 3), r = (0, 0, 4)
    # delta = (0 + 2 - 1, 0 + 3 - 2, 4 - 3) = (1, 1, 1);  A = (1 + 0.5 * 1.5, 1 + 0.5, 1) = (1.75, 1.5, 1)
    mask = torch.ones(1, 3, dtype=torch.bool)
    values = rows([1.0, 2.0, 3.0])
    advantages, returns = estimators.gae(rows([0.0, 0.0, 4.0]), values, mask, gamma=1.0, lam=0.5)
    assert advantages[0].tolist() == pytest.approx([1.75, 1.5, 1.0])
    assert returns[0].tolist() == pytest.approx([2.75, 3.5, 4.0])


def test_gae_of_a_short_response_does_not_see_its_padding():
    mask = torch.tensor([[True, True, False]])
    alone, _ = estimators.gae(rows([0.0, 1.0]), rows([0.5, 0.2]), mask[:, :2], gamma=0.9, lam=0.95)
    padded, returns = estimators.gae(rows([0.0, 1.0, 77.0]), rows([0.5, 0.2, 55.0]), mask, gamma=0.9, lam=0.95)
    assert padded[0, :2].tolist() == pytest.approx(alone[0].tolist())
    assert padded[0, 2].item() == 0.0 and returns[0, 2].item() == 0.0


def test_lambda_one_gives_the_plain_return():
    _, returns = estimators.gae(
        rows([1.0, 2.0, 3.0]), rows([9.0, -4.0, 0.5]), torch.ones(1, 3, dtype=torch.bool), gamma=1.0, lam=1.0
    )
    assert returns[0].tolist() == pytest.approx([6.0, 5.0, 3.0])


def test_whitening_counts_only_masked_tokens():
    # 1, 2, 3 have mean 2 and unbiased variance 1
    mask = torch.tensor([[True, True, False], [True, False, False]])
    white = estimators.whiten(rows([1.0, 2.0, 100.0], [3.0, -100.0, 5.0]), mask)
    assert white[mask].tolist() == pytest.approx([-1.0, 0.0, 1.0], abs=1e-6)
    assert white[~mask].tolist() == [0.0, 0.0, 0.0]


def test_masked_mean_ignores_padding_even_if_it_is_not_a_number():
    assert estimators.masked_mean(rows([1.0, math.nan, 3.0]), torch.tensor([[True, False, True]])).item() == 2.0


def test_ppo_policy_loss_clips_only_what_would_go_too_far():
    # ratios 1, 1.5, 1.5, 0.5, 0.5; advantages 2, 1, -1, 1, -1
    # losses: -2;  -min(1.5, 1.2) = -1.2;  -min(-1.5, -1.2) = 1.5;  -min(0.5, 0.8) = -0.5;  -min(-0.5, -0.8) = 0.8
    new = column(1.0, 1.5, 1.5, 0.5, 0.5).log()
    loss, clipped = estimators.ppo_policy_loss(new, torch.zeros_like(new), column(2.0, 1.0, -1.0, 1.0, -1.0), clip=0.2)
    assert loss.tolist() == pytest.approx([-2.0, -1.2, 1.5, -0.5, 0.8])
    assert clipped.tolist() == [False, True, False, False, True]


def test_clipped_tokens_give_no_gradient():
    new = column(1.5, 1.5).log().requires_grad_()
    loss, _ = estimators.ppo_policy_loss(new, column(0.0, 0.0), column(1.0, -1.0), clip=0.2)
    loss.sum().backward()
    assert new.grad.tolist() == pytest.approx([0.0, 1.5])


def test_ppo_value_loss_takes_the_worse_of_plain_and_clipped():
    # old 0, clip 0.2. new 1, R 1: plain 0, V' 0.2 -> 0.64 / 2 = 0.32;  new 0.1, R 1: both 0.81 -> 0.405
    # new -1, R 1: plain 4, V' = -0.2 -> 1.44; worse is 4 -> 2
    new, old, returns = column(1.0, 0.1, -1.0), column(0.0, 0.0, 0.0), column(1.0, 1.0, 1.0)
    loss, clipped = estimators.ppo_value_loss(new, old, returns, clip=0.2)
    assert loss.tolist() == pytest.approx([0.32, 0.405, 2.0])
    assert clipped.tolist() == [True, False, False]


def test_explained_variance_of_perfect_useless_and_absent():
    mask = torch.tensor([[True, True, True, False]])
    returns = rows([1.0, 2.0, 3.0, 50.0])
    assert estimators.explained_variance(returns, returns, mask) == pytest.approx(1.0)
    assert estimators.explained_variance(torch.zeros_like(returns), returns, mask) == pytest.approx(0.0)
    assert math.isnan(estimators.explained_variance(returns, torch.ones_like(returns), mask))


def test_the_adaptive_coefficient_moves_towards_its_target_and_never_fast():
    # error clamps at 0.2: 0.1 * (1 + 0.2 * 100 / 1000) = 0.102; at target nothing; below it falls
    def adapted(kl: float) -> float:
        return estimators.adapted_kl_coef(0.1, kl, target=6.0, horizon=1000, responses=100)

    assert adapted(60.0) == pytest.approx(0.102)
    assert adapted(6.0) == pytest.approx(0.1)
    assert adapted(5.4) == pytest.approx(0.1 * (1 - 0.1 * 0.1))


def test_every_kl_estimator_of_one_token():
    # log pi - log ref = 0.5: k2 = 0.125
    assert estimators.kl_k2(column(-1.0), column(-1.5)).item() == pytest.approx(0.125)


def test_the_gradient_of_k2_is_that_of_the_kl():
    # pi = softmax(z, 0). d KL / dz = sum_y pi_y (log pi_y - log ref_y) d log pi_y / dz: k2's mean gradient
    ref = column(0.5, 0.5).log()
    for weigh in ("true", "k2"):
        z = torch.tensor(0.7, dtype=torch.float64, requires_grad=True)
        pi = torch.stack([z, torch.zeros_like(z)]).log_softmax(0)
        if weigh == "true":
            (pi.exp() * (pi - ref)).sum().backward()
        else:
            (pi.exp().detach() * estimators.kl_k2(pi, ref)).sum().backward()
        if weigh == "true":
            expected = z.grad.item()
    assert z.grad.item() == pytest.approx(expected, abs=1e-12)


MASK = torch.tensor([[True, True, True], [True, False, False]])


def test_token_weights_by_hand():
    # 4 tokens; 2 responses of 3 and 1 tokens; at most 5 tokens
    assert estimators.token_weights(MASK, "token", 5)[MASK].tolist() == pytest.approx([0.25] * 4)
    assert estimators.token_weights(MASK, "sequence", 5)[MASK].tolist() == pytest.approx([1 / 6] * 3 + [1 / 2])
    assert estimators.token_weights(MASK, "constant", 5)[MASK].tolist() == pytest.approx([0.1] * 4)
    for how in ("token", "sequence", "constant"):
        assert not estimators.token_weights(MASK, how, 5)[~MASK].any()


def test_running_moments_are_those_of_all_values_however_they_come():
    moments = estimators.RunningMoments()
    for part in ([1.0, 2.0], [], [6.0]):
        moments.update(part)
    # 1, 2, 6: mean 3, variance (4 + 1 + 9) / 3
    assert (moments.mean, moments.std) == pytest.approx((3.0, math.sqrt(14 / 3)))
    assert estimators.scaled_rewards(column(3.0, 100.0), moments, 5.0).tolist() == pytest.approx([0.0, 5.0])
    assert estimators.scaled_rewards(column(3.0, -9.0), None, 5.0).tolist() == [3.0, -5.0]


def test_rewards_without_spread_are_only_centred():
    moments = estimators.RunningMoments()
    moments.update([2.0, 2.0])
    assert estimators.scaled_rewards(column(2.0, 3.0), moments, None).tolist() == [0.0, 1.0]


def test_the_penalty_may_be_estimated_otherwise():
    # k2 of log ratio 0.5 is 0.125: -0.1 * 0.125 + 3
    penalised = estimators.token_rewards(column(3.0), rows([-1.0]), rows([-1.5]), MASK[1:, :1], 0.1, "k2")
    assert penalised.item() == pytest.approx(2.9875)


def test_rewards_to_go_by_hand():
    # gamma 0.5: 3; 2 + 1.5; 1 + 1.75.  The second response has one token, and its padding counts nothing
    found = estimators.rewards_to_go(rows([1.0, 2.0, 3.0], [4.0, 77.0, 77.0]), MASK, gamma=0.5)
    assert found[0].tolist() == pytest.approx([2.75, 3.5, 3.0])
    assert found[1].tolist() == pytest.approx([4.0, 0.0, 0.0])


def test_group_advantages_by_hand():
    # 1, 2, 3: mean 2, std 1.  5, 5, 5: nothing to learn
    scores = column(1.0, 2.0, 3.0, 5.0, 5.0, 5.0)
    assert estimators.group_advantages(scores, 3, standardise=False).tolist() == pytest.approx([-1, 0, 1, 0, 0, 0])
    standard = estimators.group_advantages(scores, 3, standardise=True)
    assert standard.tolist() == pytest.approx([-1 / 1.0001, 0, 1 / 1.0001, 0, 0, 0])


def test_leave_one_out_by_hand():
    # 1 - (2 + 6)/2 = -3;  2 - 3.5 = -1.5;  6 - 1.5 = 4.5
    assert estimators.leave_one_out(column(1.0, 2.0, 6.0), 3).tolist() == pytest.approx([-3.0, -1.5, 4.5])


def test_leave_one_out_is_the_centred_score_times_n_over_n_minus_one():
    scores = column(0.3, -1.2, 2.0, 0.7)
    centred = estimators.group_advantages(scores, 4, standardise=False)
    assert estimators.leave_one_out(scores, 4).tolist() == pytest.approx((centred * 4 / 3).tolist())


def test_the_best_of_each_group_is_kept():
    scores = column(1.0, 3.0, 3.0, -5.0, -4.0, -6.0)
    assert estimators.best_of_groups(scores, 3, keep=1).tolist() == [0, 1, 0, 0, 1, 0]
    assert estimators.best_of_groups(scores, 3, keep=2, threshold=0.0).tolist() == [0, 1, 1, 0, 0, 0]


def test_the_kl_of_best_of_n():
    # n = 1: 0;  n = 4: ln 4 - 3/4 = 0.6362944
    assert estimators.best_of_n_kl(1) == 0.0
    assert estimators.best_of_n_kl(4) == pytest.approx(0.6362943611)


def test_the_bound_is_the_kl_itself_where_no_two_responses_tie():
    # Best of n from a continuum has density n u^(n-1) on the quantiles u: KL = E[log n + (n-1) log u] = ln n - (n-1)/n
    n, steps = 3, 200_000
    u = (torch.arange(steps, dtype=torch.float64) + 0.5) / steps
    density = n * u ** (n - 1)
    assert (density * density.log()).mean().item() == pytest.approx(estimators.best_of_n_kl(n), abs=1e-4)


def test_the_expected_best_of_two_of_three():
    # pairs of 1, 2, 6: best 2, 6, 6: mean 14/3.  Best of 1 is the mean, best of 3 the maximum
    assert estimators.best_of_n_reward([6.0, 1.0, 2.0], 2) == pytest.approx(14 / 3)
    assert estimators.best_of_n_reward([6.0, 1.0, 2.0], 1) == pytest.approx(3.0)
    assert estimators.best_of_n_reward([6.0, 1.0, 2.0], 3) == pytest.approx(6.0)
    with pytest.raises(ValueError, match="needs at least 4"):
        estimators.best_of_n_reward([6.0, 1.0, 2.0], 4)
