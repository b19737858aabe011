"""One tiny model for all tests of this folder."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lm.chat import Chat
from lm.loading import load_policy
from tests.tiny import tiny_model


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model(tmp_path_factory.mktemp("tiny"))


@pytest.fixture
def policy(tiny: Path):
    """A fresh model and its chat, in float32."""
    return load_policy(str(tiny), device="cpu")


@pytest.fixture(scope="session")
def chat() -> Chat:
    from tests.tiny import tiny_tokenizer

    return Chat(tiny_tokenizer())


@pytest.fixture(scope="session")
def real_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the 135M model is unpacked, once a test session; PLUMBLINE_MODELS_DIR keeps it between sessions."""
    return Path(os.environ.get("PLUMBLINE_MODELS_DIR") or tmp_path_factory.mktemp("models"))
