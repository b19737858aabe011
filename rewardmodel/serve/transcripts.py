"""From the joined text that other trainers send back to a prompt and a response, as the model was trained with them.

OpenRLHF sends prompt and response as one text, the chat template applied and special tokens spelled out. Tokenised as
it is, that text would give other ids than training saw wherever characters merge across the border. So it is cut in
two, and where the template can be read backwards, the prompt becomes messages again. Whether a reading is right is
never guessed: messages count only if the template turns them into exactly the text that was sent.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from lm.chat import Chat

Reading = Literal["exact", "wrapped", "foreign"]

_MARKS = ("«first»", "«second»", "«third»")


class Unreadable(ValueError):
    """The text cannot be cut into prompt and response. The message is for people."""


@dataclass(frozen=True)
class Split:
    """One query.

    messages: the prompt's, None if it is not of the model's own template (then `prompt` is its text, as sent).
    reading: `exact`: the ids are those of training. `wrapped`: the prompt is of no template, so it became one user
    turn. `foreign`: the prompt is of another template and is tokenised as it stands.
    """

    messages: list[dict[str, str]] | None
    prompt: str
    response: str
    reading: Reading


class Transcripts:
    """Reads texts of one model's chat template."""

    def __init__(self, chat: Chat) -> None:
        self.chat = chat
        first, second, third = _MARKS
        turns = [("user", first), ("assistant", second), ("user", third)]
        plain = self._render([{"role": role, "content": text} for role, text in turns])
        self._head, rest = plain.split(first, 1)
        self._to_assistant, rest = rest.split(second, 1)
        self._to_user, self._tail = rest.split(third, 1)
        try:
            given = self._render([{"role": "system", "content": first}, {"role": "user", "content": second}])
            self._system_head, rest = given.split(first, 1)
            self._after_system = rest.split(second, 1)[0]
        except Exception:  # templates refuse system messages each in their own way
            self._system_head, self._after_system = "", ""
        tokenizer = chat.tokenizer
        names = {tokenizer.convert_ids_to_tokens(chat.end_id), tokenizer.convert_ids_to_tokens(chat.pad_id)}
        names |= {tokenizer.eos_token, tokenizer.pad_token}
        self._enders = tuple(sorted(str(name) for name in names if name))
        self._leading = re.compile(f"(?:{'|'.join(map(re.escape, self._enders))})+")
        self._begin = tokenizer.bos_token or ""
        self._special = [token for token in tokenizer.all_special_tokens if token]

    def split(self, query: str, prompt: str | None = None) -> Split:
        """Cut `query` behind `prompt` or, without one, behind the last place where an assistant's answer begins.

        Raises Unreadable if there is no such place.
        """
        found, response = self._cut(query, prompt)
        response = self._open_end(response)
        if (messages := self.messages(found)) is not None:
            return Split(messages, found, response, "exact")
        if any(token in found for token in self._special):
            return Split(None, found, response, "foreign")
        return Split([{"role": "user", "content": found}], found, response, "wrapped")

    def messages(self, prompt: str) -> list[dict[str, str]] | None:
        """The conversation that the template turns into exactly `prompt`, or None."""
        if not prompt.endswith(self._tail):
            return None
        body = prompt[: len(prompt) - len(self._tail)]
        for system in (True, False):
            found = self._turns(body, system)
            if found and self._render(found) == prompt:
                return found
        return None

    def _turns(self, body: str, system: bool) -> list[dict[str, str]] | None:
        found: list[dict[str, str]] = []
        head = self._system_head if system else self._head
        if not head or not body.startswith(head):
            return None
        start = len(head)
        if system:
            end = body.find(self._after_system, start)
            if end < 0 or not self._after_system:
                return None
            found.append({"role": "system", "content": body[start:end]})
            start = end + len(self._after_system)
        borders = {"user": self._to_assistant, "assistant": self._to_user}
        if not all(borders.values()):
            return None
        role = "user"
        while (end := body.find(borders[role], start)) >= 0:
            found.append({"role": role, "content": body[start:end]})
            start = end + len(borders[role])
            role = "assistant" if role == "user" else "user"
        found.append({"role": role, "content": body[start:]})
        return found if role == "user" else None

    def _open_end(self, response: str) -> str:
        """The response without what closes it: end tokens, padding, and the white space behind them."""
        end = probe = len(response)
        while True:
            while probe and response[probe - 1].isspace():
                probe -= 1
            ender = next((name for name in self._enders if response.endswith(name, 0, probe)), "")
            if not ender:
                return response[:end]
            end = probe = probe - len(ender)

    def _cut(self, query: str, prompt: str | None) -> tuple[str, str]:
        if prompt is not None:
            for text in self._spellings(query):
                for start in (prompt, self._begin + prompt, prompt.removeprefix(self._begin)):
                    if start and text.startswith(start):
                        return start, text[len(start) :]
        start, border, response = query.rpartition(self._tail)
        if not border:
            raise Unreadable(
                "does not begin with its prompt and has no place where the model's chat template lets an assistant's "
                "answer begin. Send `prompts` beside `query`, or apply the reward model's chat template."
                if prompt is not None
                else "has no place where the model's chat template lets an assistant's answer begin. Send `prompts` "
                "beside `query`, or apply the reward model's chat template."
            )
        padding = self._leading.match(start)
        return start[padding.end() if padding else 0 :] + border, response

    def _spellings(self, query: str) -> list[str]:
        """The query as it is, and without the padding that batches put on the left."""
        padding = self._leading.match(query)
        return [query] if padding is None else [query, query[padding.end() :]]

    def _render(self, messages: list[dict[str, str]]) -> str:
        return str(self.chat.tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False))
