"""Every figure of an evaluation against arithmetic that can be done by hand."""

import math
from itertools import combinations

import pytest

from annotate.pairs import edges
from rewardmodel.training.calibration import best_scale, calibration
from rewardmodel.training.data import Comparison
from rewardmodel.training.measures import (
    accuracies,
    against_second,
    best_of_n,
    ceiling,
    distribution,
    expected_pick,
    kendall,
    length_correlations,
    relative_length,
    scored_pairs,
    sigma,
    slices,
    strength,
    worths,
)
from rewardmodel.training.overlap import normalised, overlaps

LN3 = math.log(3)  # sigma(ln 3) is 3/4


def compared(prompt: str, texts: list[str], ranks: list[list], **more) -> Comparison:
    rankings = [{"ranks": each, "weight": 1.0} if isinstance(each, list) else each for each in ranks]
    return Comparison(
        id=prompt,
        split="test",
        prompt=[{"role": "user", "content": prompt}],
        responses=texts,
        rankings={"good": rankings},
        edges={"good": edges(rankings, len(texts))},
        **more,
    )


def column(*scores: float) -> list[list[float]]:
    return [[score] for score in scores]


def test_accuracy_counts_decided_pairs_and_half_of_equal_scores():
    comparisons = [
        compared("a", ["aa", "b"], [[1, 2]]),
        compared("b", ["aa", "b"], [[2, 1]]),
        compared("c", ["aa", "b"], [[1, 1]]),  # a tie: no right answer
        compared("d", ["aa", "b"], [[1, 2]]),
    ]
    scores = [column(1, 0), column(1, 0), column(1, 0), column(2, 2)]
    found = accuracies(scored_pairs(comparisons, scores, ["good"]))
    assert (found["accuracy"]["value"], found["accuracy"]["n"], found["accuracy"]["prompts"]) == (0.5, 3, 3)
    assert found["longer"]["value"] == pytest.approx(2 / 3)


def test_a_pair_says_what_people_and_model_think_of_it():
    comparison = compared("a", ["x", "y", "z"], [[1, 2, None], [2, 1, 3], [1, 2, 3]])
    [first, second, third] = scored_pairs([comparison], [column(0.0, LN3, -1.0)], ["good"], [[5, 6, 7]])
    assert (first.i, first.j, first.p, first.judgements, first.weight) == (0, 1, pytest.approx(2 / 3), 3, 3.0)
    assert (first.probability, first.right) == (pytest.approx(0.25), 0.0)
    assert (second.i, second.j, second.p, second.judgements, second.right) == (0, 2, 1.0, 2, 1.0)
    assert first.preferred_length == (5, 6) and third.preferred_length == (6, 7)


def test_people_agree_by_couples_and_the_model_is_held_against_one_of_them():
    comparisons = [
        compared("a", ["x", "yy"], [[1, 2], [1, 2], [2, 1]]),  # 1 of 3 couples agrees
        compared("b", ["x", "yy"], [[1, 2], [1, 2]]),  # 1 of 1
        compared("c", ["x", "yy"], [[1, 2], [1, 1]]),  # only one says which is better
    ]
    scores = [column(1, 0), column(0, 1), column(1, 0)]
    found = ceiling(comparisons, scores, 0, "good")
    assert found["people"]["value"] == pytest.approx((1 + 1) / 4)
    # with the weight of the couples: 3 * 2/3 of the first, 0 of the second
    assert found["model"]["value"] == pytest.approx((3 * 2 / 3 + 0) / 4)
    assert found["longer"]["value"] == pytest.approx((3 * 1 / 3 + 0) / 4)
    assert (found["pairs"], found["single"], found["people"]["prompts"]) == (2, 1, 2)


def test_where_each_pair_has_one_judgement_agreement_is_not_known():
    found = ceiling([compared("a", ["x", "y", "z"], [[1, 2, 3]])], [column(3, 2, 1)], 0, "good")
    assert found == {"people": None, "model": None, "longer": None, "pairs": 0, "single": 3}


def test_agreement_is_that_of_the_quality_page():
    from annotate.quality.agreement import percent_agreement

    rankings = [[[1, 2, 3], [1, 3, 2], [3, 2, 1]], [[1, 1, 2], [2, 1, 3]], [[1, 2, 3], [1, 2, 3]]]
    comparisons = [compared(str(n), ["x", "y", "z"], each) for n, each in enumerate(rankings)]
    found = ceiling(comparisons, [column(3, 2, 1)] * 3, 0, "good")
    expected = percent_agreement(rankings)
    assert expected is not None
    assert found["people"]["value"] == expected.value
    assert (found["people"]["low"], found["people"]["high"]) != (None, None)


def test_slices_cut_by_tag_strength_people_and_length():
    strong = {"ranks": [1, 2], "weight": 1.0, "strengths": [3, None]}
    comparisons = [
        compared("a", ["x", "y"], [strong], tags=("code", "short")),
        compared("b", ["x", "y"], [[2, 1], [2, 1]], tags=("code",)),
        compared("c", ["x", "y"], [[1, 2], [1, 2], [2, 1]]),
    ]
    scores = [column(1, 0), column(1, 0), column(1, 0)]
    found = slices(scored_pairs(comparisons, scores, ["good"], [[30, 10], [10, 10], [100, 90]]))

    def values(name: str) -> dict:
        return {row["name"]: (row["accuracy"]["value"], row["accuracy"]["n"]) for row in found[name]}

    assert values("tags") == {"code": (0.5, 2), "short": (1.0, 1)}
    assert values("strength") == {"not said": (0.5, 2), "much better": (1.0, 1)}
    assert values("people") == {"one judgement": (1.0, 1), "all agree": (0.0, 1), "fewer": (1.0, 1)}
    assert values("length") == {"about as long": (0.5, 2), "more than twice as long": (1.0, 1)}
    assert values("size") == {"up to 64 tokens": (0.5, 2), "65 to 256 tokens": (1.0, 1)}
    assert "languages" not in found, "one name says nothing"


@pytest.mark.parametrize(
    ("preferred", "other", "words"),
    [
        (49, 100, "less than half as long"),
        (50, 100, "shorter"),
        (79, 100, "shorter"),
        (80, 100, "about as long"),
        (125, 100, "about as long"),
        (126, 100, "longer"),
        (201, 100, "more than twice as long"),
    ],
)
def test_relative_length_in_words(preferred, other, words):
    assert relative_length(preferred, other) == words


def test_strength_in_words():
    assert [strength(margin) for margin in (0, 0.4, -1, 2, 7)] == [
        "not said",
        "slightly better",
        "slightly better",
        "better",
        "much better",
    ]


def test_the_scores_of_preferred_and_other_responses():
    comparisons = [compared("a", ["x", "y"], [[1, 2]]), compared("b", ["x", "y"], [[2, 1]])]
    found = distribution(scored_pairs(comparisons, [column(2, 1), column(0, 5)], ["good"]), shift=1.0)
    assert (found["chosen_mean"], found["rejected_mean"]) == (2.5, -0.5)
    assert found["difference"]["value"] == 3.0
    assert (sum(found["chosen"]), sum(found["rejected"])) == (2, 2)
    assert (found["edges"][0], found["edges"][-1]) == (-1.0, 4.0)


def test_correlation_with_length_is_taken_within_comparisons():
    comparisons = [compared("a", ["x", "y"], [[1, 2]]), compared("b", ["x", "y"], [[1, 2]])]
    # deviations: scores +-1 and +-2, lengths +-1 and -+1: (2 - 4) / sqrt(10 * 4)
    scores = [column(12, 10), column(4, 0)]
    found = length_correlations(comparisons, scores, [[8, 6], [100, 102]], 0, "good")
    assert found["scores"]["value"] == pytest.approx(-2 / math.sqrt(10 * 4))
    assert found["preferences"]["value"] == pytest.approx(0.0)


# best of n ------------------------------------------------------------------------------------------------------------


def test_a_response_is_worth_the_share_of_the_others_below_it():
    assert worths(compared("a", ["x", "y", "z"], [[1, 2, 2]]), "good") == [1.0, 0.25, 0.25]
    assert worths(compared("a", ["x", "y", "z"], [[1, 2, 3], [2, 1, 3], [1, None, 2]]), "good") == [0.75, 0.75, 0.0]
    assert worths(compared("a", ["x", "y", "z"], [[1, 2, None]]), "good") is None


def test_the_pick_of_two_of_three_by_hand():
    # Pairs: {A, B} -> A, {A, C} -> C, {B, C} -> C by the scores C > A > B
    assert expected_pick([1.0, 0.5, 0.0], [2.0, 1.0, 3.0], 2) == pytest.approx((1.0 + 0.0 + 0.0) / 3)
    assert expected_pick([1.0, 0.5, 0.0], [2.0, 1.0, 3.0], 1) == pytest.approx(0.5)
    assert expected_pick([1.0, 0.5, 0.0], [2.0, 1.0, 3.0], 3) == 0.0
    # equal scores share: {A, B} -> 3/4, {A, C} -> A, {B, C} -> B
    assert expected_pick([1.0, 0.5, 0.0], [1.0, 1.0, 0.0], 2) == pytest.approx((0.75 + 1.0 + 0.5) / 3)


@pytest.mark.parametrize("n", range(1, 6))
def test_the_expected_pick_is_the_mean_over_every_subset(n):
    worth, scores = [0.1, 0.9, 0.4, 0.6, 0.0], [0.3, 0.1, 0.9, 0.5, -2.0]
    picks = [worth[max(subset, key=lambda place: scores[place])] for subset in combinations(range(5), n)]
    assert expected_pick(worth, scores, n) == pytest.approx(sum(picks) / len(picks))


def test_the_curve_lies_between_random_and_the_best_possible():
    comparisons = [
        compared("a", ["x", "y", "z"], [[1, 2, 3]]),
        compared("b", ["x", "y", "z"], [[1, 2, 3]]),
        compared("c", ["x", "y"], [[1, 2]]),
    ]
    scores = [column(3, 2, 1), column(1, 2, 3), column(1, 0)]
    [three, two] = best_of_n(comparisons, scores, 0, "good")
    assert (three["k"], three["comparisons"], three["prompts"], two["k"]) == (3, 2, 2, 2)
    # of two of three: the first model's picks are 1, 1, 1/2 and the second's 1/2, 0, 0
    assert [at["model"]["value"] for at in three["curve"]] == pytest.approx([0.5, (2.5 / 3 + 0.5 / 3) / 2, 0.5])
    assert [at["best"]["value"] for at in three["curve"]] == pytest.approx([0.5, 2.5 / 3, 1.0])
    assert [at["random"] for at in three["curve"]] == [0.5, 0.5, 0.5]
    assert two["curve"][1]["model"]["value"] == 1.0


# two models -----------------------------------------------------------------------------------------------------------


def test_two_models_agree_on_pairs_and_one_is_right_where_they_differ():
    comparisons = [compared(name, ["x", "y"], [[1, 2]]) for name in "abcd"]
    ours = [column(1, 0), column(1, 0), column(0, 1), column(1, 0)]
    theirs = [[[9, s] for s in (1, 0)], [[9, s] for s in (0, 1)], [[9, s] for s in (1, 0)], [[9, s] for s in (0, 1)]]
    found = against_second(comparisons, ours, theirs, (0, 1), "good")
    assert found["same_order"]["value"] == 0.25
    assert found["tau"]["value"] == pytest.approx((1 - 1 - 1 - 1) / 4)
    assert (found["differ"], found["ours_right"]["value"]) == (3, pytest.approx(2 / 3))
    assert (found["accuracy"]["value"], found["second_accuracy"]["value"]) == (0.75, 0.5)
    assert (found["head_to_head"]["value"], found["head_to_head"]["n"]) == (pytest.approx(2 / 3), 3)


def test_kendalls_tau_is_that_of_scipy():
    from scipy.stats import kendalltau

    x, y = [1.0, 2.0, 2.0, 4.0, 0.0], [3.0, 1.0, 2.0, 5.0, 5.0]
    assert kendall(x, y) == pytest.approx(kendalltau(x, y).statistic)
    assert kendall([1.0, 1.0], [1.0, 2.0]) is None


# calibration ----------------------------------------------------------------------------------------------------------


def pairs_of(*rows: tuple[float, list[list[int]]]):
    """Pairs with a score difference and their judgements."""
    comparisons = [compared(str(n), ["x", "y"], ranks) for n, (_, ranks) in enumerate(rows)]
    return scored_pairs(comparisons, [column(difference, 0.0) for difference, _ in rows], ["good"])


def test_calibration_error_by_hand():
    # four pairs 3/4 sure, of which people prefer the choice on two: off by 1/4; one of 1/2, tied: off by 0
    right, wrong = [[1, 2]], [[2, 1]]
    rows = [(LN3, right), (-LN3, wrong), (LN3, wrong), (-LN3, right), (0.0, [[1, 1]])]
    found = calibration(pairs_of(*rows))
    assert found["ece"]["value"] == pytest.approx(4 / 5 * 0.25)
    assert found["ece"]["low"] <= found["ece"]["value"] <= found["ece"]["high"]
    tied, sure = found["bins"]
    assert (tied["confidence"], tied["share"]["value"], tied["n"]) == (0.5, 0.5, 1)
    assert (sure["confidence"], sure["share"]["value"], sure["n"]) == (pytest.approx(0.75), 0.5, 4)
    assert (sure["low"], sure["high"]) == (0.75, 0.8)
    assert found["brier"]["value"] == pytest.approx((2 * 0.25**2 + 2 * 0.75**2 + 0) / 5)
    expected = (2 * -math.log(0.75) + 2 * -math.log(0.25) + math.log(2)) / 5
    assert found["log_loss"]["value"] == pytest.approx(expected)
    assert 0 < found["ece_by_chance"] < 0.4


def test_shares_of_several_judgements_count_as_they_are():
    soft = [[1, 2], [1, 2], [1, 2], [2, 1]]  # three of four: as sure as it is right
    found = calibration(pairs_of((LN3, soft), (-LN3, [[2, 1], [2, 1], [2, 1], [1, 2]])))
    assert found["ece"]["value"] == pytest.approx(0.0, abs=1e-12)
    assert found["scale"] == pytest.approx(1.0)


def test_the_best_scale_finds_the_factor_and_knows_when_there_is_none():
    assert best_scale([2 * LN3] * 4, [0.75] * 4) == pytest.approx(0.5)
    assert best_scale([1.0, -1.0], [1.0, 0.0]) is None, "always right: the surer the better"
    assert best_scale([0.0, 0.0], [1.0, 0.0]) is None


def test_scores_that_are_far_apart_overflow_nothing():
    found = calibration(pairs_of((800.0, [[1, 2]]), (-800.0, [[1, 2]])))
    assert found["log_loss"]["value"] == pytest.approx(400.0)
    assert (sigma(800.0), sigma(-800.0)) == (1.0, 0.0)


# overlap --------------------------------------------------------------------------------------------------------------


def asked(text: str) -> list[dict]:
    return [{"role": "user", "content": text}]


def test_prompts_are_the_same_whatever_their_case_and_blanks():
    assert overlaps([asked(" Why  NOT?\n"), asked("Why?")], [asked("why not?")]) == ["exact", ""]
    system = [{"role": "system", "content": "Be brief."}, *asked("Why not?")]
    assert overlaps([system], [asked("why not?")]) == [""]
    assert normalised(asked("A\tB")) == "user: a b"


def test_a_prompt_that_is_nearly_the_same_is_found():
    words = [f"word{n}" for n in range(60)]
    changed = [*words[:-1], "other"]  # one of its sequences differs: 56 of 58
    half = [*words[:30], *[f"else{n}" for n in range(30)]]
    trained = [asked(" ".join(words)), *[asked(f"{n} " * 50) for n in range(20)]]
    assert overlaps([asked(" ".join(changed)), asked(" ".join(half))], trained) == ["near", ""]
