// Which action a key press means, or null. Letters also work on keyboards that write another script.

const LETTERS = { x: "allBad", f: "flags", s: "skip", u: "undo", c: "fold" };
const ARROWS = { ArrowLeft: "left", ArrowRight: "right", ArrowUp: "up", ArrowDown: "down" };
const TYPING = "textarea, select, input:not([type=checkbox], [type=radio])";

export function actionOf(event) {
  if (event.isComposing || event.ctrlKey || event.metaKey || event.altKey) return null;
  if (event.target.closest?.(TYPING)) return null;
  const digit = /^(?:Digit|Numpad)(\d)$/.exec(event.code)?.[1] ?? /^\d$/.exec(event.key)?.[0];
  if (event.shiftKey && digit && digit !== "0") return { name: "tie", rank: Number(digit) };
  if (event.key === "?") return { name: "keys" };
  if (event.key === "=") return { name: "tieUp" };
  if (event.key === "[" || event.code === "BracketLeft") return { name: "strength", by: -1 };
  if (event.key === "]" || event.code === "BracketRight") return { name: "strength", by: 1 };
  if (event.shiftKey) return null;
  if (digit === "0" || event.key === "Backspace" || event.key === "Delete") return { name: "remove" };
  if (digit) return { name: "place", rank: Number(digit) };
  if (ARROWS[event.key]) return { name: "move", to: ARROWS[event.key] };
  if (event.key === "Enter") return event.target.closest?.("a, button, summary") ? null : { name: "enter" };
  const letter = /^[a-z]$/i.test(event.key) ? event.key.toLowerCase() : /^Key([A-Z])$/.exec(event.code)?.[1].toLowerCase();
  return LETTERS[letter] ? { name: LETTERS[letter] } : null;
}
