"""One seed for every (run, prompt, sample), so that a response does not depend on what else is sampled beside it."""

from __future__ import annotations

import hashlib


def seed_of(run_seed: int, prompt_id: str, index: int) -> int:
    """63 bits of sha256 over run seed, prompt id and sample index; a row number would change when a prompt is added."""
    text = f"{run_seed}\n{prompt_id}\n{index}".encode()
    return int.from_bytes(hashlib.sha256(text).digest()[:8], "big") >> 1
