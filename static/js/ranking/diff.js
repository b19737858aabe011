// Words of two texts, and where they differ. Pure: strings in, numbers out.

// A word is a run of letters and digits; scripts that are written without spaces count by character.
const WORD = /[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Thai}\p{Script=Lao}\p{Script=Khmer}]|[\p{L}\p{N}\p{M}_'’]+|[^\s]/gu;
const FARTHEST = 1500; // differing words after which two texts count as different throughout

// [{word, start, end}]: UTF-16 positions, end exclusive. White space belongs to no word.
export function words(text) {
  return [...text.matchAll(WORD)].map((found) => ({ word: found[0], start: found.index, end: found.index + found[0].length }));
}

// Indices of the words that the other list lacks, [in a, in b], after a shortest edit script.
// Myers, "An O(ND) difference algorithm and its variations" (1986), after common ends are cut off.
export function difference(a, b) {
  let head = 0;
  while (head < a.length && head < b.length && a[head] === b[head]) head += 1;
  let tail = 0;
  while (tail < a.length - head && tail < b.length - head && a.at(-1 - tail) === b.at(-1 - tail)) tail += 1;
  const [left, right] = middle(a.slice(head, a.length - tail), b.slice(head, b.length - tail));
  return [left.map((i) => i + head), right.map((i) => i + head)];
}

const all = (list) => list.map((_, i) => i);

function middle(a, b) {
  if (!a.length || !b.length) return [all(a), all(b)];
  const most = Math.min(a.length + b.length, FARTHEST);
  const reach = new Int32Array(2 * most + 3); // reach[most + 1 + k]: how far diagonal k has come in `a`
  const trace = [];
  for (let d = 0; d <= most; d += 1) {
    trace.push(reach.slice(most + 1 - d - 1, most + 1 + d + 2));
    for (let k = -d; k <= d; k += 2) {
      const at = most + 1 + k;
      let x = k === -d || (k !== d && reach[at - 1] < reach[at + 1]) ? reach[at + 1] : reach[at - 1] + 1;
      let y = x - k;
      while (x < a.length && y < b.length && a[x] === b[y]) { x += 1; y += 1; }
      reach[at] = x;
      if (x >= a.length && y >= b.length) return backtrack(trace, a.length, b.length, d);
    }
  }
  return [all(a), all(b)];
}

function backtrack(trace, x, y, steps) {
  const left = [];
  const right = [];
  for (let d = steps; d > 0; d -= 1) {
    const reach = (k) => trace[d][k + d + 1];
    const k = x - y;
    const down = k === -d || (k !== d && reach(k - 1) < reach(k + 1));
    const before = down ? reach(k + 1) : reach(k - 1);
    const line = down ? k + 1 : k - 1;
    if (down) right.push(before - line);
    else left.push(before);
    x = before;
    y = before - line;
  }
  return [left.reverse(), right.reverse()];
}

// Share of words two texts have in common (Dice), whatever their order; 1 for two empty ones.
export function similarity(a, b) {
  if (!a.length && !b.length) return 1;
  const counts = new Map();
  for (const word of a) counts.set(word, (counts.get(word) ?? 0) + 1);
  let common = 0;
  for (const word of b) {
    const left = counts.get(word) ?? 0;
    if (left) { common += 1; counts.set(word, left - 1); }
  }
  return (2 * common) / (a.length + b.length);
}

// [{kind: same | gone | new, text}]: how `before` became `after`, with all its white space.
export function changes(before, after) {
  const [a, b] = [words(before), words(after)];
  const [gone, added] = difference(a.map((w) => w.word), b.map((w) => w.word)).map((list) => new Set(list));
  const parts = [];
  const push = (kind, text) => {
    if (!text) return;
    if (parts.at(-1)?.kind === kind) parts.at(-1).text += text;
    else parts.push({ kind, text });
  };
  const upTo = (list, i, text) => text.slice(list[i].start, list[i + 1]?.start ?? text.length);
  push("same", after.slice(0, b[0]?.start ?? (a.length ? 0 : after.length)));
  let i = 0;
  let j = 0;
  while (i < a.length || j < b.length) {
    if (gone.has(i)) { push("gone", upTo(a, i, before)); i += 1; }
    else if (added.has(j)) { push("new", upTo(b, j, after)); j += 1; }
    else { push("same", upTo(b, j, after)); i += 1; j += 1; }
  }
  return parts;
}
