// One item on the desk: what keys, buttons and drags do to its answer.

import { Answer } from "./answer.js";
import { Editor } from "./editor.js";
import { mark, twins, unmark } from "./marks.js";
import { Scales } from "./scales.js";
import { Best } from "./tasks/best.js";
import { Pairwise } from "./tasks/pairwise.js";
import { Ranking } from "./tasks/ranking.js";
import { Rating } from "./tasks/rating.js";
import { View } from "./view.js";

const TASKS = { ranking: Ranking, pairwise: Pairwise, best: Best, rating: Rating };

export class Desk {
  warned = null; // the dimension whose left-out responses were pointed out
  #hintTimer = 0;
  #finishing = false; // submitted but for the rationale

  constructor(form, { store, text, announce, onSubmit, onSkip, onUndo, onPair }) {
    this.form = form;
    this.item = JSON.parse(form.dataset.item);
    this.store = store;
    this.text = text;
    this.announce = announce;
    Object.assign(this, { onSubmit, onSkip, onUndo, onPair });
    const kept = this.item.settled ? null : store.kept(this.item);
    this.answer = new Answer(this.item, kept ?? this.item.given);
    this.task = new TASKS[this.item.task](this);
    this.view = new View(form, this.item, text);
    this.scales = new Scales(this);
    this.editor = this.item.edit ? new Editor(this) : null;
    this.current = this.task.first();
    this.#listen();
    this.#fillForm();
    this.draw();
    new ResizeObserver(() => this.view.measure()).observe(form.querySelector("[data-prompt]"));
    if (kept) store.draft(this.item, this.answer.json());
    unmark();
    this.marked = null; // the two whose differences are marked
    (window.requestIdleCallback ?? setTimeout)(() => this.#compareAll());
  }

  draw() {
    this.view.draw(this.answer, this.task);
    this.view.mark(this.current);
  }

  changed() {
    this.draw();
    this.hint("");
    if (!this.item.settled) this.store.draft(this.item, this.answer.json());
  }

  // keys -----------------------------------------------------------------------------------------------------------

  // False: nothing happened, so the key keeps the browser's own meaning.
  act(action) {
    const done = this.task.act(action);
    if (done !== undefined) return done;
    switch (action.name) {
      case "move": return this.move(action.to);
      case "allBad": return this.allBad();
      case "attributes": return this.scales.toggle();
      case "attribute": return this.scales.rate(action.points);
      case "flags": return this.open("flags");
      case "edit": return this.editor ? this.editor.open() : false;
      case "pair": return this.onPair(this);
      case "diff": return this.toggleDiff();
      case "skip": return this.open("skip");
      case "undo": return this.task.undo() || this.onUndo(this.item);
      case "fold": return this.fold();
      case "enter": return this.enter();
      default: return undefined;
    }
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

  allBad() {
    this.announce(this.text(this.answer.toggleAllBad() ? "allBadOn" : "allBadOff"));
    this.changed();
  }

  // Enter: this question, then the next, then submit. A question that is not answered stops it.
  enter() {
    const { answer } = this;
    if (!answer.isComplete()) return this.hint(this.task.incomplete(), true);
    const left = this.task.leftOut();
    if (left.length && this.warned !== answer.step) {
      this.warned = answer.step;
      return this.hint(this.text("leftOut", { keys: left.join(", ") }), true);
    }
    return this.goOn();
  }

  goOn() {
    const { answer, item } = this;
    const at = item.dimensions.findIndex((d) => d.key === answer.step);
    const following = item.dimensions[at + 1] ?? item.dimensions.find((d) => !answer.isComplete(d.key));
    if (following) return this.goTo(following.key);
    return this.#finish();
  }

  #finish() {
    if (this.item.settled) return this.hint(this.item.settled, true);
    this.#finishing = this.item.rationale === "required" && !this.answer.rationale.trim();
    if (!this.#finishing) return this.onSubmit(this);
    this.open("flags");
    this.form.querySelector("[name=rationale]").focus();
    return this.announce(this.text("whyNeeded"));
  }

  goTo(step, { focus = true } = {}) {
    this.answer.step = step;
    this.warned = null;
    this.changed();
    this.focus(this.task.first(), { scroll: focus });
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

  // differences ----------------------------------------------------------------------------------------------------

  #compareAll() {
    this.alike = twins(this.view.cards.map((card) => card.querySelector("[data-response]")));
    this.view.showTwins(this.alike.map((twin) => (twin?.isAlike ? this.item.keys[twin.index] : null)));
  }

  // The response that `key` is most like.
  twin(key) {
    const { keys } = this.item;
    if (!this.alike) this.#compareAll();
    return keys[this.alike[keys.indexOf(key)].index];
  }

  // Whom to compare it with first: the one it is nearly the same as, else its neighbour.
  partner(key) {
    const { keys } = this.item;
    const other = this.twin(key);
    const at = keys.indexOf(key);
    return this.alike[at].isAlike ? other : keys[at + 1] ?? keys[at - 1];
  }

  // The focused response and the one it is most like; another press takes the marks away.
  toggleDiff() {
    const button = this.form.querySelector("[data-act=diff]");
    button.setAttribute("aria-pressed", !this.marked);
    if (this.marked) {
      unmark();
      this.marked = null;
      return this.hint(this.text("unmarked"));
    }
    const pair = [this.current, this.twin(this.current)].sort();
    const counts = mark(...pair.map((key) => this.view.card(key).querySelector("[data-response]")));
    if (counts === null) return this.hint(this.text("cannotMark"));
    this.marked = pair;
    const [[a, b], [inOne, inOther]] = [pair, counts];
    return this.hint(this.text(inOne + inOther ? "marked" : "same", { a, b, inOne, inOther }));
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
    this.form.addEventListener("input", (event) => this.#input(event.target));
    this.dialog("skip").addEventListener("keydown", (event) => {
      const reason = !event.target.matches("[name=note]") && this.form.querySelectorAll("[name=reason]")[event.key - 1];
      if (reason) { reason.checked = true; reason.focus(); }
      if (event.key !== "Enter" || event.target.matches("button")) return;
      event.preventDefault();
      this.skip();
    });
    this.dialog("flags").addEventListener("keydown", (event) => {
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) this.dialog("flags").close();
    });
    this.dialog("flags").addEventListener("close", () => {
      const go = this.#finishing && this.answer.rationale.trim();
      this.#finishing = false;
      if (go) this.#finish();
    });
  }

  #input(field) {
    if (field.name === "rationale") this.answer.rationale = field.value;
    else if (field.name === "flag") {
      if (field.checked) this.answer.flags.add(field.value);
      else this.answer.flags.delete(field.value);
    } else if (field.closest("[data-attribute]")) return this.scales.chosen(field);
    else return undefined;
    return this.changed();
  }

  #click(event) {
    const button = event.target.closest("button");
    const key = event.target.closest(".card")?.dataset.key;
    if (key && !button) { this.current = key; this.view.mark(key); return; }
    if (!button) return;
    const data = button.dataset;
    if (this.task.click(data, key, event)) return;
    if (data.chip) this.focus(data.chip);
    else if (data.step) this.goTo(data.step, { focus: false });
    else if (data.act) this.act({ name: data.act });
    else if ("fold" in data) this.fold();
    else if ("close" in data) button.closest("dialog").close();
  }

  drop(key, target) { this.task.drop(key, target); }

  // What the project does not ask any more has no box, and is forgotten.
  #fillForm() {
    const boxes = [...this.form.querySelectorAll("[name=flag]")];
    for (const box of boxes) box.checked = this.answer.flags.has(box.value);
    this.answer.flags = new Set(boxes.filter((box) => box.checked).map((box) => box.value));
    const rationale = this.form.querySelector("[name=rationale]");
    if (rationale) rationale.value = this.answer.rationale;
    this.scales.fill();
    let folded = "";
    try { folded = localStorage.getItem("plumbline:folded"); } catch { /* only a convenience */ }
    this.setFolded(Boolean(folded));
  }
}
