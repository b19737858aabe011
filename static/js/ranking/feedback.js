// What the server says about an answer whose right one is known. It waits behind a small button on the next item.

const KEPT = "plumbline:feedback"; // for the next page, where one has to be loaded

export class Feedback {
  #latest = null; // {message, share, html}

  constructor(dialog, { root, announce }) {
    this.dialog = dialog;
    this.root = root;
    this.announce = announce;
    try {
      this.#latest = JSON.parse(sessionStorage.getItem(KEPT));
      sessionStorage.removeItem(KEPT);
    } catch { /* then it is only not shown */ }
  }

  // With each submission that was delivered: the one before is old news then.
  take(feedback) {
    this.#latest = feedback ?? null;
    try {
      if (feedback) sessionStorage.setItem(KEPT, JSON.stringify(feedback));
      else sessionStorage.removeItem(KEPT);
    } catch { /* see above */ }
    this.show();
    if (feedback) this.announce(feedback.message);
  }

  show() {
    const button = this.root.querySelector("[data-feedback]");
    button.hidden = this.#latest === null;
    button.querySelector("[data-share]").textContent = this.#latest?.share ?? "";
    button.title = this.#latest?.message ?? "";
  }

  open() {
    if (this.#latest === null) return;
    this.dialog.querySelector("[data-text]").innerHTML = this.#latest.html; // made by our own server
    this.dialog.showModal();
  }
}
