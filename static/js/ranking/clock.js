// Time on task: seconds in which the page was visible and somebody did something within the last half minute.

const IDLE = 30_000;
const SIGNS = ["keydown", "pointermove", "pointerdown", "wheel", "scroll", "touchmove"];

export class Clock {
  #seen = performance.now();
  #last = performance.now();

  constructor(onSeconds) {
    const sign = () => { this.#seen = performance.now(); };
    for (const name of SIGNS) document.addEventListener(name, sign, { passive: true, capture: true });
    document.addEventListener("visibilitychange", () => { this.#last = performance.now(); });
    setInterval(() => this.#tick(onSeconds), 1000);
  }

  #tick(onSeconds) {
    const now = performance.now();
    const passed = Math.min(now - this.#last, 2000); // a laptop that slept was not at work
    this.#last = now;
    if (!document.hidden && now - this.#seen < IDLE) onSeconds(passed / 1000);
  }
}
