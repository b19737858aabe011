// The project's guidelines in a dialog, beside the work. Read from the server once for each version.

export class Guidelines {
  #read = null; // the version in the dialog

  constructor(dialog, { text }) {
    this.dialog = dialog;
    this.text = text;
  }

  open(item, root) {
    if (item.guidelines === null) return false;
    this.dialog.showModal();
    if (this.#read !== item.guidelines) this.#load(item.guidelinesUrl);
    const news = root.querySelector("[data-news]");
    if (news) news.hidden = true;
    return true;
  }

  async #load(url) {
    const place = this.dialog.querySelector("[data-text]");
    if (this.#read === null) place.textContent = this.text("loading");
    try {
      const response = await fetch(url, { headers: { Accept: "application/json" }, credentials: "same-origin" });
      const { number, html } = await response.json();
      place.innerHTML = html; // made and sanitised by our own server
      this.dialog.querySelector("[data-number]").textContent = `v${number}`;
      this.#read = number;
    } catch {
      place.textContent = this.text("noGuidelines");
    }
  }
}
