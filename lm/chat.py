"""The token rule: which ids a conversation and a response become, everywhere in the platform.

A conversation's prompt is rendered by the chat template with its generation prompt. A response is tokenised by itself,
closed with the model's end-of-turn token, and appended. Sampling, reward training, DPO, PPO and scoring thus see the
same ids, where tokenising the joined text would merge characters across the border.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from transformers import PreTrainedTokenizerBase

Messages = Sequence[Mapping[str, str]]

_MARK = "plumbline"

# For base models whose tokenizer brings no template. No special tokens: the end token closes a response, and what comes
# before is plain text.
TEMPLATES = {
    "dialogue": (
        "{% for message in messages %}"
        "{% if message['role'] == 'system' %}{{ message['content'] + '\n\n' }}"
        "{% elif message['role'] == 'assistant' %}{{ 'Assistant: ' + message['content'] + eos_token + '\n\n' }}"
        "{% else %}{{ 'User: ' + message['content'] + '\n\n' }}{% endif %}"
        "{% endfor %}{% if add_generation_prompt %}{{ 'Assistant: ' }}{% endif %}"
    )
}


class Chat:
    """A tokenizer with its chat template and the two ids that matter.

    `end_id` closes a turn. `pad_id` fills batches and is never `end_id`, so that transformers' classifiers, which pool
    the last token that is not padding, pool the end of the turn.

    `template` is "model" for the tokenizer's own or a name in TEMPLATES, which the tokenizer then brings along.

    Raises ValueError if the tokenizer has no chat template or no token that ends a turn.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, template: str = "model") -> None:
        if template != "model":
            tokenizer.chat_template = TEMPLATES[template]
        if not tokenizer.chat_template:
            raise ValueError(
                "The model's tokenizer has no chat template. Use a model that was tuned for conversation, or say how "
                f"turns are written: for a reward model by its setting chat_template ({', '.join(TEMPLATES)})."
            )
        self.tokenizer = tokenizer
        self.end_id = _end_of_turn(tokenizer)
        self.pad_id = _padding(tokenizer, self.end_id)
        tokenizer.pad_token = tokenizer.convert_ids_to_tokens(self.pad_id)

    def prompt_ids(self, messages: Messages) -> list[int]:
        """Ids of the conversation up to where the assistant's answer begins."""
        return self._ids([dict(message) for message in messages], add_generation_prompt=True)

    def response_ids(self, text: str) -> list[int]:
        """Ids of a response alone, closed with `end_id`. A special token spelled out in `text` stays ordinary text."""
        ids = self.tokenizer(text, add_special_tokens=False, split_special_tokens=True)["input_ids"]
        return [*ids, self.end_id]

    def text(self, ids: Sequence[int]) -> str:
        """The text of response ids, without special tokens."""
        return str(self.tokenizer.decode(list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False))

    def fit(self, messages: Messages, max_tokens: int) -> tuple[list[int], bool]:
        """Prompt ids of at most `max_tokens`, and whether anything was left out.

        The oldest turns go first, whole, so that what remains begins with a user turn; a system message stays. If the
        last turn alone is too long, the beginning of its text goes. Raises ValueError if the template itself is longer.
        """
        ids = self.prompt_ids(messages)
        if len(ids) <= max_tokens:
            return ids, False
        kept = [dict(message) for message in messages]
        system = [kept.pop(0)] if kept and kept[0]["role"] == "system" else []
        while len(kept) > 1:
            kept.pop(0)
            if kept[0]["role"] != "user" and len(kept) > 1:
                continue
            ids = self.prompt_ids([*system, *kept])
            if len(ids) <= max_tokens:
                return ids, True
        last = kept[-1]
        content = self.tokenizer(last["content"], add_special_tokens=False, split_special_tokens=True)["input_ids"]
        keep = len(content)
        while keep:
            keep = max(0, keep - max(1, len(ids) - max_tokens))
            tail = self.text(content[len(content) - keep :]) if keep else ""
            ids = self.prompt_ids([*system, {**last, "content": tail.lstrip("\ufffd")}])
            if len(ids) <= max_tokens:
                return ids, True
        raise ValueError(f"The chat template alone needs {len(ids)} tokens, and a prompt may have only {max_tokens}.")

    def save(self, directory: str | os.PathLike[str]) -> None:
        """Write tokenizer and chat template where plain transformers finds them."""
        self.tokenizer.save_pretrained(directory)

    def _ids(self, messages: list[dict[str, str]], *, add_generation_prompt: bool) -> list[int]:
        template: Any = self.tokenizer.apply_chat_template
        ids = template(messages, add_generation_prompt=add_generation_prompt, tokenize=True, return_dict=False)
        return list(ids)


def _end_of_turn(tokenizer: PreTrainedTokenizerBase) -> int:
    """The first special token after an assistant's text in the template; the tokenizer's end token if there is none."""
    conversation = [{"role": "user", "content": _MARK}, {"role": "assistant", "content": _MARK}]
    rendered = str(tokenizer.apply_chat_template(conversation, tokenize=False))
    tail = tokenizer(rendered.rpartition(_MARK)[2], add_special_tokens=False)["input_ids"]
    special = set(tokenizer.all_special_ids) | set(getattr(tokenizer, "added_tokens_decoder", {}))
    found = next((token for token in tail if token in special), tokenizer.eos_token_id)
    if found is None:
        raise ValueError("The model's tokenizer has no token that ends a turn.")
    return int(found)


def _padding(tokenizer: PreTrainedTokenizerBase, end_id: int) -> int:
    """The tokenizer's own pad token if it differs from the end token, else a special token that no turn uses."""
    if tokenizer.pad_token_id is not None and tokenizer.pad_token_id != end_id:
        return int(tokenizer.pad_token_id)
    template = str(tokenizer.chat_template)
    added: dict[int, Any] = getattr(tokenizer, "added_tokens_decoder", {})
    names = {token_id: str(token) for token_id, token in sorted(added.items()) if getattr(token, "special", True)}
    taken = {end_id, tokenizer.bos_token_id, tokenizer.eos_token_id}
    free = {token_id: name for token_id, name in names.items() if token_id not in taken and name not in template}
    for token_id, name in free.items():
        if "pad" in name.lower():
            return token_id
    if free:
        return next(iter(free))
    # No special token is free. Padding is masked by length here; for others, the last word of the vocabulary serves.
    return len(tokenizer) - 1 if len(tokenizer) - 1 != end_id else len(tokenizer) - 2
