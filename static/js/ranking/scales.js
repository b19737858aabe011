// Attributes of each response, in points: rows of radio buttons on its card. L goes there, digits choose and go on.

export class Scales {
  constructor(desk) {
    this.desk = desk;
    this.rows = [...desk.form.querySelectorAll("[data-attribute]")];
    this.count = desk.form.querySelector("[data-attribute-count]");
  }

  #key(row) { return row.closest(".card").dataset.key; }
  #points(row) { return this.desk.answer.ratings[row.dataset.attribute][this.#key(row)]; }

  fill() {
    for (const row of this.rows) {
      const points = this.#points(row);
      for (const radio of row.querySelectorAll("input")) radio.checked = Number(radio.value) === points;
    }
    this.#drawCount();
  }

  #drawCount() {
    if (!this.count) return;
    const done = this.rows.filter((row) => this.#points(row) !== undefined).length;
    this.count.textContent = done ? ` ${done}/${this.rows.length}` : "";
  }

  // To the first row of the focused response that says nothing yet; from a row back to its response.
  toggle() {
    if (!this.rows.length) return false;
    const { desk } = this;
    if (document.activeElement.closest("[data-attribute]")) desk.focus(desk.current);
    else {
      const own = this.rows.filter((row) => this.#key(row) === desk.current);
      this.#goTo(own.find((row) => this.#points(row) === undefined) ?? own[0]);
    }
    return true;
  }

  #goTo(row) {
    (row.querySelector("input:checked") ?? row.querySelector("input")).focus({ preventScroll: true });
    this.desk.view.reveal(row);
  }

  // Points for the row in focus, none to take them back.
  rate(points) {
    const row = document.activeElement.closest("[data-attribute]");
    const radios = [...row.querySelectorAll("input")];
    const wanted = points === 0 && radios.length === 10 ? 10 : points;
    const radio = radios.find((other) => Number(other.value) === wanted);
    if (wanted !== undefined && !radio) return true;
    for (const other of radios) other.checked = other === radio;
    this.#keep(row, wanted);
    if (!radio) return true;
    const following = this.rows[this.rows.indexOf(row) + 1];
    if (following) this.#goTo(following);
    else this.desk.focus(this.desk.current);
    return true;
  }

  chosen(radio) { this.#keep(radio.closest("[data-attribute]"), Number(radio.value)); }

  #keep(row, points) {
    const { desk } = this;
    const key = this.#key(row);
    desk.answer.rate(row.dataset.attribute, key, points);
    desk.changed();
    this.#drawCount();
    if (points !== undefined) desk.announce(desk.text("rated", { key, points }));
  }
}
