// Draws an answer onto the item's HTML. The server made all elements; nothing here is created, so nothing jumps.

export class View {
  constructor(form, item, text) {
    this.form = form;
    this.item = item;
    this.text = text;
    const all = (selector) => [...form.querySelectorAll(selector)];
    this.cards = all(".card");
    this.lanes = all("[data-lane]");
    this.strengths = all("[data-above]");
    this.steps = all("[data-step]");
    this.one = (selector) => form.querySelector(selector);
  }

  card(key) { return this.cards.find((card) => card.dataset.key === key); }

  draw(answer) {
    const ranks = answer.current;
    for (const card of this.cards) this.#drawCard(card, ranks);
    for (const lane of this.lanes) this.#drawLane(lane, ranks);
    for (const button of this.strengths) this.#drawStrength(button, answer);
    for (const step of this.steps) {
      step.toggleAttribute("aria-current", false);
      if (step.dataset.step === answer.step) step.setAttribute("aria-current", "step");
      step.classList.toggle("is-complete", answer.isComplete(step.dataset.step));
    }
    const dimension = this.item.dimensions.find((d) => d.key === answer.step);
    set(this.one("[data-question]"), dimension.question || dimension.label);
    this.one("[data-act=allBad]").setAttribute("aria-pressed", answer.allBad.has(answer.step));
    set(this.one("[data-flag-count]"), answer.flags.size ? ` ${answer.flags.size}` : "");
    const at = this.item.dimensions.findIndex((d) => d.key === answer.step);
    const next = this.item.dimensions[at + 1];
    set(this.one("[data-submit-label]"), this.text(next ? "next" : this.item.revises ? "submitAgain" : "submit"));
    set(this.one("[data-submit-more]"), next ? `: ${next.label}` : "");
  }

  #drawCard(card, ranks) {
    const { key } = card.dataset;
    const rank = ranks[key];
    card.classList.toggle("is-placed", rank !== undefined);
    for (const button of card.querySelectorAll("[data-rank]")) {
      button.setAttribute("aria-pressed", Number(button.dataset.rank) === rank);
    }
    set(card.querySelector("[data-status]"), this.status(key, ranks));
  }

  status(key, ranks) {
    const rank = ranks[key];
    if (rank === undefined) return this.text("unplaced");
    const others = Object.keys(ranks).filter((other) => other !== key && ranks[other] === rank).sort();
    return others.length ? this.text("tied", { rank, others: others.join(", ") }) : this.text("rank", { rank });
  }

  #drawLane(lane, ranks) {
    const rank = Number(lane.dataset.lane);
    const keys = this.item.keys.filter((key) => (ranks[key] ?? 0) === rank);
    const chips = lane.querySelector(".chips");
    const here = [...chips.children].map((chip) => chip.dataset.chip);
    if (here.join() !== keys.join()) chips.append(...keys.map((key) => this.one(`[data-chip="${key}"]`)));
    lane.classList.toggle("is-empty", !keys.length);
  }

  #drawStrength(button, answer) {
    const rank = Number(button.dataset.above);
    const strength = answer.strengthBelow(rank);
    button.disabled = !answer.neighbours(rank);
    set(button, ["›", ">", ">>", ">>>"][strength]);
    button.dataset.strength = strength;
    const label = this.text(`strength${strength}`);
    button.title = label;
    button.setAttribute("aria-label", `${rank}: ${label}`);
  }

  mark(key) {
    for (const card of this.cards) card.classList.toggle("is-current", card.dataset.key === key);
    for (const chip of this.form.querySelectorAll("[data-chip]")) {
      chip.classList.toggle("is-current", chip.dataset.chip === key);
    }
  }

  // Scroll only if the card's head is out of sight: what can be read already must not move.
  reveal(card) {
    const top = this.one("[data-prompt]").getBoundingClientRect().bottom;
    const bottom = this.one("[data-board]").getBoundingClientRect().top;
    const box = card.getBoundingClientRect();
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

function set(element, text) {
  if (element.textContent !== text) element.textContent = text;
}
