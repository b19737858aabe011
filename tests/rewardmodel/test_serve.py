"""The reward server: OpenRLHF's protocol and ours, the numbers of the scorer, and manners under load and at its end."""

import http.client
import json
import math
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from rewardmodel.training.run import train_reward_model
from rewardmodel.training.scoring import load_scorer
from runs.child import RunDir
from tests.rewardmodel.serving import Served, remote_rewards, reward_server
from tests.rewardmodel.worlds import write_run

CONFIG = {
    "learning_rate": 1e-2,
    "epochs": 2,
    "comparisons_per_step": 4,
    "lora": {"rank": 4, "alpha": 8.0},
    "dtype": "float32",
    "max_prompt_tokens": 120,
    "max_response_tokens": 60,
}
CONVERSATIONS = [
    ([{"role": "user", "content": "Why?"}], ["yes yes", "", "no zzz no, and more"]),
    (
        [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Tell me of 你好."},
            {"role": "assistant", "content": "A greeting. "},
            {"role": "user", "content": "More."},
        ],
        ["It means hello. \n", "  x"],
    ),
    # longer than the model was trained with: the oldest turns go
    (
        [
            {"role": "user", "content": "old " * 20},
            {"role": "assistant", "content": "older"},
            {"role": "user", "content": "New?"},
        ],
        ["long " * 30],
    ),
]


@pytest.fixture(scope="module")
def directory(tmp_path_factory, dataset_of_two, tiny) -> Path:
    run = write_run(tmp_path_factory.mktemp("runs") / "1", dataset_of_two, tiny, CONFIG)
    train_reward_model(RunDir(run))
    return run / "output"


@pytest.fixture(scope="module")
def scorer(directory):
    return load_scorer(directory)


@pytest.fixture(scope="module")
def server(directory):
    with reward_server(directory, "--dimension", "helpfulness", "--batch-tokens", "300", "--max-body", "1") as served:
        yield served


def joined(scorer, padding: str = "") -> tuple[list[str], list[str], list[tuple[list, list[str]]]]:
    """Queries and prompts as OpenRLHF makes them: the template applied, decoded, padded with `padding`."""
    tokenizer = scorer.net.chat.tokenizer
    queries, prompts, asked = [], [], []
    for messages, responses in CONVERSATIONS:
        prompt = tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
        for response in responses:
            prompts.append(prompt)
            queries.append(f"{padding}{prompt}{response}{tokenizer.eos_token}{padding}")
            asked.append((messages, [response]))
    return queries, prompts, asked


@pytest.mark.parametrize("padding", ["", "<|pad|><|pad|>"])
@pytest.mark.parametrize("with_prompts", [True, False])
def test_openrlhf_gets_the_rewards_of_the_scorer(server, scorer, padding, with_prompts):
    queries, prompts, asked = joined(scorer, padding)
    found = remote_rewards(f"{server.url}/get_reward", queries, prompts if with_prompts else None)
    expected = torch.tensor(scorer.rewards(asked))[:, 0]
    torch.testing.assert_close(torch.tensor(found["rewards"]), expected[:, 1], atol=1e-5, rtol=0)
    scores = torch.tensor(scorer.scores(asked))[:, 0, 1]
    torch.testing.assert_close(torch.tensor(found["scores"]), scores, atol=1e-5, rtol=0)
    logs = found["extra_logs"]
    assert logs["template_exact"] == [1.0] * len(queries)
    torch.testing.assert_close(torch.tensor(logs["reward_harmlessness"]), expected[:, 0], atol=1e-5, rtol=0)


def test_openrlhf_gets_the_scores_of_plain_transformers(server, directory):
    model = AutoModelForSequenceClassification.from_pretrained(directory).eval()
    tokenizer = AutoTokenizer.from_pretrained(directory)
    rows, queries, prompts = [], [], []
    for messages, responses in CONVERSATIONS[:2]:
        prompt = tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
        for response in responses:
            ids = [tokenizer(text, add_special_tokens=False)["input_ids"] for text in (prompt, response)]
            rows.append([*ids[0], *ids[1], model.config.eos_token_id])
            queries.append(prompt + response + tokenizer.eos_token)
            prompts.append(prompt)
    with torch.no_grad():
        plain = model(**tokenizer.pad({"input_ids": rows}, return_tensors="pt")).logits
    for column, dimension in enumerate(("harmlessness", "helpfulness")):
        found = remote_rewards(f"{server.url}/get_reward?dimension={dimension}", queries, prompts)
        torch.testing.assert_close(torch.tensor(found["scores"]), plain[:, column], atol=1e-5, rtol=0)


def test_a_prompt_without_a_template_is_one_user_turn(server, scorer):
    status, found = server.ask("/get_reward", {"query": ["What is a cat?An animal."], "prompts": ["What is a cat?"]})
    assert status == 200
    expected = scorer.rewards([([{"role": "user", "content": "What is a cat?"}], ["An animal."])])
    assert found["rewards"] == pytest.approx([expected[0][0][1]], abs=1e-5)
    assert found["extra_logs"]["template_exact"] == [0.0]


def test_a_prompt_of_another_template_is_tokenised_as_it_stands(server, scorer):
    prompt = "<|im_start|>human: Hi\n<|im_start|>bot: "
    status, found = server.ask("/get_reward", {"query": [prompt + "Hello."], "prompts": [prompt]})
    assert status == 200
    ids = scorer.net.chat.tokenizer(prompt, add_special_tokens=False)["input_ids"]
    expected = scorer.score_groups([scorer.with_responses(ids, False, ["Hello."]).group])
    assert found["scores"] == pytest.approx([expected[0][0][1]], abs=1e-5)
    assert found["extra_logs"]["template_exact"] == [0.0]


def test_a_query_that_cannot_be_cut_is_refused_with_what_to_do(server):
    for body in ({"query": ["Hello there"]}, {"query": ["Hello there"], "prompts": ["Goodbye"]}):
        status, found = server.ask("/get_reward", body)
        assert status == 422
        assert found["error"].startswith("Query 1 ") and "Send `prompts`" in found["error"]


def test_our_own_endpoint_scores_conversations_in_every_dimension(server, scorer):
    body = {"conversations": [{"messages": m, "responses": r} for m, r in CONVERSATIONS]}
    status, found = server.ask("/score", body)
    assert status == 200
    assert found["dimensions"] == ["harmlessness", "helpfulness"]
    assert found["members"] == 1
    expected = scorer.scores(CONVERSATIONS)
    for result, rows in zip(found["results"], expected, strict=True):
        for response, row in zip(result["responses"], rows, strict=True):
            assert list(response["scores"].values()) == pytest.approx(row, abs=1e-5)
            rewards = [score - shift for score, shift in zip(row, scorer.shift, strict=True)]
            assert list(response["rewards"].values()) == pytest.approx(rewards, abs=1e-5)
    assert [result["prompt_cut"] for result in found["results"]] == [False, False, True]
    assert [each["cut"] for each in found["results"][2]["responses"]] == [True]
    status, found = server.ask("/score", {**body, "dimensions": ["helpfulness"]})
    assert list(found["results"][0]["responses"][0]["scores"]) == ["helpfulness"]


def test_the_server_says_what_it_serves(server):
    assert server.ask("/health") == (200, {"status": "ok"})
    status, found = server.ask("/info")
    assert status == 200
    assert found["dimensions"] == ["harmlessness", "helpfulness"]
    assert found["card"]["format"] == "plumbline-reward-model/1"


ONE = [{"messages": [{"role": "user", "content": "Hi"}], "responses": ["yes"]}]


@pytest.mark.parametrize(
    ("path", "body", "status", "words"),
    [
        ("/get_reward", {}, 400, "query: Field required"),
        ("/get_reward", {"query": "text"}, 400, "query: Input should be a valid list"),
        ("/get_reward", {"query": []}, 400, "query: List should have at least 1"),
        ("/get_reward", {"query": ["a", 7]}, 400, "query.1: Input should be a valid string"),
        ("/get_reward", {"query": ["a"], "prompts": []}, 400, "There are 1 queries but 0 prompts"),
        ("/get_reward", {"query": ["a"] * 4097}, 413, "at most 4096"),
        ("/get_reward", [1, 2], 400, "The request: "),
        ("/get_reward?dimension=truth", {"query": ["a"]}, 400, "It scores harmlessness, helpfulness"),
        ("/score", {"conversations": []}, 400, "conversations: List should have at least 1"),
        ("/score", {"conversations": [{"messages": [], "responses": ["a"]}]}, 400, "Conversation 1: The conversation"),
        ("/score", {"conversations": ONE, "dimensions": ["truth"]}, 400, "has no dimension truth"),
        ("/score", {"conversations": ONE, "surprise": 1}, 400, "surprise: Extra inputs"),
        ("/score", {"conversations": [{**ONE[0], "responses": []}]}, 400, "conversations.0.responses: List should"),
        ("/score", {"conversations": [{**ONE[0], "responses": ["\ud800"]}]}, 400, "half a character"),
        ("/nowhere", {}, 404, "There is nothing here"),
        ("/health", {}, 405, "does not take POST"),
    ],
)
def test_a_bad_request_is_answered_with_a_sentence(server, path, body, status, words):
    found = server.ask(path, body)
    assert found[0] == status, found
    assert words in found[1]["error"]


@pytest.mark.parametrize(
    ("raw", "status", "words"),
    [
        (b"not json", 400, "not JSON"),
        (b'{"query": ' + b"[" * 100_000, 400, "JSON"),
        (b" " * (2**20 + 1), 413, "at most 1048576"),
    ],
)
def test_a_body_that_cannot_be_read_is_answered_with_a_sentence(server, raw, status, words):
    found = server.ask("/get_reward", raw=raw)
    assert found[0] == status
    assert words in found[1]["error"] or "nested too deeply" in found[1]["error"]


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"BREW /get_reward HTTP/1.1\r\n\r\n", 501),
        (b"POST /get_reward HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", 411),
        (b"POST /score HTTP/1.1\r\nContent-Length: -5\r\n\r\n", 411),
    ],
)
def test_bad_http_is_answered_in_json(server, sent, status):
    place = urlsplit(server.url)
    with socket.create_connection((place.hostname, place.port), timeout=30) as connection:
        connection.sendall(sent)
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        assert answer.status == status
        assert json.loads(answer.read())["error"]


def test_a_connection_is_kept_for_the_next_request(server):
    place = urlsplit(server.url)
    connection = http.client.HTTPConnection(place.hostname, place.port, timeout=30)
    sockets = set()
    for _ in range(3):
        connection.request("GET", "/health")
        connection.getresponse().read()
        sockets.add(connection.sock)
    assert len(sockets) == 1 and None not in sockets
    connection.close()


def test_a_hundred_requests_at_once_get_the_numbers_that_each_gets_alone(server, scorer):
    queries, prompts, asked = joined(scorer)
    alone = [row[0][1] for row in scorer.rewards(asked)]

    def one(number: int) -> tuple[int, float]:
        place = number % len(queries)
        found = remote_rewards(f"{server.url}/get_reward", [queries[place]], [prompts[place]], tries=1)
        return place, found["rewards"][0]

    before = server.ask("/info")[1]
    with ThreadPoolExecutor(32) as pool:
        found = list(pool.map(one, range(100)))
    for place, reward in found:
        assert reward == pytest.approx(alone[place], abs=1e-5)
    after = server.ask("/info")[1]
    assert after["responses"] - before["responses"] == 100
    assert after["batches"] - before["batches"] < 100


def test_a_model_of_several_dimensions_asks_which(directory):
    with reward_server(directory) as served:
        status, found = served.ask("/get_reward", {"query": ["Q A"], "prompts": ["Q "]})
        assert status == 400
        assert "harmlessness, helpfulness" in found["error"] and "--dimension" in found["error"]
        assert served.ask("/get_reward?dimension=helpfulness", {"query": ["Q A"], "prompts": ["Q "]})[0] == 200


def test_what_was_asked_before_the_end_is_answered(directory, scorer):
    """All requests wait for company when the server is told to stop; each still gets its answer, then it exits."""
    with reward_server(directory, "--dimension", "helpfulness", "--max-batch-delay", "600") as served:
        queries, prompts, asked = joined(scorer)
        answers: dict[int, dict] = {}

        def one(number: int) -> None:
            answers[number] = remote_rewards(f"{served.url}/get_reward", [queries[number]], [prompts[number]], tries=1)

        threads = [threading.Thread(target=one, args=(number,)) for number in range(len(queries))]
        expected = 0
        for number, thread in enumerate(threads):
            thread.start()
            expected += len(scorer.group(*asked[number]).responses[0])
            wait_for(lambda least=expected: served.ask("/info")[1]["waiting_tokens"] >= least)
        place = urlsplit(served.url)
        idle = socket.create_connection((place.hostname, place.port))
        served.process.send_signal(signal.SIGTERM)
        for thread in threads:
            thread.join(60)
        assert served.process.wait(60) == 0
        idle.close()
        rewards = [answers[number]["rewards"][0] for number in range(len(queries))]
        assert rewards == pytest.approx([row[0][1] for row in scorer.rewards(asked)], abs=1e-5)


def wait_for(true, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["{tiny}"], "not a reward model"),
        (["{directory}", "--dimension", "truth"], "has no dimension truth"),
        (["{directory}", "--port", "{taken}"], "Cannot listen at"),
    ],
)
def test_a_start_that_cannot_work_says_why(directory, tiny, server: Served, arguments, words):
    names = {"tiny": tiny, "directory": directory, "taken": urlsplit(server.url).port}
    command = [sys.executable, "-m", "rewardmodel.serve", *(each.format(**names) for each in arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 2
    assert words in done.stderr and "Traceback" not in done.stderr


def test_the_rewards_are_numbers(server, scorer):
    found = remote_rewards(f"{server.url}/get_reward", *joined(scorer)[:2])
    assert all(math.isfinite(value) for value in found["rewards"])
