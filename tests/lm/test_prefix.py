"""Ours against the plainest thing there is: every prompt and response as a sequence of its own through transformers."""

from __future__ import annotations

import pytest
import torch
from transformers import AutoModelForSequenceClassification, GPTNeoXConfig, GPTNeoXForCausalLM

from lm.adapters import add_lora
from lm.attention import BUNDLE, Branches, branch_attention, bundled, can_branch
from lm.config import LoraSettings
from lm.loading import load_policy
from lm.prefix import Group, end_hidden, hidden_states, response_logprobs, response_statistics, token_batches


def ids(count: int, seed: int) -> list[int]:
    return torch.randint(3, 259, (count,), generator=torch.Generator().manual_seed(seed)).tolist()


GROUPS = [
    Group(ids(9, 1), [ids(3, 2), ids(17, 3), [2]]),
    Group(ids(1, 4), [ids(5, 5)]),
    Group(ids(20, 6), [ids(4, 7), ids(4, 8), ids(11, 9), ids(1, 10)]),
]


def one_by_one(model, groups, temperature: float = 1.0) -> list[list[torch.Tensor]]:
    """The definition: log softmax at the position before each response token."""
    found = []
    for group in groups:
        found.append([])
        for response in group.responses:
            logits = model(torch.tensor([group.prompt + response])).logits[0] / temperature
            table = logits.log_softmax(-1)[len(group.prompt) - 1 : -1]
            found[-1].append(table.gather(1, torch.tensor(response)[:, None])[:, 0])
    return found


def flat(values: list[list[torch.Tensor]]) -> torch.Tensor:
    return torch.cat([value for group in values for value in group])


def weighted(values: list[list[torch.Tensor]]) -> torch.Tensor:
    """A sum in which every token counts differently, so that a gradient at the wrong place shows."""
    return sum((value * torch.linspace(0.5, 1.5, len(value)).to(value)).sum() for group in values for value in group)


def gradients(model, loss: torch.Tensor) -> dict[str, torch.Tensor]:
    model.zero_grad()
    loss.backward()
    return {name: value.grad.clone() for name, value in model.named_parameters() if value.grad is not None}


def close(left: dict[str, torch.Tensor], right: dict[str, torch.Tensor], tolerance: float) -> bool:
    """Equal up to `tolerance` of each tensor's largest entry."""
    return left.keys() == right.keys() and all(
        (left[name] - right[name]).abs().max() <= tolerance * max(1.0, float(right[name].abs().max())) for name in left
    )


def double_model():
    """A model that computes in float64 throughout. (Llama's norms round to float32 on the way.)"""
    torch.manual_seed(0)
    config = GPTNeoXConfig(
        vocab_size=259,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=128,
        initializer_range=0.2,
    )
    return GPTNeoXForCausalLM(config).double().eval()


@pytest.mark.parametrize("shared", [True, False])
def test_float64_log_probs_and_gradients_equal_separate_sequences_to_1e_9(shared):
    model = double_model()
    assert can_branch(model.base_model)
    expected = one_by_one(model, GROUPS)
    wanted = gradients(model, weighted(expected))
    found = response_logprobs(model, GROUPS, shared=shared)
    assert (flat(found) - flat(expected)).abs().max() < 1e-9
    assert close(gradients(model, weighted(found)), wanted, 1e-9)


def one_sequence(query, key, value, places: list[int]) -> torch.Tensor:
    """The definition of causal attention for the tokens at `places` of a row, as if they were the row: [T, H, D]."""
    own = [each[0][:, places] for each in (query, key, value)]
    key, value = (each.repeat_interleave(query.shape[1] // key.shape[1], dim=0) for each in own[1:])
    scores = own[0] @ key.transpose(1, 2) * query.shape[-1] ** -0.5
    hidden = torch.ones(len(places), len(places), dtype=torch.bool).triu(1)
    return (scores.masked_fill(hidden, -torch.inf).softmax(-1) @ value).transpose(0, 1)


@pytest.mark.parametrize(("heads", "kv_heads"), [(4, 4), (6, 2), (3, 1)])
def test_float64_attention_and_its_gradients_equal_separate_sequences_to_1e_9(heads, kv_heads):
    """Grouped heads among them, which the models that compute in float64 throughout do not have."""
    layout = [(5, (3, 1, 8)), (1, (2,)), (7, (4, 4, 30, 2, 41, 1, 1)), (2, (1, 1))]
    total = sum(prompt + sum(responses) for prompt, responses in layout)
    draw = torch.Generator().manual_seed(0)
    inputs = [
        torch.randn(1, total, count, 8, generator=draw, dtype=torch.float64).transpose(1, 2).requires_grad_()
        for count in (heads, kv_heads, kv_heads)
    ]
    expected, groups, start = torch.zeros(total, heads, 8, dtype=torch.float64), [], 0
    for prompt, responses in layout:
        groups.append((start, prompt, responses))
        shared = list(range(start, start + prompt))
        start += prompt
        expected = expected.index_put((torch.tensor(shared),), one_sequence(*inputs, shared))
        for count in responses:
            own = list(range(start, start + count))
            expected = expected.index_put((torch.tensor(own),), one_sequence(*inputs, shared + own)[prompt:])
            start += count
    found, _ = branch_attention(torch.nn.Module(), *inputs, None, branches=Branches(tuple(groups)))
    assert found.shape == (1, total, heads, 8)
    assert (found[0] - expected).abs().max() < 1e-9
    weight = torch.randn(found.shape, generator=draw, dtype=torch.float64)
    wanted = torch.autograd.grad((expected * weight[0]).sum(), inputs)
    for ours, theirs in zip(torch.autograd.grad((found * weight).sum(), inputs), wanted, strict=True):
        assert (ours - theirs).abs().max() < 1e-9


def test_short_responses_share_a_product_and_long_ones_have_their_own():
    assert bundled([4, 4, 30, 2, 41, 1, 1]) == [(4, 4), (30, 2), (41,), (1, 1)]
    assert bundled([BUNDLE, 1]) == [(BUNDLE,), (1,)]
    assert bundled([]) == []


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_float32_log_probs_and_gradients_equal_separate_sequences_to_1e_4(policy, shared, temperature):
    model, _ = policy
    expected = one_by_one(model, GROUPS, temperature)
    wanted = gradients(model, weighted(expected))
    found = response_logprobs(model, GROUPS, temperature=temperature, shared=shared)
    assert [[len(value) for value in group] for group in found] == [
        [len(response) for response in group.responses] for group in GROUPS
    ]
    assert (flat(found) - flat(expected)).abs().max() < 1e-4
    assert close(gradients(model, weighted(found)), wanted, 1e-4)


def test_an_adapter_learns_the_same_from_shared_prefixes(policy):
    """The head is frozen here, which has a backward pass of its own."""
    model = add_lora(policy[0], LoraSettings(rank=4), seed=1)
    torch.manual_seed(2)
    for name, value in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(value, std=0.1)
    expected = one_by_one(model, GROUPS, 0.9)
    wanted = gradients(model, weighted(expected))
    assert all("lora" in name for name in wanted)
    found = response_logprobs(model, GROUPS, temperature=0.9)
    assert (flat(found) - flat(expected)).abs().max() < 1e-4
    assert close(gradients(model, weighted(found)), wanted, 1e-4)


def test_gradient_checkpointing_changes_nothing(policy):
    model, _ = policy
    wanted = gradients(model, weighted(response_logprobs(model, GROUPS)))
    model.activation_checkpointing_enable()
    model.train()
    assert close(gradients(model, weighted(response_logprobs(model, GROUPS))), wanted, 1e-5)


def test_entropy_is_that_of_the_tempered_distribution(policy):
    model, _ = policy
    with torch.no_grad():
        _, entropies = response_statistics(model, GROUPS, temperature=0.5)
        for group, found in zip(GROUPS, entropies, strict=True):
            for response, entropy in zip(group.responses, found, strict=True):
                logits = model(torch.tensor([group.prompt + response])).logits[0, len(group.prompt) - 1 : -1] / 0.5
                expected = torch.distributions.Categorical(logits=logits).entropy()
                assert torch.allclose(entropy, expected, atol=1e-4)


def test_frozen_and_trained_heads_report_the_same_entropy(policy):
    model, _ = policy
    trained = response_statistics(model, GROUPS)[1]
    model.requires_grad_(False)
    model.model.layers[0].requires_grad_(True)
    frozen = response_statistics(model, GROUPS)[1]
    assert torch.allclose(flat(frozen), flat(trained), atol=1e-5)
    assert not flat(frozen).requires_grad and not flat(trained).requires_grad


@pytest.mark.parametrize("shared", [True, False])
def test_end_states_are_those_a_classifier_reads(tiny, shared):
    torch.manual_seed(0)
    classifier = AutoModelForSequenceClassification.from_pretrained(tiny, num_labels=3).eval()
    groups = [Group(group.prompt, [[*response, 2] for response in group.responses]) for group in GROUPS]
    with torch.no_grad():
        found = [classifier.score(states) for states in end_hidden(classifier, groups, shared=shared)]
        for group, scores in zip(groups, found, strict=True):
            assert scores.shape == (len(group.responses), 3)
            for response, score in zip(group.responses, scores, strict=True):
                expected = classifier(torch.tensor([group.prompt + response])).logits[0]
                assert torch.allclose(score, expected, atol=1e-4)


def test_predictors_stand_before_their_tokens(policy):
    hidden = hidden_states(policy[0], GROUPS)
    for group, tokens, predictors in zip(GROUPS, hidden.tokens, hidden.predictors, strict=True):
        first = {int(index[0]) for index in predictors}
        assert len(first) == 1, "all responses are predicted from the prompt's one last token"
        for response, own, before in zip(group.responses, tokens, predictors, strict=True):
            assert len(own) == len(before) == len(response)
            assert torch.equal(before[1:], own[:-1])


def test_a_padding_token_inside_a_response_is_a_token_like_others(policy):
    model, _ = policy
    groups = [Group(ids(5, 1), [[7, 0, 0, 2], [0, 9, 2]])]
    for shared in (True, False):
        assert torch.allclose(
            flat(response_logprobs(model, groups, shared=shared)), flat(one_by_one(model, groups)), atol=1e-4
        )


def test_a_model_in_ordinary_use_computes_as_before(policy):
    model, _ = policy
    text = torch.tensor([ids(12, 1), ids(12, 2)])
    mask = torch.tensor([[1] * 12, [1] * 7 + [0] * 5])
    before = model(text, attention_mask=mask).logits
    hidden_states(model, GROUPS)
    after = model(text, attention_mask=mask).logits
    assert torch.allclose(before[mask.bool()], after[mask.bool()], atol=1e-5)


def test_a_model_with_a_window_runs_as_plain_rows_and_still_agrees(tmp_path, chat):
    from transformers import MistralConfig, MistralForCausalLM

    torch.manual_seed(0)
    config = MistralConfig(
        vocab_size=259,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        sliding_window=8,
        initializer_range=0.2,
    )
    model = MistralForCausalLM(config).eval()
    model.save_pretrained(tmp_path)
    chat.save(tmp_path)
    model, _ = load_policy(str(tmp_path), device="cpu")
    assert not can_branch(model.base_model)
    expected = one_by_one(model, GROUPS)
    wanted = gradients(model, weighted(expected))
    found = response_logprobs(model, GROUPS)
    assert torch.allclose(flat(found), flat(expected), atol=1e-4)
    assert close(gradients(model, weighted(found)), wanted, 1e-4)


def test_groups_without_tokens_are_refused(policy):
    for group in (Group([], [[1]]), Group([1], []), Group([1], [[1], []])):
        with pytest.raises(ValueError, match="at least one token"):
            hidden_states(policy[0], [group])


def test_batches_hold_every_group_once_and_keep_to_their_budget():
    groups = [Group([1] * (1 + number % 7), [[2] * (1 + number % 5)] * (1 + number % 3)) for number in range(40)]
    batches = token_batches(groups, 25)
    assert sorted(index for batch in batches for index in batch) == list(range(40))
    for batch in batches:
        assert sum(groups[index].tokens for index in batch) <= 25 or len(batch) == 1
    lengths = [groups[index].tokens for batch in batches for index in batch]
    assert lengths == sorted(lengths, reverse=True)


def test_a_group_above_the_budget_stands_alone():
    groups = [Group([1] * 50, [[2]]), Group([1], [[2]]), Group([1], [[2]])]
    assert token_batches(groups, 10) == [[0], [1, 2]]
    assert token_batches([], 10) == []
