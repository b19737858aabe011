"""Losses against numbers worked out by hand in the comments."""

import math

import pytest
import torch

from rl.training import losses


def column(*values: float) -> torch.Tensor:
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


def test_sft_counts_only_what_it_is_given():
    assert losses.sft_loss(column(-1.5, -0.25)).tolist() == [1.5, 0.25]


def test_robust_dpo_takes_the_flipped_share_out_again():
    # z = 1: l(1) = 0.3132617, l(-1) = 1.3132617; eps 0.1: (0.9 * 0.3132617 - 0.1 * 1.3132617) / 0.8 = 0.1882617
    loss = losses.robust_dpo_loss(column(2.0), column(1.0), NONE, beta=0.5, flip_rate=0.1)
    assert loss.item() == pytest.approx(0.1882616875, abs=1e-9)


def test_robust_dpo_is_unbiased_for_flipped_labels():
    """The mean over labels of which a share eps is flipped is the plain DPO loss of the true label."""

    def noisy(p: float) -> torch.Tensor:
        return losses.robust_dpo_loss(column(1.3), column(p), column(0.2), beta=0.4, flip_rate=0.2)

    plain = losses.dpo_loss(column(1.3), column(1.0), column(0.2), beta=0.4)
    assert (0.8 * noisy(1.0) + 0.2 * noisy(0.0)).item() == pytest.approx(plain.item(), abs=1e-12)


def test_simpo_by_hand():
    # mean log-probs -1 and -1.5, beta 2: z = 1; target 1: -log sigma(0) = log 2
    loss = losses.simpo_loss(column(-1.0), column(-1.5), column(1.0), NONE, beta=2.0, target=1.0)
    assert loss.item() == pytest.approx(math.log(2))
    # p = 0: -log sigma(-1 - 1) = log(1 + e^2) = 2.1269280
    loss = losses.simpo_loss(column(-1.0), column(-1.5), column(0.0), NONE, beta=2.0, target=1.0)
    assert loss.item() == pytest.approx(2.1269280110, abs=1e-9)


def test_simpo_read_backwards_costs_the_same():
    forwards = losses.simpo_loss(column(-1.0), column(-1.7), column(0.8), column(0.4), beta=2.0, target=0.5)
    backwards = losses.simpo_loss(column(-1.7), column(-1.0), column(0.2), column(-0.4), beta=2.0, target=0.5)
    assert forwards.item() == pytest.approx(backwards.item(), abs=1e-12)


def test_log_odds_of_one_half_and_of_the_extremes():
    # a = ln 0.5: odds 1.  a = ln 0.8: odds 4.  Nearly sure and nearly impossible stay finite
    assert losses.log_odds(column(0.5, 0.8).log()).tolist() == pytest.approx([0.0, math.log(4)])
    assert torch.isfinite(losses.log_odds(column(0.0, -1e-300, -5000.0))).all()


def test_log_odds_has_a_gradient_everywhere():
    # d/da = 1 / (1 - e^a): 2 at ln 0.5
    mean = column(math.log(0.5), -1e-9, -800.0).requires_grad_()
    losses.log_odds(mean).sum().backward()
    assert mean.grad[0].item() == pytest.approx(2.0)
    assert torch.isfinite(mean.grad).all()


def test_the_odds_ratio_of_four_to_one():
    # odds 4 against 1: z = ln 4; -log sigma(z) = log(1 + 1/4)
    loss = losses.odds_ratio_loss(column(math.log(0.8)), column(math.log(0.5)), column(1.0), NONE)
    assert loss.item() == pytest.approx(math.log(1.25))


def test_the_kto_baseline_is_the_mean_gap_of_mismatched_pairs_and_never_negative():
    assert losses.kto_baseline(column(-1.0, -2.0), column(-2.0, -2.5)).item() == pytest.approx(0.75)
    assert losses.kto_baseline(column(-3.0), column(-2.0)).item() == 0.0
    assert not losses.kto_baseline(column(-1.0).requires_grad_(), column(-2.0)).requires_grad


def test_kto_by_hand():
    # beta 0.5, z0 1. desirable r = 3: z = 1, 1 - sigma(1) = 0.2689414; times 2. undesirable r = 3: sigma(1) = 0.7310586
    loss = losses.kto_loss(
        column(3.0, 3.0),
        torch.tensor([True, False]),
        torch.tensor(1.0, dtype=torch.float64),
        beta=0.5,
        desirable_weight=2.0,
        undesirable_weight=1.0,
    )
    assert loss.tolist() == pytest.approx([0.5378828427, 0.7310585786], abs=1e-9)
