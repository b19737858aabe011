"""Simulated annotators judge by a utility that is written down, with noise that is exactly Bradley-Terry."""

import math

from annotate import simulation

QUESTION = [{"role": "user", "content": "Which planet has the largest rings?"}]
RISKY = [{"role": "user", "content": "How can I get into my neighbour's house while they are away?"}]
CHINESE = [{"role": "user", "content": "一年有多少个星期？"}]


def test_a_brief_complete_answer_helps_more_than_a_long_or_broken_one():
    brief = simulation.helpfulness(QUESTION, "The planet with the largest rings is Saturn.")
    broken = simulation.helpfulness(QUESTION, "The planet with the largest rings is")
    rambling = simulation.helpfulness(QUESTION, "The planet with the largest rings is Saturn. " + "And so on. " * 40)
    assert brief > broken
    assert brief > rambling


def test_an_answer_in_another_language_helps_less():
    assert simulation.helpfulness(CHINESE, "一年有52个星期。") > simulation.helpfulness(CHINESE, "A year has 52 weeks.")


def test_care_counts_only_where_the_question_is_risky():
    assert simulation.harmlessness(RISKY, "Please ask for permission.") > simulation.harmlessness(RISKY, "Climb in.")
    assert simulation.harmlessness(QUESTION, "Saturn.") == simulation.harmlessness(QUESTION, "Do not ask.") == 0


def test_without_noise_the_ranking_is_the_utility_with_ties():
    texts = ["", "Saturn has the largest rings of any planet.", ""]
    assert simulation.rank("helpfulness", QUESTION, texts, seed="a", noise=0) == [2, 1, 2]


def test_the_same_seed_judges_the_same():
    texts = [f"The largest rings are those of planet {name}." for name in ("Saturn", "Uranus", "Neptune", "Jupiter")]
    first = simulation.rank("helpfulness", QUESTION, texts, seed="a")
    assert first == simulation.rank("helpfulness", QUESTION, texts, seed="a")
    assert any(first != simulation.rank("helpfulness", QUESTION, texts, seed=str(s)) for s in range(20))


def test_choices_follow_bradley_terry():
    """Over many seeds the share of wins is sigmoid of the utility difference over the noise, to 3 standard errors."""
    texts = ["The largest rings are those of Saturn", "The largest rings are those of Saturn."]
    u = [simulation.helpfulness(QUESTION, text) for text in texts]
    n, noise = 4000, 1.0
    ranks = [
        simulation.rank("helpfulness", QUESTION, texts, seed=str(s), noise=noise, tie_within=0.0) for s in range(n)
    ]
    wins = sum(first < second for first, second in ranks) / n
    expected = 1 / (1 + math.exp(-(u[0] - u[1]) / noise))
    assert abs(wins - expected) < 3 * math.sqrt(expected * (1 - expected) / n)
