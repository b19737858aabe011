// Which action a key press means, or null. Letters also work on keyboards that write another script.

const LETTERS = {
  x: "allBad", f: "flags", s: "skip", u: "undo", c: "fold", e: "edit", l: "attributes", v: "pair", d: "diff", g: "guidelines",
};
const ARROWS = { ArrowLeft: "left", ArrowRight: "right", ArrowUp: "up", ArrowDown: "down" };
const TYPING = "textarea, select, input:not([type=checkbox], [type=radio])";

export const digitOf = (event) => {
  const digit = /^(?:Digit|Numpad)(\d)$/.exec(event.code)?.[1] ?? /^\d$/.exec(event.key)?.[0];
  return digit === undefined ? undefined : Number(digit);
};

export const letterOf = (event) => (/^[a-z]$/i.test(event.key) ? event.key : /^Key([A-Z])$/.exec(event.code)?.[1])?.toLowerCase();

const PER_TASK = {
  ranking(event, digit) {
    if (event.shiftKey && digit) return { name: "tie", rank: digit };
    if (event.key === "=") return { name: "tieUp" };
    if (event.shiftKey) return null;
    if (digit === 0 || isErasing(event)) return { name: "remove" };
    return digit ? { name: "place", rank: digit } : null;
  },
  pairwise(event, digit, letter) {
    if (event.key === "=") return { name: "verdict", verdict: "tie" };
    if (event.shiftKey) return null;
    if (digit === 1 || letter === "a") return { name: "verdict", verdict: "A" };
    if (digit === 2 || letter === "b") return { name: "verdict", verdict: "B" };
    if (letter === "t") return { name: "verdict", verdict: "tie" };
    if (letter === "x") return { name: "verdict", verdict: "bad" };
    return isErasing(event) ? { name: "remove" } : null;
  },
  best(event, digit) {
    if (event.shiftKey) return null;
    if (isErasing(event)) return { name: "remove" };
    return digit ? { name: "pick", place: digit } : null;
  },
  rating(event, digit) {
    if (event.shiftKey) return null;
    if (isErasing(event)) return { name: "remove" };
    return digit === undefined ? null : { name: "rate", points: digit };
  },
};

const isErasing = (event) => event.key === "Backspace" || event.key === "Delete";

export function actionOf(event, task) {
  if (event.isComposing || event.ctrlKey || event.metaKey || event.altKey) return null;
  const isGone = event.target.closest?.("dialog:not([open])"); // for a moment, focus stays in a dialog that was closed
  const on = (selector) => (isGone ? null : event.target.closest?.(selector));
  if (on(TYPING)) return null;
  const digit = digitOf(event);
  const letter = letterOf(event);
  if (on("[data-attribute]")) {
    if (ARROWS[event.key] || event.key === " ") return null; // what arrows do to radio buttons
    if (digit !== undefined && !event.shiftKey) return { name: "attribute", points: digit };
    if (isErasing(event)) return { name: "attribute" };
    if (event.key === "Escape") return { name: "attributes" };
  }
  if (event.key === "?") return { name: "keys" };
  const own = PER_TASK[task](event, digit, letter);
  if (own) return own;
  if (event.key === "[" || event.code === "BracketLeft") return { name: "strength", by: -1 };
  if (event.key === "]" || event.code === "BracketRight") return { name: "strength", by: 1 };
  if (event.shiftKey) return null;
  if (ARROWS[event.key]) return { name: "move", to: ARROWS[event.key] };
  if (event.key === "Enter") return on("a, button, summary") ? null : { name: "enter" };
  return LETTERS[letter] ? { name: LETTERS[letter] } : null;
}

// A key that is held down repeats itself; only moving about is meant so.
export const mayRepeat = (action) => ["move", "strength"].includes(action.name);
