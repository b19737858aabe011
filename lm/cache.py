"""Keys and values while sampling: each prompt's once for all of its samples, and each sample's own.

A slot is one sample in progress. Its query meets two parts, the prompt's keys, shared by the K samples of the prompt in
one product, and the keys it wrote itself; one softmax runs over both. A finished sample frees its slot for the next, so
no row is ever padding, and when nothing waits any more the slots are compacted.
"""

from __future__ import annotations

import torch

# Capacity grows in steps of this many tokens, so that 4,096 possible tokens do not take memory that 100 real ones need.
_STEP = 64
# Finite, so that a slot without any visible key gives numbers that are ignored rather than NaN.
_HIDDEN = -1e30


class PrefixCache:
    """Keys and values of `slots` samples and of the prompts they continue, `k` samples a prompt at most.

    Per layer: prompts [G, H_kv, P, D], samples [S, H_kv, C, D]. Between steps, `place(slot, group, member)` and
    `advance()` say which sample sits where; `attend` then serves every layer of one forward pass.
    """

    def __init__(self, layers: int, slots: int, k: int, device: torch.device) -> None:
        self.k = k
        self.device = device
        self.prompts: list[list[torch.Tensor]] = [[] for _ in range(layers)]
        self.samples: list[list[torch.Tensor]] = [[] for _ in range(layers)]
        self.prompt_lengths: list[int] = []
        self._own = torch.zeros(slots, dtype=torch.long)  # tokens each slot holds
        self._place = torch.full((slots,), -1)  # group * k + member of each slot, -1 for none
        self._prompt_capacity = 0
        self._capacity = 0

    # prompts --------------------------------------------------------------------------------------------------------

    def open_group(self, length: int, group: int | None) -> int:
        """Make room for a prompt of `length` tokens, in `group` if it is free to use, else in a new one."""
        self._prompt_capacity = max(self._prompt_capacity, -(-length // _STEP) * _STEP)
        if group is None:
            self.prompt_lengths.append(length)
            return len(self.prompt_lengths) - 1
        self.prompt_lengths[group] = length
        return group

    def keep_prompt(self, layer: int, group: int, key: torch.Tensor, value: torch.Tensor) -> None:
        """Store a prompt's keys and values [H_kv, P, D]."""
        shape = (len(self.prompt_lengths), key.shape[0], self._prompt_capacity, key.shape[2])
        stores = self.prompts[layer]
        for number, new in enumerate((key, value)):
            if len(stores) <= number:
                stores.append(new.new_zeros(shape))
            elif stores[number].shape != shape:
                stores[number] = _grown(stores[number], shape)
            stores[number][group, :, : new.shape[1]] = new

    # samples --------------------------------------------------------------------------------------------------------

    def place(self, slot: int, group: int, member: int) -> None:
        """Begin sample `member` of `group` in `slot`."""
        self._own[slot] = 0
        self._place[slot] = group * self.k + member

    def free(self, slot: int) -> None:
        """End the sample in `slot`. The slot runs along until it is taken or compacted away, and touches no other."""
        self._own[slot] = 0
        self._place[slot] = -1

    def advance(self) -> torch.Tensor:
        """Prepare one step in which every slot adds one token; return the position [S] of that token."""
        places = self._place.tolist()
        prompt = torch.tensor([self.prompt_lengths[place // self.k] if place >= 0 else 1 for place in places])
        longest = int(self._own.max()) + 1
        self._capacity = max(self._capacity, -(-longest // _STEP) * _STEP)
        widest = int(prompt.max())
        self._seen = (longest, widest)
        # Where each slot's new key goes among all keys of one head, and who sits at each place of each prompt. A place
        # that is empty is given to slot 0, and an empty slot reads place 0: both run along and are ignored.
        self._row_index = (torch.arange(len(places)) * self._capacity)[:, None]
        self._own_index = self._own[:, None]
        taken = (self._place >= 0).nonzero()[:, 0]
        sitting = torch.zeros(len(self.prompt_lengths) * self.k, dtype=torch.long)
        sitting[self._place[taken]] = taken
        self._sitting = sitting.to(self.device)
        self._place_index = self._place.clamp(min=0).to(self.device)
        self._write: torch.Tensor | None = None
        # Additive masks [S, 1, 1, P] and [S, 1, 1, L], joined for the one softmax.
        hidden_prompt = torch.arange(widest)[None, :] >= prompt[:, None]
        hidden_own = torch.arange(longest)[None, :] > self._own[:, None]
        mask = torch.cat([hidden_prompt, hidden_own], dim=1)[:, None, None, :]
        self._mask = torch.zeros(mask.shape).masked_fill_(mask, _HIDDEN).to(self.device)
        positions = (prompt + self._own).to(self.device)
        self._own = torch.where(self._place >= 0, self._own + 1, self._own)
        return positions

    def attend(
        self, layer: int, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scaling: float
    ) -> torch.Tensor:
        """Write one key and value [1, H_kv, S, D] a slot and attend with query [1, H, S, D] -> [1, S, H, D]."""
        slots, heads, width = key.shape[2], key.shape[1], key.shape[3]
        repeats = query.shape[1] // heads
        longest, widest = self._seen
        shape = (slots, heads, self._capacity, width)
        stores = self.samples[layer]
        for number, new in enumerate((key, value)):
            if len(stores) <= number:
                stores.append(new.new_zeros(shape))
            elif stores[number].shape != shape:
                stores[number] = _grown(stores[number], shape)
            stores[number].view(-1, width).index_copy_(
                0, self._written(heads), new[0].transpose(0, 1).reshape(-1, width)
            )
        own_key, own_value = (store[:, :, :longest] for store in stores)
        prompt_key, prompt_value = (store[:, :, :widest] for store in self.prompts[layer])

        rows = query[0].transpose(0, 1).reshape(slots, heads, repeats, width) * scaling
        own_scores = rows @ own_key.transpose(-1, -2)
        prompt_scores = self._leave(self._meet(rows) @ prompt_key.transpose(-1, -2), heads, repeats)
        scores = torch.cat([prompt_scores, own_scores], dim=-1)
        weights = scores.add_(self._mask).softmax(dim=-1, dtype=torch.float32).to(query.dtype)
        result = weights[..., widest:] @ own_value
        shared = self._meet(weights[..., :widest]) @ prompt_value
        result = result + self._leave(shared, heads, repeats)
        return result.reshape(1, slots, heads * repeats, width)

    def _written(self, heads: int) -> torch.Tensor:
        """Rows of the samples' keys [S * H_kv * C, D] that this step writes, made once for all layers. [S * H_kv]."""
        if self._write is None:
            head = torch.arange(heads)[None, :] * self._capacity
            self._write = (self._row_index * heads + head + self._own_index).reshape(-1).to(self.device)
        return self._write

    def _meet(self, rows: torch.Tensor) -> torch.Tensor:
        """Bring the rows [S, H_kv, R, X] of one prompt together: [G, H_kv, k * R, X]."""
        groups, (_, heads, repeats, width) = len(self.prompt_lengths), rows.shape
        table = rows.index_select(0, self._sitting).view(groups, self.k, heads, repeats, width)
        return table.transpose(1, 2).reshape(groups, heads, self.k * repeats, width)

    def _leave(self, table: torch.Tensor, heads: int, repeats: int) -> torch.Tensor:
        """Undo `_meet`."""
        groups, width = table.shape[0], table.shape[-1]
        table = table.view(groups, heads, self.k, repeats, width).transpose(1, 2)
        return table.reshape(groups * self.k, heads, repeats, width).index_select(0, self._place_index)

    def compact(self, slots: list[int]) -> dict[int, int]:
        """Keep only `slots`, all of them taken, and the prompts they continue; return each such group's new number."""
        groups = sorted({int(self._place[slot]) // self.k for slot in slots})
        renumbered = {group: number for number, group in enumerate(groups)}
        places = [int(self._place[slot]) for slot in slots]
        self._place = torch.tensor([renumbered[place // self.k] * self.k + place % self.k for place in places])
        self._own = self._own[slots]
        self.prompt_lengths = [self.prompt_lengths[group] for group in groups]
        slot_index, group_index = (torch.tensor(index, device=self.device) for index in (slots, groups))
        for layer in range(len(self.samples)):
            self.samples[layer] = [store.index_select(0, slot_index) for store in self.samples[layer]]
            self.prompts[layer] = [store.index_select(0, group_index) for store in self.prompts[layer]]
        return renumbered


def _grown(store: torch.Tensor, shape: tuple[int, ...]) -> torch.Tensor:
    larger = store.new_zeros(shape)
    larger[: store.shape[0], :, : store.shape[2]] = store
    return larger
