"""One saved model, one number: plain transformers, Scorer, the REST API's worker, the command and the reward server."""

import io
import json

import pytest
import torch
from django.core.management import call_command
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from rewardmodel.training.scoring import load_scorer
from runs.executor import run_execute
from tests.rewardmodel.serving import remote_rewards, reward_server

CONVERSATIONS = [
    ([{"role": "user", "content": "Why?"}], ["yes yes", "", "no zzz no, and at some length"]),
    (
        [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Tell me of 你好."},
            {"role": "assistant", "content": "A greeting."},
            {"role": "user", "content": "More."},
        ],
        ["It means hello. \n", "  x", "<|im_end|> spelled out", "🙂"],
    ),
]


def plain(directory, batch: int, side: str) -> torch.Tensor:
    """What a user who has nothing but transformers gets, one row a response."""
    model = AutoModelForSequenceClassification.from_pretrained(directory).eval()
    tokenizer = AutoTokenizer.from_pretrained(directory)
    tokenizer.padding_side = side
    rows = []
    for messages, responses in CONVERSATIONS:
        prompt = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=False)
        for response in responses:
            ids = tokenizer(response, add_special_tokens=False, split_special_tokens=True)["input_ids"]
            rows.append([*prompt, *ids, model.config.eos_token_id])
    found = []
    with torch.no_grad():
        for start in range(0, len(rows), batch):
            found.append(model(**tokenizer.pad({"input_ids": rows[start : start + batch]}, return_tensors="pt")).logits)
    return torch.cat(found)


@pytest.mark.django_db(transaction=True)
def test_a_saved_model_gives_one_score_wherever_it_is_asked(trained, trained_directory, as_admin, tmp_path):
    expected = plain(trained_directory, 1, "right")
    found = {f"plain, {batch} at a time, {side}": plain(trained_directory, batch, side)
             for batch in (2, 7) for side in ("left", "right")}  # fmt: skip

    scorer = load_scorer(trained_directory)
    found["Scorer"] = torch.tensor([row for rows in scorer.scores(CONVERSATIONS) for row in rows])

    asked = [{"messages": messages, "responses": responses} for messages, responses in CONVERSATIONS]
    address = f"/api/v1/reward-models/{trained.pk}/score/"
    answer = as_admin.post(address, {"conversations": asked}, content_type="application/json")
    run_execute(run_id=answer.json()["id"], worker="test")
    found["REST"] = table(as_admin.get(answer["Location"]).json()["lines"])

    file = tmp_path / "asked.jsonl"
    file.write_text("".join(json.dumps(each) + "\n" for each in asked))
    printed = io.StringIO()
    call_command("score", "Judge", str(file), "--out", "-", stdout=printed)
    found["command"] = table([json.loads(line) for line in printed.getvalue().splitlines()])

    with reward_server(trained_directory) as served:
        status, own = served.ask("/score", {"conversations": asked})
        assert status == 200
        found["server"] = table(own["results"])
        found["server, as OpenRLHF asks"] = torch.stack(
            [openrlhf(served.url, dimension, trained_directory) for dimension in trained.dimensions], dim=1
        )
    for where, scores in found.items():
        torch.testing.assert_close(
            scores, expected, atol=1e-5, rtol=0, msg=lambda text, where=where: f"{where}: {text}"
        )


def table(lines: list[dict]) -> torch.Tensor:
    return torch.tensor([list(each["scores"].values()) for line in lines for each in line["responses"]])


def openrlhf(url: str, dimension: str, directory) -> torch.Tensor:
    tokenizer = AutoTokenizer.from_pretrained(directory)
    prompts, queries = [], []
    for messages, responses in CONVERSATIONS:
        prompt = tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
        prompts += [prompt] * len(responses)
        queries += [prompt + response + tokenizer.eos_token for response in responses]
    return torch.tensor(remote_rewards(f"{url}/get_reward?dimension={dimension}", queries, prompts)["scores"])
