"""Generation runs: as a process where the process matters, else the same work in this one."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lm.generation import generate, read_prompts
from lm.seeds import seed_of
from runs.child import EXIT_OK, EXIT_STOPPED, EXIT_USER, RunDir, UserError
from tests.lm.test_endpoint import server  # noqa: F401  (a fixture)

SAMPLING = {"temperature": 1.0, "top_p": 1.0, "max_tokens": 12}


def prepare(directory: Path, inputs: dict, count: int = 5, **config) -> Path:
    directory.mkdir()
    lines = [
        {"id": f"p{number}", "messages": [{"role": "user", "content": f"Tell me of {'x' * number}\u2028你好"}]}
        for number in range(count)
    ]
    (directory / "prompts.jsonl").write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines))
    spec = {
        "run": 1,
        "kind": "generation",
        "seed": 0,
        "config": {"k": 2, "sampling": SAMPLING, "rows": 4, "seed": 7, **config},
        "inputs": {"prompts": str(directory / "prompts.jsonl"), "models_dir": str(directory), **inputs},
    }
    (directory / "run.json").write_text(json.dumps(spec))
    return directory


def start(directory: Path) -> subprocess.Popen:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-m", "lm", str(directory)], env=environment, stderr=subprocess.PIPE, text=True
    )


def work(directory: Path) -> None:
    run = RunDir(directory)
    run.output.mkdir(exist_ok=True)
    generate(run)


def responses(directory: Path) -> list[dict]:
    text = (directory / "output" / "responses.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.split("\n") if line]


def events(directory: Path, kind: str) -> list[dict]:
    lines = (directory / "events.jsonl").read_bytes().splitlines()
    return [event for event in map(json.loads, lines) if event["type"] == kind]


def test_a_run_writes_k_responses_a_prompt_in_order(tiny, tmp_path):
    run = prepare(tmp_path / "run", {"model": str(tiny), "adapter": None})
    process = start(run)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == EXIT_OK, errors
    found = responses(run)
    assert [(one["prompt_id"], one["sample_index"]) for one in found] == [
        (f"p{number}", index) for number in range(5) for index in range(2)
    ]
    for one in found:
        assert set(one) == {"prompt_id", "sample_index", "text", "tokens", "finish_reason", "seed"}
        assert one["seed"] == seed_of(7, one["prompt_id"], one["sample_index"])
        assert one["finish_reason"] == "stop" or one["tokens"] == 12
    result = json.loads((run / "result.json").read_text())
    assert (result["prompts"], result["responses"]) == (5, 10)
    assert result["tokens"] == sum(one["tokens"] for one in found)
    last = events(run, "progress")[-1]["data"]
    assert (last["done"], last["total"]) == (5, 5)
    assert len(events(run, "metrics")) == 5


def test_a_run_that_was_cut_short_ends_with_the_same_bytes(tiny, tmp_path):
    whole = prepare(tmp_path / "whole", {"model": str(tiny)})
    work(whole)
    expected = (whole / "output" / "responses.jsonl").read_bytes()

    torn = prepare(tmp_path / "torn", {"model": str(tiny)}, rows=3)
    (torn / "output").mkdir()
    lines = expected.splitlines(keepends=True)
    # Two whole prompts, one with a response missing, and a line torn in mid-write.
    (torn / "output" / "responses.jsonl").write_bytes(b"".join([*lines[4:6], *lines[0:2], lines[8], lines[3][:20]]))
    work(torn)
    assert (torn / "output" / "responses.jsonl").read_bytes() == expected
    assert json.loads((torn / "result.json").read_text())["new_responses"] == 6


def test_a_stopped_run_ends_soon_keeps_its_prompts_and_continues(tiny, tmp_path):
    sampling = {"temperature": 1.0, "top_p": 1.0, "max_tokens": 400}
    run = prepare(tmp_path / "run", {"model": str(tiny)}, count=60, sampling=sampling)
    process = start(run)
    output = run / "output" / "responses.jsonl"
    deadline = time.monotonic() + 60
    while not (output.exists() and output.stat().st_size) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=10)
    assert process.returncode == EXIT_STOPPED, errors
    kept = {one["prompt_id"] for one in responses(run)}
    assert 0 < len(kept) < 60
    assert len(responses(run)) == 2 * len(kept)
    assert not (run / "result.json").exists()


def test_long_prompts_lose_their_oldest_turns_and_the_run_says_so(tiny, tmp_path):
    run = prepare(tmp_path / "run", {"model": str(tiny)}, count=1)
    old = {"role": "user", "content": "a" * 2000}
    messages = [old, {"role": "assistant", "content": "b"}, {"role": "user", "content": "c"}]
    (run / "prompts.jsonl").write_text(json.dumps({"id": "p0", "messages": messages}) + "\n")
    work(run)
    assert json.loads((run / "result.json").read_text())["truncated_prompts"] == 1
    assert "oldest turns" in events(run, "log")[-1]["data"]["message"]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("{", "line 2"),
        ('{"id": "x"}', "line 2"),
        ('{"id": "x", "messages": []}', "user turn"),
        ('{"id": "x", "messages": [{"role": "assistant", "content": "hm"}]}', "user turn"),
        ('{"id": "x", "messages": [{"role": "user", "content": 3}]}', "texts"),
        ('{"id": "p0", "messages": [{"role": "user", "content": "hm"}]}', "used twice"),
    ],
)
def test_a_bad_prompt_is_named_by_its_line(tmp_path, line, words):
    file = tmp_path / "prompts.jsonl"
    file.write_text('{"id": "p0", "messages": [{"role": "user", "content": "hi"}]}\n' + line + "\n")
    with pytest.raises(UserError, match=words) as caught:
        read_prompts(file)
    assert "line 2" in str(caught.value)


@pytest.mark.parametrize(
    ("inputs", "config", "words"),
    [
        ({"model": "nothing-like-it"}, {}, "nothing-like-it"),
        ({"model": "smollm2-135m-instruct"}, {"k": 99}, "k: "),
        ({"endpoint": {"url": "http://127.0.0.1:1/v1", "model": "m", "api_key_env": "NO_SUCH_KEY"}}, {}, "NO_SUCH_KEY"),
    ],
)
def test_a_wrong_setting_is_the_users_to_change(tmp_path, inputs, config, words):
    run = prepare(tmp_path / "run", inputs, **config)
    with pytest.raises(UserError, match=words):
        work(run)


def test_the_parent_reads_why_a_run_failed(tmp_path):
    run = prepare(tmp_path / "run", {"model": "nothing-like-it"})
    process = start(run)
    process.communicate(timeout=120)
    assert process.returncode == EXIT_USER
    error = json.loads((run / "error.json").read_text())
    assert error["fault"] == "user"
    assert "nothing-like-it" in error["message"]


def test_an_endpoint_writes_the_same_file(server, tmp_path):  # noqa: F811
    run = prepare(tmp_path / "run", {"endpoint": {"url": server.url, "model": "m", "api_key_env": None}})
    work(run)
    found = responses(run)
    assert [(one["prompt_id"], one["sample_index"]) for one in found] == [
        (f"p{number}", index) for number in range(5) for index in range(2)
    ]
    assert all(one["text"].endswith(f"with {one['seed'] % 2**31}") for one in found)
    assert {one["finish_reason"] for one in found} == {"length"}
