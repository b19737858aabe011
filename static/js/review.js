// Keys for the review page. It is a plain form without this: digits choose in the selects that are there anyway.

const form = document.querySelector("[data-review]");
const cards = form ? [...form.querySelectorAll(".card")] : [];
const dimensions = [...new Set([...(form?.querySelectorAll("[data-dimension]") ?? [])].map((select) => select.dataset.dimension))];
const TYPING = "textarea, select, input:not([type=checkbox])";
const PRESSING = "a, button, summary, input";
let marked = null;

const selectOf = (card, dimension) => card.querySelector(`[data-dimension="${CSS.escape(dimension)}"]`);
const allBad = (dimension) => form.querySelector(`[name=all_bad][value="${CSS.escape(dimension)}"]`)?.checked;
const unplaced = (dimension) => cards.filter((card) => !selectOf(card, dimension).value);
const label = (dimension) => selectOf(cards[0], dimension).closest("label").querySelector("span").textContent;

// The first question that is not answered in full, else the last one.
const asked = () => dimensions.find((dimension) => !allBad(dimension) && unplaced(dimension).length) ?? dimensions.at(-1);

function show() {
  const dimension = asked();
  for (const each of form.querySelectorAll(".choices label")) {
    each.classList.toggle("is-asked", each.querySelector("select").dataset.dimension === dimension);
  }
  for (const card of cards) card.classList.toggle("is-marked", card === marked);
  const left = unplaced(dimension).length;
  const done = !left || allBad(dimension);
  form.querySelector("[data-status]").textContent = done
    ? form.dataset.allPlaced
    : form.dataset.left.replace("{label}", label(dimension)).replace("{count}", left);
}

function mark(card) {
  marked = card;
  card.focus({ preventScroll: true });
  card.scrollIntoView({ block: "nearest" });
  show();
}

// Mark the next response that is not placed in the question now asked, beginning after the one just placed.
function advance() {
  const dimension = asked();
  const from = cards.indexOf(marked);
  const order = [...cards.slice(from + 1), ...cards.slice(0, from + 1)];
  const next = order.find((card) => !selectOf(card, dimension).value);
  if (next) mark(next);
  else show();
}

function place(rank) {
  const select = selectOf(marked, asked());
  if (rank && !select.querySelector(`option[value="${rank}"]`)) return;
  select.value = rank || "";
  if (rank) advance();
  else show();
}

function onKey(event) {
  if (event.isComposing || event.ctrlKey || event.metaKey || event.altKey || event.target.closest?.(TYPING)) return;
  const digit = /^(?:Digit|Numpad)(\d)$/.exec(event.code)?.[1];
  const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
  if (digit !== undefined) place(Number(digit));
  else if (event.key === "Backspace" || event.key === "Delete") place(0);
  else if (step) mark(cards[(cards.indexOf(marked) + step + cards.length) % cards.length]);
  else if (event.key === "Enter" && !event.target.closest?.(PRESSING)) form.requestSubmit();
  else return;
  event.preventDefault();
}

if (dimensions.length) {
  marked = cards[0];
  document.addEventListener("keydown", onKey);
  form.addEventListener("change", show);
  form.addEventListener("focusin", (event) => {
    const card = event.target.closest(".card");
    if (card && card !== marked) { marked = card; show(); }
  });
  show();
}
