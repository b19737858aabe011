// Rankings as plain objects {key: rank}. Pure: every function returns a new ranking.
// Ranks may have gaps while a person is at work; `dense` closes them.

export function groups(ranks) {
  const byRank = new Map();
  for (const key of Object.keys(ranks).sort()) {
    const rank = ranks[key];
    byRank.set(rank, [...(byRank.get(rank) ?? []), key]);
  }
  return [...byRank.keys()].sort((a, b) => a - b).map((rank) => byRank.get(rank));
}

export function fromGroups(list) {
  return Object.fromEntries(list.flatMap((group, place) => group.map((key) => [key, place + 1])));
}

export const dense = (ranks) => fromGroups(groups(ranks));

export function without(ranks, key) {
  const { [key]: _, ...rest } = ranks;
  return rest;
}

// Put `key` at `rank` by itself. What is there makes room: towards the lane that `key` left, else downwards, else upwards.
export function place(ranks, key, rank, lanes) {
  const rest = without(ranks, key);
  const taken = new Set(Object.values(rest));
  if (taken.has(rank)) {
    const room = roomFor(ranks[key], rank, taken, lanes);
    const step = room > rank ? 1 : -1;
    for (const other of Object.keys(rest)) {
      const between = step > 0 ? rest[other] >= rank && rest[other] < room : rest[other] <= rank && rest[other] > room;
      if (between) rest[other] += step;
    }
  }
  return { ...rest, [key]: rank };
}

function roomFor(left, rank, taken, lanes) {
  if (left && !taken.has(left)) return left;
  for (let lane = rank + 1; lane <= lanes; lane += 1) if (!taken.has(lane)) return lane;
  for (let lane = rank - 1; lane >= 1; lane -= 1) if (!taken.has(lane)) return lane;
  return lanes + 1;
}

// Put `key` beside whatever is at `rank`: a tie.
export const join = (ranks, key, rank) => ({ ...ranks, [key]: rank });

// Put `key` between the lanes above and below the gap, and close all gaps.
export function insert(ranks, key, gap) {
  const rest = without(ranks, key);
  const above = Object.keys(rest).filter((other) => rest[other] < gap);
  const below = Object.keys(rest).filter((other) => rest[other] >= gap);
  const pick = (keys) => groups(Object.fromEntries(keys.map((other) => [other, rest[other]])));
  return fromGroups([...pick(above), [key], ...pick(below)]);
}

// Tie `key` with the group above it; one that is not placed joins the last group.
export function tieUp(ranks, key) {
  const list = groups(without(ranks, key));
  if (!list.length) return ranks;
  const above = ranks[key] === undefined ? list : list.filter((group) => ranks[group[0]] < ranks[key]);
  if (!above.length) return ranks;
  return join(ranks, key, ranks[above.at(-1)[0]]);
}

// `better` directly above `worse`, unless it is above already. What is not placed comes in beside the other one; if
// neither is, both come in at the end.
export function above(ranks, better, worse) {
  if (ranks[better] < ranks[worse]) return ranks;
  if (!(worse in ranks)) {
    const first = better in ranks ? dense(ranks) : { ...dense(ranks), [better]: groups(ranks).length + 1 };
    return insert(first, worse, first[better] + 1);
  }
  const rest = dense(without(ranks, better));
  return insert(rest, better, rest[worse]);
}

// Two in one place: the one that is not placed joins the other; if both are, the second joins the first.
export function beside(ranks, one, other) {
  if (one in ranks) return join(ranks, other, ranks[one]);
  if (other in ranks) return join(ranks, one, ranks[other]);
  const last = groups(ranks).length + 1;
  return { ...dense(ranks), [one]: last, [other]: last };
}
