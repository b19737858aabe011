"""When two responses are the same. Pure."""

import hashlib


def text_hash(text: str) -> str:
    """sha256 of the text without the white space around it, hexadecimal: responses that agree in it are the same."""
    return hashlib.sha256(text.strip().encode("utf-8")).hexdigest()
