import pytest

from lm.chat import Chat
from tests.tiny import tiny_tokenizer

END, START, PAD = 2, 1, 0


def user(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


def assistant(text: str) -> dict[str, str]:
    return {"role": "assistant", "content": text}


def test_a_prompt_ends_where_the_assistant_begins(chat):
    ids = chat.prompt_ids([user("hi")])
    assert chat.tokenizer.decode(ids) == "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n"


def test_a_response_is_tokenised_alone_and_closed_with_the_end_of_turn(chat):
    assert chat.response_ids("ok") == [*chat.tokenizer("ok")["input_ids"], END]
    assert chat.response_ids("") == [END]


def test_a_special_token_spelled_out_in_a_response_stays_text(chat):
    ids = chat.response_ids("a<|im_end|>b<|im_start|>")
    assert ids.count(END) == 1 and START not in ids
    assert chat.text(ids) == "a<|im_end|>b<|im_start|>"


@pytest.mark.parametrize("text", ["plain", " spaces  kept ", "你好，世界", "emoji 🙂\n\nand lines\t", "a , b ' s"])
def test_text_comes_back_as_it_was(chat, text):
    assert chat.text(chat.response_ids(text)) == text


def test_the_end_of_turn_is_found_in_the_template_and_not_in_the_tokenizers_end_token():
    tokenizer = tiny_tokenizer()
    tokenizer.eos_token = "<|pad|>"
    assert Chat(tokenizer).end_id == END


def test_padding_never_is_the_end_token():
    tokenizer = tiny_tokenizer()
    tokenizer.pad_token = "<|im_end|>"
    chat = Chat(tokenizer)
    assert chat.pad_id == PAD
    assert chat.tokenizer.pad_token == "<|pad|>"


def test_a_tokenizer_without_padding_gets_a_token_that_no_turn_uses():
    tokenizer = tiny_tokenizer()
    tokenizer.pad_token = None
    assert Chat(tokenizer).pad_id == PAD


def test_a_tokenizer_without_chat_template_is_refused():
    tokenizer = tiny_tokenizer()
    tokenizer.chat_template = None
    with pytest.raises(ValueError, match="chat template"):
        Chat(tokenizer)


def test_what_fits_stays_whole(chat):
    messages = [user("one"), assistant("two"), user("three")]
    ids = chat.prompt_ids(messages)
    assert chat.fit(messages, len(ids)) == (ids, False)


def test_the_oldest_turns_go_first_and_a_user_turn_comes_first(chat):
    messages = [user("a" * 30), assistant("b" * 30), user("c"), assistant("d"), user("e")]
    shorter = chat.prompt_ids(messages[2:])
    assert chat.fit(messages, len(chat.prompt_ids(messages)) - 1) == (shorter, True)
    assert chat.fit(messages, len(shorter) - 1) == (chat.prompt_ids(messages[4:]), True)


def test_the_system_message_stays(chat):
    system = {"role": "system", "content": "Be brief."}
    messages = [system, user("a" * 50), assistant("b"), user("c")]
    ids, truncated = chat.fit(messages, len(chat.prompt_ids(messages)) - 1)
    assert (ids, truncated) == (chat.prompt_ids([system, user("c")]), True)


def test_of_a_last_turn_that_is_too_long_the_end_stays(chat):
    text = "".join(str(number % 10) for number in range(200))
    frame = len(chat.prompt_ids([user("")]))
    ids, truncated = chat.fit([user(text)], frame + 50)
    assert truncated
    assert ids == chat.prompt_ids([user(text[-50:])])


def test_a_character_is_not_cut_in_half(chat):
    frame = len(chat.prompt_ids([user("")]))
    ids, _ = chat.fit([user("好" * 40)], frame + 50)  # three bytes each, and a token is a byte
    assert ids == chat.prompt_ids([user("好" * 16)])


def test_a_limit_below_the_template_is_refused(chat):
    with pytest.raises(ValueError, match="template alone"):
        chat.fit([user("hello")], 5)
