// Draws an answer onto the item's HTML. The server made all elements; nothing here is created, so nothing jumps.

import { press, set } from "./tasks/task.js";

export class View {
  constructor(form, item, text) {
    this.form = form;
    this.item = item;
    this.text = text;
    this.all = (selector) => [...form.querySelectorAll(selector)];
    this.one = (selector) => form.querySelector(selector);
    this.cards = this.all(".card");
    this.steps = this.all("[data-step]");
  }

  card(key) { return this.cards.find((card) => card.dataset.key === key); }

  draw(answer, task) {
    task.draw(this);
    for (const card of this.cards) set(card.querySelector("[data-status]"), task.status(card.dataset.key));
    for (const step of this.steps) {
      step.toggleAttribute("aria-current", false);
      if (step.dataset.step === answer.step) step.setAttribute("aria-current", "step");
      step.classList.toggle("is-complete", answer.isComplete(step.dataset.step));
    }
    const dimension = this.item.dimensions.find((d) => d.key === answer.step);
    set(this.one("[data-question]"), dimension.question || dimension.label);
    const [bad, edit] = [this.one("[data-act=allBad]"), this.one("[data-act=edit]")];
    if (bad) press(bad, answer.allBad.has(answer.step));
    if (edit) press(edit, answer.edit !== null);
    set(this.one("[data-flag-count]"), answer.flags.size ? ` ${answer.flags.size}` : "");
    const at = this.item.dimensions.findIndex((d) => d.key === answer.step);
    const next = this.item.dimensions[at + 1];
    set(this.one("[data-submit-label]"), this.text(next ? "next" : this.item.revises ? "submitAgain" : "submit"));
    set(this.one("[data-submit-more]"), next ? `: ${next.label}` : "");
  }

  // Beside each letter the one it is nearly the same as.
  showTwins(keys) {
    this.cards.forEach((card, i) => {
      const twin = card.querySelector("[data-twin]");
      set(twin, keys[i] ? `≈ ${keys[i]}` : "");
      twin.title = keys[i] ? this.text("alike", { a: this.item.keys[i], b: keys[i] }) : "";
    });
    this.one("[data-act=diff]").classList.toggle("is-offered", keys.some(Boolean));
  }

  mark(key) {
    for (const card of this.cards) card.classList.toggle("is-current", card.dataset.key === key);
    for (const chip of this.all("[data-chip], [data-goto]")) {
      chip.classList.toggle("is-current", (chip.dataset.chip ?? chip.dataset.goto) === key);
    }
  }

  // Scroll only if the head of a card, or a row of it, is out of sight: what can be read already must not move.
  reveal(part) {
    const head = part.closest(".card").querySelector(".card-head"); // sticks, and covers what is scrolled below it
    const covered = part.matches(".card") ? 0 : head.offsetHeight;
    const top = this.one("[data-prompt]").getBoundingClientRect().bottom + covered;
    const bottom = this.one("[data-board]").getBoundingClientRect().top;
    const box = part.getBoundingClientRect();
    const headIsSeen = box.top >= top - 1 && box.top <= bottom - 96;
    const fills = box.top < top && box.bottom > bottom;
    if (!headIsSeen && !fills) window.scrollBy({ top: box.top - top - 12, behavior: "instant" });
  }

  // Heads of cards stick below the conversation, whose height only the browser knows.
  measure() {
    const { height } = this.one("[data-prompt]").getBoundingClientRect();
    this.form.style.setProperty("--prompt-height", `${Math.floor(height)}px`);
  }

  columns() {
    const top = this.cards[0].offsetTop;
    return this.cards.filter((card) => card.offsetTop === top).length;
  }
}
