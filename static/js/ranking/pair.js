// Two long responses side by side over the whole screen. They scroll together, each by its own share; keys place them.

import { groups } from "./order.js";
import { digitOf, letterOf } from "./keys.js";
import { mark, unmark } from "./marks.js";

export class Pair {
  #following = null; // the pane that is scrolled by the other one

  constructor(dialog, { text }) {
    this.dialog = dialog;
    this.text = text;
    this.panes = [...dialog.querySelectorAll("[data-pane]")];
    this.one = (selector) => dialog.querySelector(selector);
    dialog.addEventListener("keydown", (event) => this.#key(event));
    dialog.addEventListener("click", (event) => this.#click(event));
    dialog.addEventListener("close", () => this.#closed());
    for (const pane of this.panes) pane.addEventListener("scroll", () => this.#scrolled(pane), { passive: true });
  }

  open(desk) {
    this.desk = desk;
    const { keys } = desk.item;
    this.pairs = keys.flatMap((left, i) => keys.slice(i + 1).map((right) => [left, right]));
    const wanted = [desk.current, desk.partner(desk.current)].sort().join();
    this.at = Math.max(0, this.pairs.findIndex((pair) => pair.join() === wanted));
    this.isMarked = desk.marked !== null;
    this.side = 0; // whom the next digit rates
    this.#show();
    this.dialog.showModal();
    for (const pane of this.panes) pane.scrollTop = 0;
    return true;
  }

  close() { if (this.dialog.open) this.dialog.close(); }

  // The page's own marks, if there were any, come back.
  #closed() {
    unmark();
    const { desk } = this;
    if (desk.marked) { desk.marked = null; desk.toggleDiff(); }
    desk.focus(this.pair[0]);
  }

  get pair() { return this.pairs[this.at]; }

  turn(by) {
    this.at = (this.at + by + this.pairs.length) % this.pairs.length;
    this.side = 0;
    this.#show();
    for (const pane of this.panes) pane.scrollTop = 0;
  }

  #show() {
    this.pair.forEach((key, side) => {
      const from = this.desk.view.card(key).querySelector("[data-response]");
      const pane = this.panes[side];
      pane.querySelector("[data-letter]").textContent = key;
      pane.querySelector("[data-text]").replaceChildren(...from.cloneNode(true).childNodes);
    });
    for (const button of this.dialog.querySelectorAll("[data-turn]")) button.hidden = this.pairs.length < 2;
    this.one("[data-heading]").textContent = this.text("pair", { a: this.pair[0], b: this.pair[1] });
    this.#drawMarks();
    this.#drawVerdicts();
    this.draw();
  }

  // What can be said of the two, and what is said so far.
  draw() {
    const { desk, pair } = this;
    pair.forEach((key, side) => { this.panes[side].querySelector("[data-status]").textContent = desk.task.status(key); });
    const { label, question } = desk.item.dimensions.find((d) => d.key === desk.answer.step);
    this.one("[data-asked]").textContent = question || label;
    const standing = desk.item.task === "ranking" ? groups(desk.answer.current).map((g) => g.join(" = ")).join(" > ") : "";
    this.one("[data-standing]").textContent = standing;
    if (desk.item.task === "rating") this.#drawPoints();
  }

  #drawPoints() {
    const { points } = this.desk.task;
    for (const button of this.dialog.querySelectorAll("[data-rate]")) {
      const [key, number] = button.dataset.rate.split(":");
      button.setAttribute("aria-pressed", points[key] === Number(number));
    }
    this.panes.forEach((pane, side) => pane.classList.toggle("is-current", side === this.side));
  }

  #rows() {
    const { points: most } = this.desk.item;
    return this.pair.map((key) => {
      const row = document.createElement("div");
      row.className = "ranks";
      row.append(key, ...Array.from({ length: most }, (_, i) => {
        const button = document.createElement("button");
        button.type = "button";
        button.dataset.rate = `${key}:${i + 1}`;
        button.textContent = i + 1;
        button.setAttribute("aria-label", this.text("pointsFor", { key, points: i + 1 }));
        return button;
      }));
      return row;
    });
  }

  // Points for one of the two; the next digit is for the other.
  rate(key, points) {
    this.desk.task.rate(key, points, { scroll: false });
    this.side = 1 - this.pair.indexOf(key);
    this.draw();
  }

  #drawVerdicts() {
    const [left, right] = this.pair;
    if (this.desk.item.task === "rating") return this.one("[data-verdicts]").replaceChildren(...this.#rows());
    const better = this.desk.item.task === "best" ? "bestOf" : "verdictBetter";
    const choices = {
      ranking: [["1", left], ["=", "tie"], ["2", right]],
      pairwise: [["1", left], ["=", "tie"], ["X", "bad"], ["2", right]],
      best: [["1", left], ["2", right]],
    }[this.desk.item.task];
    const names = { tie: this.text("verdictTie"), bad: this.text("verdictBad") };
    return this.one("[data-verdicts]").replaceChildren(...choices.map(([sign, verdict]) => {
      const button = document.createElement("button");
      const kbd = document.createElement("kbd");
      kbd.textContent = sign;
      button.type = "button";
      button.className = "button";
      button.dataset.say = verdict;
      button.append(kbd, ` ${names[verdict] ?? this.text(better, { key: verdict })}`);
      return button;
    }));
  }

  say(verdict) {
    if (!this.one(`[data-say="${verdict}"]`)) return;
    this.desk.task.compare(verdict, this.pair);
    if (this.dialog.open) this.draw();
  }

  toggleMarks() {
    this.isMarked = !this.isMarked;
    this.#drawMarks();
  }

  #drawMarks() {
    unmark();
    this.one("[data-diff]").setAttribute("aria-pressed", this.isMarked);
    if (this.isMarked) mark(...this.panes.map((pane) => pane.querySelector("[data-text]")));
  }

  #key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const [left, right] = this.pair;
    const digit = digitOf(event);
    const letter = letterOf(event);
    if (event.key === "ArrowLeft") this.turn(-1);
    else if (event.key === "ArrowRight") this.turn(1);
    else if (event.repeat) return;
    else if (digit !== undefined && this.desk.item.task === "rating") {
      this.rate(this.pair[this.side], digit === 0 && this.desk.item.points === 10 ? 10 : digit);
    }
    else if (event.key === "=" || letter === "t") this.say("tie");
    else if (digit === 1) this.say(left);
    else if (digit === 2) this.say(right);
    else if (letter === "x") this.say("bad");
    else if (letter === "d") this.toggleMarks();
    else if (letter === "v") this.close();
    else return;
    event.preventDefault();
    event.stopPropagation(); // else a key that closes this would be taken for one of the page below
  }

  #click(event) {
    const { say, rate, turn, diff, close } = event.target.closest("button")?.dataset ?? {};
    if (say) this.say(say);
    else if (rate) this.rate(rate.split(":")[0], Number(rate.split(":")[1]));
    else if (turn) this.turn(Number(turn));
    else if (diff !== undefined) this.toggleMarks();
    else if (close !== undefined) this.close();
  }

  // By share, so that both end together however long each is.
  #scrolled(pane) {
    if (this.#following === pane) { this.#following = null; return; }
    const other = this.panes.find((one) => one !== pane);
    const room = pane.scrollHeight - pane.clientHeight;
    const to = Math.round((room > 0 ? pane.scrollTop / room : 0) * (other.scrollHeight - other.clientHeight));
    if (Math.abs(other.scrollTop - to) < 1) return;
    this.#following = other;
    other.scrollTop = to;
  }
}
