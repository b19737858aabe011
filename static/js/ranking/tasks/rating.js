// Points for each response: a digit rates the focused one, and focus goes on.

import { press, set, Task } from "./task.js";

export class Rating extends Task {
  get points() { return this.answer.ratings[this.answer.step]; }

  act(action) {
    const key = this.desk.current;
    const most = this.desk.item.points;
    switch (action.name) {
      case "rate": return this.rate(key, action.points === 0 && most === 10 ? 10 : action.points);
      case "remove": return this.take(key);
      default: return undefined;
    }
  }

  rate(key, points, { scroll = true } = {}) {
    const { answer, desk } = this;
    if (points === 0) return this.take(key);
    if (points > desk.item.points) return true;
    answer.rate(answer.step, key, points);
    answer.allBad.delete(answer.step);
    const left = answer.unplaced();
    desk.focus(left.find((other) => other > key) ?? left[0] ?? key, { scroll });
    desk.changed();
    const said = desk.text("rated", { key, points });
    desk.announce(left.length ? said : `${said} ${desk.text("allRated")}`);
    return true;
  }

  take(key) {
    this.answer.rate(this.answer.step, key, undefined);
    this.desk.focus(key, { scroll: false });
    this.desk.changed();
    this.desk.announce(this.desk.text("removed", { key }));
    return true;
  }

  compare() {}

  incomplete() { return this.desk.text("noPoints", { label: this.label(this.answer.step) }); }

  // A second press on the same points takes them back.
  click(data, key) {
    if (data.points) {
      const points = Number(data.points);
      if (this.points[key] === points) this.take(key);
      else this.rate(key, points, { scroll: false });
    } else if (data.goto) this.desk.focus(data.goto);
    else return false;
    return true;
  }

  status(key) {
    const points = this.points[key];
    return points === undefined ? this.desk.text("unrated") : this.desk.text("points", { points });
  }

  draw(view) {
    for (const card of view.cards) {
      const points = this.points[card.dataset.key];
      card.classList.toggle("is-placed", points !== undefined);
      for (const button of card.querySelectorAll("[data-points]")) press(button, Number(button.dataset.points) === points);
    }
    for (const sum of view.all("[data-sum]")) set(sum, String(this.points[sum.dataset.sum] ?? "–"));
  }
}
