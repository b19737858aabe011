// Marks words on rendered text without touching its elements: the browser paints ranges (CSS Custom Highlight API).

import { difference, similarity, words } from "./diff.js";

const ALIKE = 0.8; // from here on two responses are said to be nearly the same
const FEWEST = 8; // words; what is shorter is compared at a glance

function wordsOf(element) {
  const walker = document.createTreeWalker(element, NodeFilter.SHOW_TEXT);
  const found = [];
  while (walker.nextNode()) for (const word of words(walker.currentNode.data)) found.push({ ...word, node: walker.currentNode });
  return found;
}

function rangesOf(list, indices) {
  return indices.map((i) => {
    const range = document.createRange();
    range.setStart(list[i].node, list[i].start);
    range.setEnd(list[i].node, list[i].end);
    return range;
  });
}

// Marks what each of the two has and the other lacks; returns how many words that are, [in one, in the other]; null if
// this browser cannot.
export function mark(one, other) {
  if (!window.CSS?.highlights) return null;
  const lists = [wordsOf(one), wordsOf(other)];
  const found = difference(...lists.map((list) => list.map((w) => w.word)));
  CSS.highlights.set("differs", new Highlight(...lists.flatMap((list, side) => rangesOf(list, found[side]))));
  return found.map((list) => list.length);
}

export function unmark() { window.CSS?.highlights?.delete("differs"); }

// For each element the index of the one it is most like, and whether the two are nearly the same.
export function twins(elements) {
  const lists = elements.map((element) => wordsOf(element).map((w) => w.word));
  return lists.map((list, i) => {
    const shares = lists.map((other, j) => (i === j ? -1 : similarity(list, other)));
    const index = shares.indexOf(Math.max(...shares));
    const isLong = Math.min(list.length, lists[index].length) >= FEWEST;
    return { index, isAlike: isLong && shares[index] >= ALIKE };
  });
}
