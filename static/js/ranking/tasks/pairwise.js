// A or B, a tie, or both bad: one key answers and goes on.

import { press, Task } from "./task.js";

const STEPS = [["A", 3], ["A", 2], ["A", 1], ["tie", 0], ["B", 1], ["B", 2], ["B", 3]];

export class Pairwise extends Task {
  act(action) {
    switch (action.name) {
      case "verdict": return this.say(action.verdict);
      case "allBad": return this.say("bad");
      case "strength": return this.lean(action.by);
      case "remove": return this.take();
      default: return undefined;
    }
  }

  say(verdict, strength = 0) {
    if (this.isTooSoon) return true;
    this.answer.setVerdict(verdict, strength);
    this.settle(this.said());
    return true;
  }

  // Step along the scale from A much better to B much better, without going on.
  lean(by) {
    const { answer, desk } = this;
    if (!desk.item.strength) return true;
    const verdict = answer.verdict();
    const strength = Math.max(1, answer.strengthBelow(1));
    const at = STEPS.findIndex(([key, much]) => key === verdict && (key === "tie" || much === strength));
    const [next, much] = STEPS[Math.max(0, Math.min(STEPS.length - 1, (at < 0 ? 3 : at) + by))];
    answer.setVerdict(next, much);
    desk.changed();
    desk.announce(this.said());
    return true;
  }

  take() {
    this.answer.setVerdict(undefined);
    this.desk.changed();
    this.desk.announce(this.desk.text("takenBack"));
    return true;
  }

  compare(verdict) { this.say(verdict); }

  undo() { return this.back(); }

  said() {
    const verdict = this.answer.verdict();
    if (verdict === "tie") return this.desk.text("verdictTie");
    if (verdict === "bad") return this.desk.text("verdictBad");
    const much = this.answer.strengthBelow(1);
    return `${this.desk.text("verdictBetter", { key: verdict })}${much ? ` (${this.desk.text(`strength${much}`)})` : ""}`;
  }

  incomplete() { return this.desk.text("noVerdict", { label: this.label(this.answer.step) }); }

  click(data) {
    if (!data.verdict) return false;
    return this.say(data.verdict, Number(data.strength ?? 0));
  }

  status(key) {
    const verdict = this.answer.verdict();
    if (verdict === undefined) return "";
    if (verdict === "tie") return this.desk.text("verdictTie");
    if (verdict === "bad") return this.desk.text("verdictBad");
    return verdict === key ? this.desk.text("better") : "";
  }

  draw(view) {
    const verdict = this.answer.verdict();
    const strength = this.answer.strengthBelow(1);
    for (const card of view.cards) card.classList.toggle("is-placed", card.dataset.key === verdict);
    for (const button of view.all("[data-verdict]")) {
      const much = button.dataset.strength;
      press(button, button.dataset.verdict === verdict && (much === undefined || Number(much) === strength));
    }
  }
}
