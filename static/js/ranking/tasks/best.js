// The best of K: one key picks and goes on.

import { press, Task } from "./task.js";

export class Best extends Task {
  act(action) {
    switch (action.name) {
      case "pick": return this.pick(this.keys[action.place - 1]);
      case "allBad": return this.allBad();
      case "remove": return this.take();
      default: return undefined;
    }
  }

  pick(key) {
    if (key === undefined || this.isTooSoon) return true;
    this.answer.pick(key);
    this.settle(this.desk.text("picked", { key }));
    return true;
  }

  allBad() {
    if (this.isTooSoon) return true;
    this.answer.pick(undefined);
    this.answer.allBad.add(this.answer.step);
    this.settle(this.desk.text("allBadOn"));
    return true;
  }

  take() {
    this.answer.pick(undefined);
    this.desk.changed();
    this.desk.announce(this.desk.text("takenBack"));
    return true;
  }

  compare(verdict) { if (verdict !== "tie") this.pick(verdict); }

  undo() { return this.back(); }

  incomplete() { return this.desk.text("noBest", { label: this.label(this.answer.step) }); }

  first() { return this.answer.best() ?? this.keys[0]; }

  click(data) {
    if (!data.pick) return false;
    return this.pick(data.pick);
  }

  status(key) { return this.answer.best() === key ? this.desk.text("best") : ""; }

  draw(view) {
    const best = this.answer.best();
    for (const card of view.cards) card.classList.toggle("is-placed", card.dataset.key === best);
    for (const button of view.all("[data-pick]")) press(button, button.dataset.pick === best);
  }
}
