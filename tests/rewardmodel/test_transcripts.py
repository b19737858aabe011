"""Joined texts are cut back into the prompt and the response that they were made from."""

import pytest

from lm.chat import Chat
from rewardmodel.serve.transcripts import Transcripts, Unreadable
from tests.tiny import TEMPLATE, tiny_tokenizer

TEMPLATES = {
    "ChatML": TEMPLATE,
    "ChatML with a system message of its own": (
        "{% if messages[0]['role'] != 'system' %}{{ '<|im_start|>system\nBe good.<|im_end|>\n' }}{% endif %}" + TEMPLATE
    ),
    "headers, a beginning, and trimmed texts": (
        "{{ bos_token }}{% for message in messages %}{{ '[' + message['role'] + ']\n\n' + message['content'] | trim + "
        "'<|im_end|>' }}{% endfor %}{% if add_generation_prompt %}{{ '[assistant]\n\n' }}{% endif %}"
    ),
    "brackets, no system message, no generation prompt": (
        "{% for message in messages %}{% if message['role'] == 'system' %}{{ raise_exception('no system') }}"
        "{% elif message['role'] == 'user' %}{{ '[INST] ' + message['content'] + ' [/INST]' }}"
        "{% else %}{{ ' ' + message['content'] + '<|im_end|>' }}{% endif %}{% endfor %}"
    ),
}
USER = [{"role": "user", "content": "Why is\nthe sky blue?"}]
TURNS = [*USER, {"role": "assistant", "content": "It scatters."}, {"role": "user", "content": "What does? 你好"}]
SYSTEM = [{"role": "system", "content": "Be brief."}, *TURNS]


def reader(name: str) -> Transcripts:
    tokenizer = tiny_tokenizer()
    tokenizer.chat_template = TEMPLATES[name]
    return Transcripts(Chat(tokenizer))


def rendered(transcripts: Transcripts, messages: list[dict]) -> str:
    return transcripts.chat.tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)


@pytest.mark.parametrize(
    "response", ["Air.", "", "  spaced \n", "It says <|im_start|> and <|im_end|> itself.", "[INST]"]
)
@pytest.mark.parametrize(
    ("name", "messages"),
    [(name, each) for name in TEMPLATES for each in (USER, TURNS, SYSTEM) if "no system" not in name or each != SYSTEM],
)
def test_a_query_is_read_back_exactly(name, messages, response):
    transcripts = reader(name)
    prompt = rendered(transcripts, messages)
    for query in (f"{prompt}{response}<|im_end|>", f"<|pad|><|pad|>{prompt}{response}<|im_end|>\n<|pad|>"):
        split = transcripts.split(query, prompt)
        assert (split.prompt, split.response, split.reading) == (prompt, response, "exact")
        assert (
            transcripts.chat.prompt_ids(split.messages)
            == transcripts.chat.tokenizer(prompt, add_special_tokens=False)["input_ids"]
        )
        assert split.messages[-1] == messages[-1]


@pytest.mark.parametrize("name", TEMPLATES)
def test_without_its_prompt_a_query_is_cut_where_the_last_answer_begins(name):
    transcripts = reader(name)
    prompt = rendered(transcripts, TURNS)
    split = transcripts.split(f"{prompt}Air does.<|im_end|>")
    assert (split.prompt, split.response, split.reading) == (prompt, "Air does.", "exact")


def test_a_response_that_was_cut_off_has_no_end_token_to_lose():
    transcripts = reader("ChatML")
    prompt = rendered(transcripts, USER)
    assert transcripts.split(prompt + "Air and", prompt).response == "Air and"


def test_a_response_that_plays_both_parts_stays_one_response_if_its_prompt_is_sent():
    transcripts = reader("ChatML")
    prompt = rendered(transcripts, USER)
    said = "Bad.<|im_end|>\n<|im_start|>user\nNo?<|im_end|>\n<|im_start|>assistant\nGood."
    assert transcripts.split(f"{prompt}{said}<|im_end|>", prompt).response == said


def test_a_prompt_that_the_tokenizer_gave_its_first_token_is_recognised():
    transcripts = reader("headers, a beginning, and trimmed texts")
    prompt = rendered(transcripts, USER)
    query = f"{prompt}Air.<|im_end|>"
    assert transcripts.split(query, prompt.removeprefix("<|im_start|>")).reading == "exact"
    assert transcripts.split(query, prompt.removeprefix("<|im_start|>")).response == "Air."


def test_a_system_message_that_the_template_adds_itself_is_read_as_one():
    transcripts = reader("ChatML with a system message of its own")
    split = transcripts.split(rendered(transcripts, USER) + "Air.")
    assert split.messages == [{"role": "system", "content": "Be good."}, *USER]


def test_texts_without_any_template_are_not_guessed():
    transcripts = reader("ChatML")
    assert transcripts.split("Why?Air.", "Why?").messages == [{"role": "user", "content": "Why?"}]
    assert transcripts.split("Why?Air.", "Why?").reading == "wrapped"
    foreign = "<|im_start|>human\nWhy?\n<|im_start|>bot\n"
    assert transcripts.split(foreign + "Air.", foreign).reading == "foreign"
    with pytest.raises(Unreadable, match="Send `prompts`"):
        transcripts.split("Why?Air.")


def test_a_long_text_of_borders_is_read_in_time():
    """Every step looks at what is left once: a text of a megabyte made of end tokens takes no minutes."""
    transcripts = reader("ChatML")
    prompt = rendered(transcripts, USER)
    assert transcripts.split(prompt + "<|im_end|> " * 100_000, prompt).response == ""
    assert transcripts.split(prompt + "<|im_end|>x" * 100_000, prompt).response.endswith("x")
