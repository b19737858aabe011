"""Responses from an OpenAI-compatible server (vLLM, llama.cpp, a hosted model), without torch.

What the server refuses is the user's to change and becomes UserError; what a later try may cure (a server that is down,
slow, or busy after several retries) becomes MachineError.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import openai

from lm.config import Sampling
from runs.child import MachineError, UserError

Messages = Sequence[Mapping[str, str]]


@dataclass(frozen=True)
class Completion:
    """One response of an endpoint. `tokens` is None where the server does not count them."""

    text: str
    tokens: int | None
    finish_reason: str


class _Pace:
    """Turns that are `pause` seconds apart."""

    def __init__(self, pause: float) -> None:
        self.pause, self._next = pause, 0.0

    async def turn(self) -> None:
        now = time.monotonic()
        mine = max(now, self._next)
        self._next = mine + self.pause
        if mine > now:
            await asyncio.sleep(mine - now)


class Endpoint:
    """A model behind a URL such as http://localhost:8001/v1.

    `api_key_env` names the environment variable that holds the key, so that no key is stored; None if none is needed.
    A server that is busy or away is asked again `retries` times, after half a second, then twice as long each time, up
    to eight, or after what its Retry-After says. `per_minute` is how many requests are begun in a minute; 0: no limit.
    Raises UserError if the variable is not set.
    """

    def __init__(
        self,
        url: str,
        model: str,
        api_key_env: str | None = None,
        *,
        timeout: float = 120.0,
        retries: int = 5,
        per_minute: int = 0,
    ) -> None:
        key = os.environ.get(api_key_env, "") if api_key_env else "none"
        if not key:
            raise UserError(f"The environment variable {api_key_env}, which should hold the key for {url}, is not set.")
        if not url.startswith(("http://", "https://")):
            raise UserError(f"The endpoint's address {url} must begin with http:// or https://.")
        self.url, self.model = url, model
        self._key, self._timeout, self._retries = key, timeout, retries
        self._pause = 60.0 / per_minute if per_minute else 0.0

    def complete(self, messages: Messages, sampling: Sampling, seed: int) -> Completion:
        """One response to `messages`."""
        found: list[Completion] = []
        self.sample([messages], 1, sampling, [seed], on_prompt=lambda _, completions: found.extend(completions))
        return found[0]

    def sample(
        self,
        prompts: Sequence[Messages],
        k: int,
        sampling: Sampling,
        seeds: Sequence[int],
        *,
        parallel: int = 8,
        stop: Callable[[], bool] = lambda: False,
        on_prompt: Callable[[int, list[Completion]], None] | None = None,
    ) -> None:
        """`k` responses to each of `prompts`, `parallel` requests at a time. Sample i of prompt p has seeds[p * k + i].

        `on_prompt(p, completions)` is called as soon as prompt p is complete. Within a second of `stop()`, or at the
        first error, requests under way are abandoned; prompts that were complete by then have been handed over.
        """
        _complete(self._sample(prompts, k, sampling, seeds, parallel, stop, on_prompt))

    async def _sample(
        self,
        prompts: Sequence[Messages],
        k: int,
        sampling: Sampling,
        seeds: Sequence[int],
        parallel: int,
        stop: Callable[[], bool],
        on_prompt: Callable[[int, list[Completion]], None] | None,
    ) -> None:
        numbers = iter([(prompt, member) for prompt in range(len(prompts)) for member in range(k)])
        done: dict[int, dict[int, Completion]] = {}
        running: dict[asyncio.Task[Completion], tuple[int, int]] = {}
        async with openai.AsyncOpenAI(
            base_url=self.url, api_key=self._key, timeout=self._timeout, max_retries=self._retries
        ) as client:
            pace = _Pace(self._pause)
            try:
                while not stop():
                    while len(running) < parallel and (number := next(numbers, None)) is not None:
                        prompt, member = number
                        request = self._complete(client, pace, prompts[prompt], sampling, seeds[prompt * k + member])
                        running[asyncio.create_task(request)] = number
                    if not running:
                        return
                    finished, _ = await asyncio.wait(running, timeout=0.5, return_when=asyncio.FIRST_COMPLETED)
                    for task in finished:
                        prompt, member = running.pop(task)
                        kept = done.setdefault(prompt, {})
                        kept[member] = task.result()
                        if len(kept) == k and on_prompt is not None:
                            on_prompt(prompt, [kept[index] for index in range(k)])
            finally:
                for task in running:
                    task.cancel()
                await asyncio.gather(*running, return_exceptions=True)

    async def _complete(
        self, client: Any, pace: _Pace, messages: Messages, sampling: Sampling, seed: int
    ) -> Completion:
        await pace.turn()
        with _faults(self.url, self.model):
            answer = await client.chat.completions.create(
                model=self.model,
                messages=[dict(message) for message in messages],
                temperature=sampling.temperature,
                top_p=sampling.top_p,
                max_tokens=sampling.max_tokens,
                seed=seed % 2**31,  # servers keep seeds in 32 bits
                extra_body={"top_k": sampling.top_k} if sampling.top_k else None,
            )
        choices = getattr(answer, "choices", None)
        if not choices or not isinstance(choices, list):
            raise UserError(f"{self.url} answered without any choices. Is it an OpenAI-compatible chat endpoint?")
        # The client checks nothing of what it is sent: a field may be absent, or anything.
        content = getattr(getattr(choices[0], "message", None), "content", None)
        if content is not None and not isinstance(content, str):
            raise UserError(f"{self.url} answered with no text. Is it an OpenAI-compatible chat endpoint?")
        if content is None and getattr(choices[0], "message", None) is None:
            raise UserError(f"{self.url} answered without a message. Is it an OpenAI-compatible chat endpoint?")
        tokens = getattr(getattr(answer, "usage", None), "completion_tokens", None)
        ended = getattr(choices[0], "finish_reason", None)
        return Completion(
            content or "", tokens if isinstance(tokens, int) else None, "length" if ended == "length" else "stop"
        )


@contextlib.contextmanager
def _faults(url: str, model: str) -> Iterator[None]:
    try:
        yield
    except openai.APITimeoutError as error:
        raise MachineError(f"The endpoint {url} did not answer in time.") from error
    except openai.APIConnectionError as error:
        raise MachineError(f"The endpoint {url} cannot be reached: {error.__cause__ or error}.") from error
    except (openai.RateLimitError, openai.InternalServerError, openai.ConflictError) as error:
        raise MachineError(f"The endpoint {url} is busy or failing ({error.status_code}): {_reason(error)}") from error
    except openai.AuthenticationError as error:
        raise UserError(f"The endpoint {url} refuses the key it was given: {_reason(error)}") from error
    except openai.PermissionDeniedError as error:
        raise UserError(f"The endpoint {url} does not permit this: {_reason(error)}") from error
    except openai.NotFoundError as error:
        raise UserError(
            f"The endpoint {url} knows no model “{model}”, or is no such address: {_reason(error)}"
        ) from error
    except openai.APIStatusError as error:
        raise UserError(f"The endpoint {url} refuses the request ({error.status_code}): {_reason(error)}") from error
    except (openai.APIResponseValidationError, openai.APIError, ValueError) as error:
        raise UserError(f"The endpoint {url} does not answer as an OpenAI-compatible server does: {error}") from error


def _reason(error: openai.APIStatusError) -> str:
    body = error.body
    if isinstance(body, dict):
        inner = body.get("error", body)
        message = inner.get("message") if isinstance(inner, dict) else inner
        if message:
            return str(message)[:500]
    return str(error)[:500]


def _complete(work: Coroutine[Any, Any, Any]) -> None:
    """Run `work` to its end, also where an event loop runs already, as in a notebook: then in a thread of its own."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        asyncio.run(work)
        return
    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, work).result()
