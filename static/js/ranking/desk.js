// One item on the desk: what keys, buttons and drags do to its answer.

import { Answer } from "./answer.js";
import * as order from "./order.js";
import { View } from "./view.js";

export class Desk {
  #warned = null; // the dimension whose left-out responses were pointed out
  #hintTimer = 0;

  constructor(form, { store, text, announce, onSubmit, onSkip, onUndo }) {
    this.form = form;
    this.item = JSON.parse(form.dataset.item);
    this.store = store;
    this.text = text;
    this.announce = announce;
    Object.assign(this, { onSubmit, onSkip, onUndo });
    const kept = store.kept(this.item);
    this.answer = new Answer(this.item, kept ?? this.item.given);
    this.view = new View(form, this.item, text);
    this.current = this.answer.unplaced()[0] ?? this.item.keys[0];
    this.#listen();
    this.#fillForm();
    this.draw();
    new ResizeObserver(() => this.view.measure()).observe(form.querySelector("[data-prompt]"));
    if (kept) store.draft(this.item, this.answer.json());
  }

  draw() {
    this.view.draw(this.answer);
    this.view.mark(this.current);
  }

  changed() {
    this.draw();
    this.hint("");
    this.store.draft(this.item, this.answer.json());
  }

  // keys -----------------------------------------------------------------------------------------------------------

  act(action) {
    switch (action.name) {
      case "place": return this.place(this.current, action.rank);
      case "tie": return this.rank(this.current, (ranks) => order.join(ranks, this.current, action.rank), action.rank);
      case "tieUp": return this.rank(this.current, (ranks) => order.tieUp(ranks, this.current));
      case "remove": return this.remove(this.current);
      case "move": return this.move(action.to);
      case "strength": return this.strength(action.by);
      case "allBad": return this.allBad();
      case "flags": return this.open("flags");
      case "skip": return this.open("skip");
      case "undo": return this.onUndo(this.item);
      case "fold": return this.fold();
      case "enter": return this.enter();
      default: return undefined;
    }
  }

  place(key, rank) {
    return this.rank(key, (ranks) => order.place(ranks, key, rank, this.item.keys.length), rank);
  }

  // Change the ranking of `key`, then go on to the next response that is not placed.
  rank(key, change, rank = 1, { scroll = true } = {}) {
    if (rank > this.item.keys.length) return;
    this.placed = key;
    this.answer.current = change(this.answer.current);
    this.#warned = null;
    const left = this.answer.unplaced();
    const after = left.find((other) => other > key) ?? left[0] ?? key;
    this.focus(after, { scroll });
    this.changed();
    const said = this.text("placed", { key, place: this.view.status(key, this.answer.current) });
    this.announce(left.length ? said : `${said} ${this.text("allPlaced")}`);
  }

  remove(key) {
    if (!(key in this.answer.current)) return;
    this.answer.current = order.without(this.answer.current, key);
    this.focus(key, { scroll: false });
    this.changed();
    this.announce(this.text("removed", { key }));
  }

  // Up and down scroll the page as usual where there is no response above or below.
  move(to) {
    const { keys } = this.item;
    const at = keys.indexOf(this.current);
    const step = { left: -1, right: 1, up: -this.view.columns(), down: this.view.columns() }[to];
    const key = keys[at + step];
    if (!key) return false;
    this.focus(key);
    return true;
  }

  focus(key, { scroll = true } = {}) {
    this.current = key;
    this.view.mark(key);
    if (!scroll) return;
    const card = this.view.card(key);
    this.view.reveal(card);
    card.focus({ preventScroll: true });
  }

  // The step that is meant: below the focused response, or, once focus has gone on, the one at what was placed last.
  #stepMeant() {
    const ranks = this.answer.current;
    if (this.current in ranks && this.answer.neighbours(ranks[this.current])) return ranks[this.current];
    if (this.current in ranks && this.current !== this.placed) return undefined;
    const last = ranks[this.placed];
    if (this.answer.neighbours(last)) return last;
    return Math.max(...Object.values(ranks).filter((rank) => rank < last));
  }

  strength(by, rank = this.#stepMeant()) {
    if (!this.answer.neighbours(rank)) return this.hint(this.text("noStrength", { key: this.current }));
    this.answer.setStrengthBelow(rank, this.answer.strengthBelow(rank) + by);
    this.changed();
    return this.announce(`${rank}: ${this.text(`strength${this.answer.strengthBelow(rank)}`)}`);
  }

  allBad() {
    this.announce(this.text(this.answer.toggleAllBad() ? "allBadOn" : "allBadOff"));
    this.changed();
  }

  // Enter: this question, then the next, then submit. A question that is not answered stops it.
  enter() {
    const { answer, item } = this;
    if (!answer.isComplete()) return this.hint(this.text("tooFew", { label: this.#label(answer.step) }), true);
    const left = answer.unplaced();
    if (left.length && !answer.allBad.has(answer.step) && this.#warned !== answer.step) {
      this.#warned = answer.step;
      return this.hint(this.text("leftOut", { keys: left.join(", ") }), true);
    }
    const at = item.dimensions.findIndex((d) => d.key === answer.step);
    const following = item.dimensions[at + 1] ?? item.dimensions.find((d) => !answer.isComplete(d.key));
    if (following) return this.goTo(following.key);
    return this.onSubmit(this);
  }

  #label(key) { return this.item.dimensions.find((d) => d.key === key).label; }

  goTo(step, { focus = true } = {}) {
    this.answer.step = step;
    this.#warned = null;
    const first = this.answer.unplaced()[0] ?? this.item.keys[0];
    this.changed();
    this.focus(first, { scroll: focus });
    const { label, question } = this.item.dimensions.find((d) => d.key === step);
    this.announce(this.text("question", { label, question }));
  }

  fold() {
    const button = this.form.querySelector("[data-fold]");
    const open = button.getAttribute("aria-expanded") !== "true";
    this.setFolded(!open);
    try { localStorage.setItem("plumbline:folded", open ? "" : "1"); } catch { /* only a convenience */ }
  }

  setFolded(folded) {
    this.form.querySelector("[data-fold]").setAttribute("aria-expanded", !folded);
    this.form.querySelector("[data-prompt]").classList.toggle("is-folded", folded);
    const chat = this.form.querySelector("[data-chat]");
    chat.scrollTop = chat.scrollHeight; // the question is the last turn
  }

  // A sentence above the board; it covers nothing for long and moves nothing.
  hint(sentence, alarm = false) {
    const hint = this.form.querySelector("[data-hint]");
    clearTimeout(this.#hintTimer);
    hint.hidden = !sentence;
    hint.textContent = sentence;
    hint.classList.toggle("is-alarm", alarm);
    if (sentence) this.#hintTimer = setTimeout(() => { hint.hidden = true; }, 8000);
  }

  // dialogs --------------------------------------------------------------------------------------------------------

  dialog(name) { return this.form.querySelector(`[data-dialog=${name}]`); }

  open(name) { this.dialog(name).showModal(); }

  skip() {
    const reason = this.form.querySelector("[name=reason]:checked")?.value;
    if (!reason) {
      this.form.querySelector("[data-skip-error]").textContent = this.text("chooseReason");
      return;
    }
    this.dialog("skip").close();
    this.onSkip(this, { reason, note: this.form.querySelector("[name=note]").value });
  }

  // buttons --------------------------------------------------------------------------------------------------------

  #listen() {
    this.form.addEventListener("click", (event) => this.#click(event));
    this.form.addEventListener("focusin", (event) => {
      const key = event.target.closest(".card")?.dataset.key;
      if (key) { this.current = key; this.view.mark(key); }
    });
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      if (event.submitter?.closest("[data-dialog=skip]") || this.dialog("skip").open) this.skip();
      else this.enter();
    });
    this.form.addEventListener("input", (event) => {
      if (event.target.name === "rationale") this.answer.rationale = event.target.value;
      else if (event.target.name === "flag") {
        if (event.target.checked) this.answer.flags.add(event.target.value);
        else this.answer.flags.delete(event.target.value);
      } else return;
      this.changed();
    });
    this.dialog("skip").addEventListener("keydown", (event) => {
      const reason = !event.target.matches("[name=note]") && this.form.querySelectorAll("[name=reason]")[event.key - 1];
      if (reason) { reason.checked = true; reason.focus(); }
      if (event.key !== "Enter" || event.target.matches("button")) return;
      event.preventDefault();
      this.skip();
    });
  }

  #click(event) {
    const button = event.target.closest("button");
    const key = event.target.closest(".card")?.dataset.key;
    if (key && !button) { this.current = key; this.view.mark(key); return; }
    if (!button) return;
    const data = button.dataset;
    if (data.rank) this.#clickRank(key, Number(data.rank), event.shiftKey);
    else if ("tie" in data) this.rank(key, (ranks) => order.tieUp(ranks, key), 1, { scroll: false });
    else if (data.chip) this.focus(data.chip);
    else if (data.above) this.#cycleStrength(Number(data.above));
    else if (data.step) this.goTo(data.step, { focus: false });
    else if (data.act) this.act({ name: data.act });
    else if ("fold" in data) this.fold();
    else if ("close" in data) button.closest("dialog").close();
  }

  // A second press on the same number takes the response off again.
  #clickRank(key, rank, tie) {
    if (this.answer.current[key] === rank && !tie) return this.remove(key);
    const change = tie
      ? (ranks) => order.join(ranks, key, rank)
      : (ranks) => order.place(ranks, key, rank, this.item.keys.length);
    return this.rank(key, change, rank, { scroll: false });
  }

  #cycleStrength(rank) {
    const strength = this.answer.strengthBelow(rank);
    this.strength(strength === 3 ? -3 : 1, rank);
  }

  drop(key, { lane, gap }) {
    if (lane === "0") return this.remove(key);
    if (lane) return this.rank(key, (ranks) => order.join(ranks, key, Number(lane)), Number(lane), { scroll: false });
    return this.rank(key, (ranks) => order.insert(ranks, key, Number(gap)), 1, { scroll: false });
  }

  #fillForm() {
    for (const box of this.form.querySelectorAll("[name=flag]")) box.checked = this.answer.flags.has(box.value);
    this.form.querySelector("[name=rationale]").value = this.answer.rationale;
    let folded = "";
    try { folded = localStorage.getItem("plumbline:folded"); } catch { /* only a convenience */ }
    this.setFolded(Boolean(folded));
  }
}
