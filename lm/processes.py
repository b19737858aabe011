"""Several processes that take every optimizer step together, as `accelerate launch` or `torchrun` starts them.

Each computes its share of the step's items; summed gradients make it the step of one process. Items and not rows are
shared out, and every loss is divided by the whole step's count, so the result does not depend on how many there are.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist

# Gradients travel in buffers of this many numbers: few messages, and no second copy of a whole model.
BUCKET = 1 << 24

T = TypeVar("T")


class World:
    """The processes of a run, this one among them. Alone, all of it costs nothing."""

    def __init__(self, rank: int = 0, size: int = 1) -> None:
        self.rank, self.size = rank, size
        self._met = False  # whether it was this object that met the others, and leaves them in the end

    @classmethod
    def join(cls) -> World:
        """Meet the others that the environment names (RANK, WORLD_SIZE, LOCAL_RANK), each on a GPU of its own.

        Raises ValueError if there are GPUs, but too few.
        """
        size = int(os.environ.get("WORLD_SIZE", "1"))
        if size < 2:
            return cls()
        if torch.cuda.is_available():
            local = int(os.environ.get("LOCAL_RANK", "0"))
            if local >= torch.cuda.device_count():
                raise ValueError(
                    f"The run asks for {size} processes, one for each GPU, and this machine has "
                    f"{torch.cuda.device_count()}. Lower processes."
                )
            torch.cuda.set_device(local)
        first = not dist.is_initialized()
        if first:
            # Measuring a large held-out set or unpacking a model may keep the others waiting for long.
            dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo", timeout=timedelta(hours=2))
        world = cls(dist.get_rank(), dist.get_world_size())
        world._met = first
        return world

    def leave(self) -> None:
        if self._met and dist.is_initialized():
            dist.destroy_process_group()

    def mine(self, costs: Sequence[int]) -> list[int]:
        """Indices of the items that this process takes: the longest first, each to whoever has the least to do."""
        if self.size == 1:
            return list(range(len(costs)))
        loads = [0] * self.size
        own: list[int] = []
        for index in sorted(range(len(costs)), key=lambda index: (-costs[index], index)):
            rank = loads.index(min(loads))
            loads[rank] += costs[index]
            if rank == self.rank:
                own.append(index)
        return sorted(own)

    def sum(self, value: torch.Tensor) -> torch.Tensor:
        """The sum of every process's `value`."""
        if self.size > 1:
            value = value.clone()
            dist.all_reduce(value)
        return value

    def sum_gradients(self, parameters: Iterable[torch.nn.Parameter]) -> None:
        """Add up every parameter's gradient over the processes; one that has none counts as zero."""
        if self.size == 1:
            return
        bucket: list[torch.Tensor] = []
        held = 0
        for parameter in parameters:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
            if bucket and (held + parameter.numel() > BUCKET or parameter.grad.dtype != bucket[0].dtype):
                _sum_together(bucket)
                bucket, held = [], 0
            bucket.append(parameter.grad)
            held += parameter.numel()
        if bucket:
            _sum_together(bucket)

    def gather(self, value: Any) -> list[Any]:
        """Every process's plain `value`, in the order of their ranks."""
        if self.size == 1:
            return [value]
        found: list[Any] = [None] * self.size
        dist.all_gather_object(found, value)
        return found

    def any(self, value: bool) -> bool:
        """Whether it is so for any process: what all must decide alike."""
        return any(self.gather(value))

    def together(self, work: Callable[[], T], *, leaving: type[Exception]) -> list[T]:
        """Every process's result of its `work`, by rank. `leaving`, raised in one of them, is raised in all.

        Each may stop on its own in the middle of its work; none is left behind waiting for it.
        """
        if self.size == 1:
            return [work()]
        found: tuple[bool, Any]
        try:
            found = (True, work())
        except leaving:
            found = (False, None)
        parts = self.gather(found)
        if not all(stayed for stayed, _ in parts):
            raise leaving
        return [value for _, value in parts]

    def share(
        self, costs: Sequence[int], work: Callable[[list[int]], Sequence[T]], *, leaving: type[Exception]
    ) -> list[T]:
        """`work(indices)` by each process on its share of the items, one plain result an item: all of them, in order.

        `leaving` as in `together`.
        """

        def own() -> dict[int, T]:
            indices = self.mine(costs)
            return dict(zip(indices, work(indices), strict=True)) if indices else {}

        merged = {index: value for part in self.together(own, leaving=leaving) for index, value in part.items()}
        return [merged[index] for index in range(len(costs))]


def _sum_together(tensors: list[torch.Tensor]) -> None:
    flat = torch.cat([tensor.flatten() for tensor in tensors])
    dist.all_reduce(flat)
    for tensor, summed in zip(tensors, flat.split([tensor.numel() for tensor in tensors]), strict=True):
        tensor.copy_(summed.view_as(tensor))


ALONE = World()
