// What the server says about an answer whose right one is known. It waits behind a small button on the next item.

export class Feedback {
  #latest = null; // {message, share, html, project}

  constructor(dialog, { root, announce }) {
    this.dialog = dialog;
    this.root = root;
    this.announce = announce;
    this.key = `plumbline:${root.dataset.user}:feedback`; // for the next page, where one has to be loaded
    try { this.#latest = JSON.parse(sessionStorage.getItem(this.key)); } catch { /* then it is only not shown */ }
  }

  // With each submission that was delivered: the one before is old news then.
  take(feedback, { nextUrl }) {
    this.#latest = feedback ? { ...feedback, project: nextUrl } : null;
    try {
      if (feedback) sessionStorage.setItem(this.key, JSON.stringify(this.#latest));
      else sessionStorage.removeItem(this.key);
    } catch { /* see above */ }
    this.show({ nextUrl });
    if (feedback) this.announce(feedback.message);
  }

  show({ nextUrl }) {
    if (this.#latest?.project !== nextUrl) this.#latest = null;
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
