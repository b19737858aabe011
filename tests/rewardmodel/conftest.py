"""A tiny policy, its chat, and small datasets."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.rewardmodel.worlds import easy_rows, two_dimensions, write_dataset
from tests.tiny import tiny_model


@pytest.fixture(scope="session")
def tiny(tmp_path_factory) -> Path:
    return tiny_model(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="session")
def tiny_chat(tiny):
    from lm.loading import load_chat

    return load_chat(str(tiny))


@pytest.fixture(scope="session")
def dataset(tmp_path_factory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("easy"), easy_rows())


@pytest.fixture(scope="session")
def dataset_of_two(tmp_path_factory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("two"), two_dimensions(easy_rows()))
