// What tasks have in common. A task knows how its question is answered, drawn and announced; the desk does the rest.

const SETTLED = 200; // ms in which nobody has read anything: a key pressed then was meant for the item before

export class Task {
  constructor(desk) {
    this.desk = desk;
    this.began = performance.now();
  }

  get answer() { return this.desk.answer; }
  get keys() { return this.desk.item.keys; }

  // one key answers and goes on, so a key pressed twice would answer the next item unread
  get isTooSoon() { return performance.now() - this.began < SETTLED; }

  act() { return undefined; } // undefined: not an action of this task
  click() { return false; } // true: it was a button of this task
  drop() {}
  draw() {}
  status() { return ""; }
  undo() { return false; } // true: something within the item was taken back
  label(step) { return this.desk.item.dimensions.find((d) => d.key === step).label; }
  incomplete() { return this.desk.text("tooFew", { label: this.label(this.answer.step) }); }
  leftOut() { return []; } // responses that Enter would leave out
  first() { return this.answer.unplaced()[0] ?? this.keys[0]; }

  // Answer this question, then the next one, then submit.
  settle(said) {
    const { desk } = this;
    desk.changed();
    desk.announce(said);
    desk.goOn();
  }

  back() {
    const at = this.desk.item.dimensions.findIndex((d) => d.key === this.answer.step);
    if (at < 1) return false;
    this.desk.goTo(this.desk.item.dimensions[at - 1].key);
    return true;
  }
}

export function set(element, text) {
  if (element && element.textContent !== text) element.textContent = text;
}

export function press(button, isPressed) { button.setAttribute("aria-pressed", isPressed); }
