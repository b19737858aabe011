"""Scoring many conversations: in order, in bounded memory, and what was cut is said."""

import threading
import time

import pytest
import torch

from lm.prefix import Group
from rewardmodel.serve.batching import Batcher, Busy, Closed
from rewardmodel.training import scoring
from rewardmodel.training.run import train_reward_model
from rewardmodel.training.scoring import Scored, load_scorer
from runs.child import RunDir
from tests.rewardmodel.worlds import write_run

CONFIG = {"epochs": 1, "lora": {"rank": 4}, "dtype": "float32", "max_prompt_tokens": 60, "max_response_tokens": 30}


@pytest.fixture(scope="module")
def scorer(tmp_path_factory, dataset_of_two, tiny):
    run = write_run(tmp_path_factory.mktemp("runs") / "1", dataset_of_two, tiny, CONFIG)
    train_reward_model(RunDir(run))
    return load_scorer(run / "output")


def conversation(number: int, responses: int = 2) -> tuple[list[dict[str, str]], list[str]]:
    prompt = [{"role": "user", "content": f"Question {number}" + "?" * (number % 9)}]
    return prompt, [f"answer {i} " * (1 + (number + i) % 3) for i in range(responses)]


def test_a_stream_gives_the_scores_in_order(scorer, monkeypatch):
    monkeypatch.setattr(scoring, "WINDOW_CONVERSATIONS", 5)
    conversations = [conversation(number, 1 + number % 3) for number in range(17)]
    streamed = [scored.scores for scored in scorer.stream(iter(conversations), batch_tokens=150)]
    expected = scorer.scores(conversations)
    assert [len(rows) for rows in streamed] == [len(rows) for rows in expected]
    flat = [torch.tensor([row for rows in each for row in rows]) for each in (streamed, expected)]
    torch.testing.assert_close(*flat, atol=1e-5, rtol=0)


def test_a_stream_reads_no_further_than_its_window(scorer, monkeypatch):
    monkeypatch.setattr(scoring, "WINDOW_CONVERSATIONS", 4)
    read = []

    def conversations():
        for number in range(100):
            read.append(number)
            yield conversation(number)

    stream = scorer.stream(conversations(), batch_tokens=4096)
    for _ in range(5):
        next(stream)
    assert len(read) == 8


def test_a_stream_that_is_told_to_stop_stops(scorer):
    with pytest.raises(InterruptedError):
        list(scorer.stream([conversation(1)], stop=lambda: True))


def test_what_is_cut_is_said(scorer):
    long = [{"role": "user", "content": "x" * 200}]
    [scored] = scorer.stream([(long, ["short", "y" * 200])])
    assert scored.prompt_cut
    assert scored.responses_cut == (False, True)
    [scored] = scorer.stream([conversation(1)])
    assert not scored.prompt_cut and scored.responses_cut == (False, False)


@pytest.mark.parametrize("batch_tokens", [1, 40, 90])
def test_a_group_longer_than_a_batch_is_scored_in_pieces(scorer, batch_tokens):
    messages, responses = conversation(3, responses=7)
    whole = scorer.scores([(messages, responses)])
    pieces = scorer.scores([(messages, responses)], batch_tokens=batch_tokens)
    torch.testing.assert_close(torch.tensor(pieces), torch.tensor(whole), atol=1e-5, rtol=0)


def test_mean_and_disagreement_of_an_ensemble_are_those_of_its_members():
    scored = Scored([[[1.0, 4.0], [3.0, 4.0]]], prompt_cut=False, responses_cut=(False,))
    assert scored.scores == [[2.0, 4.0]]
    assert scored.disagreement == [[1.0, 0.0]]


# batching -----------------------------------------------------------------------------------------------------------


class Model:
    """Scores a response by its length, and remembers what it was asked."""

    def __init__(self) -> None:
        self.batches: list[list[Group]] = []

    def __call__(self, groups):
        self.batches.append(list(groups))
        return [[[[float(len(response))]] for response in group.responses] for group in groups]


def batcher(model, **options) -> Batcher:
    return Batcher(model, **{"batch_tokens": 20, "max_delay": 0.0, "max_waiting": 1000, **options})


def test_a_prompt_asked_for_many_times_is_run_once():
    model = Model()
    waits = batcher(model, batch_tokens=100)
    asked = [Group([1, 2, 3], [[4] * (1 + number)]) for number in range(5)] + [Group([9], [[4]])]
    assert waits.submit(asked) == [[[[float(1 + number)]]] for number in range(5)] + [[[[1.0]]]]
    waits.close()
    [batch] = model.batches
    assert [(group.prompt, len(group.responses)) for group in batch] == [([1, 2, 3], 5), ([9], 1)]


def test_no_batch_is_larger_than_it_may_be_unless_one_response_is():
    model = Model()
    waits = batcher(model)
    asked = [Group([1] * 4, [[2] * 5 for _ in range(7)]), Group([3], [[5] * 40]), Group([6], [[7], [8]])]
    found = waits.submit(asked)
    waits.close()
    assert found == [[[[5.0]]] * 7, [[[40.0]]], [[[1.0]], [[1.0]]]]
    for batch in model.batches:
        assert sum(group.tokens for group in batch) <= 20 or len(batch) == len(batch[0].responses) == 1
    assert waits.waiting_tokens == 0


def test_a_failure_reaches_those_who_asked_and_nobody_else():
    class Moody(Model):
        def __call__(self, groups):
            if any(13 in group.prompt for group in groups):
                raise MemoryError("no room")
            return super().__call__(groups)

    waits = batcher(Moody())
    with pytest.raises(MemoryError, match="no room"):
        waits.submit([Group([13], [[1]])])
    assert waits.submit([Group([12], [[1]])]) == [[[[1.0]]]]
    waits.close()
    with pytest.raises(Closed):
        waits.submit([Group([12], [[1]])])


def test_whoever_comes_when_too_much_waits_is_told_so():
    begun, go_on = threading.Event(), threading.Event()

    class Slow(Model):
        def __call__(self, groups):
            begun.set()
            go_on.wait(30)
            return super().__call__(groups)

    waits = batcher(Slow(), batch_tokens=10, max_waiting=30)
    askers = [threading.Thread(target=waits.submit, args=([Group([number], [[1] * 9])],)) for number in range(2)]
    askers[0].start()
    begun.wait(30)
    askers[1].start()  # waits, behind the batch that is being scored
    while waits.waiting_tokens < 10:
        time.sleep(0.001)
    with pytest.raises(Busy):
        waits.submit([Group([1], [[1] * 30])])
    go_on.set()
    for asker in askers:
        asker.join(30)
    waits.close()
