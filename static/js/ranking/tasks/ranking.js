// Order all responses, ties allowed.

import * as order from "../order.js";
import { press, set, Task } from "./task.js";

export class Ranking extends Task {
  act(action) {
    const key = this.desk.current;
    switch (action.name) {
      case "place": return this.place(key, action.rank);
      case "tie": return this.rank(key, (ranks) => order.join(ranks, key, action.rank), action.rank);
      case "tieUp": return this.rank(key, (ranks) => order.tieUp(ranks, key));
      case "remove": return this.remove(key);
      case "strength": return this.strength(action.by);
      default: return undefined;
    }
  }

  place(key, rank) {
    return this.rank(key, (ranks) => order.place(ranks, key, rank, this.keys.length), rank);
  }

  // Change the ranking of `key`, then go on to the next response that is not placed.
  rank(key, change, rank = 1, { scroll = true } = {}) {
    if (rank > this.keys.length) return true;
    const { answer, desk } = this;
    this.placed = key;
    answer.current = change(answer.current);
    desk.warned = null;
    const left = answer.unplaced();
    desk.focus(left.find((other) => other > key) ?? left[0] ?? key, { scroll });
    desk.changed();
    const said = desk.text("placed", { key, place: this.status(key) });
    desk.announce(left.length ? said : `${said} ${desk.text("allPlaced")}`);
    return true;
  }

  remove(key) {
    if (!(key in this.answer.current)) return true;
    this.answer.current = order.without(this.answer.current, key);
    this.desk.focus(key, { scroll: false });
    this.desk.changed();
    this.desk.announce(this.desk.text("removed", { key }));
    return true;
  }

  // Two responses compared side by side: the better one goes right above the other unless it is above already.
  compare(verdict, [left, right]) {
    const [better, worse] = verdict === right ? [right, left] : [left, right];
    this.answer.current = verdict === "tie"
      ? order.beside(this.answer.current, left, right)
      : order.above(this.answer.current, better, worse);
    this.placed = better;
    this.desk.changed();
  }

  // The step that is meant: below the focused response, or, once focus has gone on, the one at what was placed last.
  #stepMeant() {
    const { answer, desk: { current } } = this;
    const ranks = answer.current;
    if (current in ranks && answer.neighbours(ranks[current])) return ranks[current];
    if (current in ranks && current !== this.placed) return undefined;
    const last = ranks[this.placed];
    if (answer.neighbours(last)) return last;
    return Math.max(...Object.values(ranks).filter((rank) => rank < last));
  }

  strength(by, rank = this.#stepMeant()) {
    const { answer, desk } = this;
    if (!desk.item.strength) return true;
    if (!answer.neighbours(rank)) desk.hint(desk.text("noStrength", { key: desk.current }));
    else {
      answer.setStrengthBelow(rank, answer.strengthBelow(rank) + by);
      desk.changed();
      desk.announce(`${rank}: ${desk.text(`strength${answer.strengthBelow(rank)}`)}`);
    }
    return true;
  }

  leftOut() { return this.answer.allBad.has(this.answer.step) ? [] : this.answer.unplaced(); }

  // buttons and drags

  click(data, key, event) {
    if (data.rank) this.#clickRank(key, Number(data.rank), event.shiftKey);
    else if ("tie" in data) this.rank(key, (ranks) => order.tieUp(ranks, key), 1, { scroll: false });
    else if (data.above) this.#cycleStrength(Number(data.above));
    else return false;
    return true;
  }

  // A second press on the same number takes the response off again.
  #clickRank(key, rank, tie) {
    if (this.answer.current[key] === rank && !tie) return this.remove(key);
    const change = tie
      ? (ranks) => order.join(ranks, key, rank)
      : (ranks) => order.place(ranks, key, rank, this.keys.length);
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

  // drawing

  status(key) {
    const ranks = this.answer.current;
    const rank = ranks[key];
    if (rank === undefined) return this.desk.text("unplaced");
    const others = Object.keys(ranks).filter((other) => other !== key && ranks[other] === rank).sort();
    return others.length
      ? this.desk.text("tied", { rank, others: others.join(", ") })
      : this.desk.text("rank", { rank });
  }

  draw(view) {
    const ranks = this.answer.current;
    for (const card of view.cards) {
      const rank = ranks[card.dataset.key];
      card.classList.toggle("is-placed", rank !== undefined);
      for (const button of card.querySelectorAll("[data-rank]")) press(button, Number(button.dataset.rank) === rank);
    }
    for (const lane of view.all("[data-lane]")) this.#drawLane(view, lane, ranks);
    for (const button of view.all("[data-above]")) this.#drawStrength(button);
  }

  #drawLane(view, lane, ranks) {
    const rank = Number(lane.dataset.lane);
    const keys = this.keys.filter((key) => (ranks[key] ?? 0) === rank);
    const chips = lane.querySelector(".chips");
    const here = [...chips.children].map((chip) => chip.dataset.chip);
    if (here.join() !== keys.join()) chips.append(...keys.map((key) => view.one(`[data-chip="${key}"]`)));
    lane.classList.toggle("is-empty", !keys.length);
  }

  #drawStrength(button) {
    const rank = Number(button.dataset.above);
    const strength = this.answer.strengthBelow(rank);
    button.disabled = !this.answer.neighbours(rank);
    set(button, ["›", ">", ">>", ">>>"][strength]);
    button.dataset.strength = strength;
    const label = this.desk.text(`strength${strength}`);
    button.title = label;
    button.setAttribute("aria-label", `${rank}: ${label}`);
  }
}
