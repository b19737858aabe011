"""Large work in bites."""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TypeVar

T = TypeVar("T")


def batched(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Lists of `size` items, the last one shorter; nothing is read before it is asked for."""
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch
