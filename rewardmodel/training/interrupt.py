"""Leaving a long forward or backward pass early."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

from torch import nn


class Interrupted(Exception):
    """Raised between two layers once a stop was asked for."""


@contextlib.contextmanager
def interruptible(backbone: nn.Module, stop: Callable[[], bool]) -> Iterator[None]:
    """Within, `stop()` is asked before every layer, forwards and backwards, and Interrupted raised once it is true.

    On a CPU one pass of a full batch can take a minute, and a run must stop within seconds. Between passes nothing is
    asked: of several processes one alone would leave, and the others wait for it.
    """

    def check() -> None:
        if stop():
            raise Interrupted

    def before(module: nn.Module, args: tuple[Any, ...]) -> None:
        check()

    def after(module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        states = output[0] if isinstance(output, tuple) else output
        if states.requires_grad:
            states.register_hook(lambda gradient: check())

    handles = []
    for layer in _layers(backbone):
        handles += [layer.register_forward_pre_hook(before), layer.register_forward_hook(after)]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _layers(backbone: nn.Module) -> list[nn.Module]:
    """The transformer's blocks: its longest module list."""
    lists = [list(module) for module in backbone.modules() if isinstance(module, nn.ModuleList)]
    return max(lists, key=len, default=[backbone])
