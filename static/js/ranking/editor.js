// The dialog in which one response is written as it should have been. One edit belongs to an answer.

import { changes } from "./diff.js";

const SOON = 200; // ms after the last key until the preview follows
const LONGEST = 60_000; // characters of a text whose changes are shown word by word

export class Editor {
  #timer = 0;
  #texts = {}; // what was typed so far, by response

  constructor(desk) {
    this.desk = desk;
    this.dialog = desk.dialog("edit");
    this.area = this.dialog.querySelector("[name=edit-text]");
    this.preview = this.dialog.querySelector("[data-preview]");
    const { edit } = desk.answer;
    if (edit) this.#texts[edit.response] = edit.text;
    this.area.addEventListener("input", () => this.#typed());
    this.dialog.addEventListener("click", (event) => {
      const { edit: key, unedit } = event.target.closest("button")?.dataset ?? {};
      if (key) this.#show(key);
      else if (unedit !== undefined) { this.area.value = this.#original(this.key); this.#typed(); }
    });
    this.dialog.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) this.dialog.close();
    });
  }

  open() {
    this.#show(this.desk.answer.edit?.response ?? this.#best());
    this.dialog.showModal();
    this.area.focus();
    this.area.setSelectionRange(0, 0);
    return true;
  }

  // The response that stands first so far: in this question, else in another one, else the focused one.
  #best() {
    const { answer, current, item } = this.desk;
    for (const step of [answer.step, ...item.dimensions.map((d) => d.key)]) {
      const points = item.task === "rating" ? answer.ratings[step] : {};
      const sorted = item.task === "rating"
        ? Object.keys(points).sort((a, b) => points[b] - points[a])
        : Object.keys(answer.ranks[step]).sort((a, b) => answer.ranks[step][a] - answer.ranks[step][b]);
      if (sorted.length) return sorted[0];
    }
    return current;
  }

  #original(key) { return this.desk.view.card(key).querySelector("[data-source]").content.textContent; }

  #show(key) {
    this.key = key;
    this.area.value = this.#texts[key] ?? this.#original(key);
    for (const button of this.dialog.querySelectorAll("[data-edit]")) {
      button.setAttribute("aria-pressed", button.dataset.edit === key);
    }
    this.dialog.querySelector("h2").textContent = this.desk.text("editing", { key });
    this.#drawPreview();
  }

  #typed() {
    const { answer } = this.desk;
    this.#texts[this.key] = this.area.value;
    const differs = this.area.value.trim() !== this.#original(this.key).trim();
    if (differs) answer.edit = { response: this.key, text: this.area.value };
    else if (answer.edit?.response === this.key) answer.edit = null;
    this.desk.changed();
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#drawPreview(), SOON);
  }

  #drawPreview() {
    const [before, after] = [this.#original(this.key), this.area.value];
    if (before.trim() === after.trim()) this.preview.textContent = this.desk.text("nothingChanged");
    else if (Math.max(before.length, after.length) > LONGEST) this.preview.textContent = after;
    else this.preview.replaceChildren(...changes(before, after).map(element));
  }
}

function element({ kind, text }) {
  if (kind === "same") return document.createTextNode(text);
  const part = document.createElement(kind === "new" ? "ins" : "del");
  part.textContent = text;
  return part;
}
