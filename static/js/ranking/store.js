// Drafts and submissions on their way to the server. What the server has not acknowledged stays in this browser, and the
// state shown is always the truth: "Saved" is said only after the server said so.

const SOON = 500; // ms after the last change until a draft is sent
const PATIENCE = [2000, 4000, 8000, 15000, 30000]; // ms between retries

export class NotSent extends Error {
  constructor(kind, message = "") {
    super(message || kind);
    this.kind = kind; // offline | unreachable | signedOut | refused
  }
}

export async function post(url, body, options = {}) {
  const token = document.cookie.match(/(?:^|; )csrftoken=([^;]+)/)?.[1]
    ?? document.querySelector("[name=csrfmiddlewaretoken]")?.value;
  let response;
  try {
    response = await fetch(url, {
      method: "POST",
      headers: { "Content-Type": "application/json", "X-CSRFToken": token, Accept: "application/json" },
      body: JSON.stringify(body),
      credentials: "same-origin",
      redirect: "error",
      ...options,
    });
  } catch {
    throw new NotSent(navigator.onLine ? "unreachable" : "offline");
  }
  if (response.status === 204) return null;
  if (response.status === 401 || response.status === 403) throw new NotSent("signedOut");
  if (response.status >= 500 || response.status === 429) throw new NotSent("unreachable");
  const data = await response.json().catch(() => ({}));
  if (!response.ok) throw new NotSent("refused", data.message ?? `HTTP ${response.status}`);
  return data;
}

// localStorage may be full or forbidden; then there is no safety net, but the page still works.
const browser = {
  get(key) { try { return JSON.parse(localStorage.getItem(key)); } catch { return null; } },
  set(key, value) { try { localStorage.setItem(key, JSON.stringify(value)); } catch { /* see above */ } },
  drop(key) { try { localStorage.removeItem(key); } catch { /* see above */ } },
};

export class Store {
  #pending = null; // {item, body}: the draft that is not acknowledged yet
  #timer = 0;
  #retry = 0;
  #failures = 0;
  #sending = null;

  constructor({ user, onState, onDelivered, onRefused }) {
    this.prefix = `plumbline:${user}:`;
    this.onState = onState; // (kind, details)
    this.onDelivered = onDelivered; // (entry, data)
    this.onRefused = onRefused; // (entry, message)
    window.addEventListener("online", () => this.#now());
    document.addEventListener("visibilitychange", () => { if (document.hidden) this.leave(); });
    window.addEventListener("pagehide", () => this.leave());
  }

  // drafts

  #draftKey(id) { return `${this.prefix}draft:${id}`; }

  kept(item) {
    const draft = browser.get(this.#draftKey(item.id));
    return draft && (draft.revises ?? null) === item.revises ? draft : null;
  }

  draft(item, body) {
    this.#pending = { item, body };
    browser.set(this.#draftKey(item.id), body);
    this.onState("saving");
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#sendDraft(), SOON);
  }

  async #sendDraft() {
    const draft = this.#pending;
    if (!draft) return;
    try {
      const data = await post(draft.item.draftUrl, draft.body);
      if (this.#pending !== draft) return; // changed meanwhile: what is newer is still to come
      this.#forget(draft.item.id);
      this.#succeeded();
      this.onState(data.state === "released" ? "lapsed" : "saved");
    } catch (error) {
      if (this.#pending === draft) this.#failed(error, draft);
    }
  }

  #forget(id) {
    if (this.#pending?.item.id === id) this.#pending = null;
    browser.drop(this.#draftKey(id));
  }

  // submissions and skips: sent one after the other, each again until it is acknowledged. The server takes the same twice
  // without harm.

  get outbox() { return browser.get(`${this.prefix}outbox`) ?? this.memory ?? []; }
  set outbox(entries) {
    this.memory = entries;
    if (entries.length) browser.set(`${this.prefix}outbox`, entries);
    else browser.drop(`${this.prefix}outbox`);
  }

  deliver(entry) {
    clearTimeout(this.#timer);
    if (this.#pending?.item.id === entry.id) this.#pending = null;
    this.outbox = [...this.outbox.filter((other) => other.url !== entry.url), entry];
    this.onState("saving");
    return this.flush();
  }

  holds(id) { return this.outbox.some((entry) => entry.id === id); }

  flush() {
    this.#sending ??= this.#flush().finally(() => { this.#sending = null; });
    return this.#sending;
  }

  async #flush() {
    while (this.outbox.length) {
      const [entry] = this.outbox;
      try {
        const data = await post(entry.url, entry.body);
        this.#delivered(entry);
        this.#succeeded();
        this.onState("sent");
        this.onDelivered(entry, data);
      } catch (error) {
        if (error.kind !== "refused") {
          this.#failed(error);
          return false;
        }
        this.#delivered(entry);
        this.onRefused(entry, error.message);
      }
    }
    return true;
  }

  #delivered(entry) {
    this.outbox = this.outbox.filter((other) => other.url !== entry.url || other.at !== entry.at);
    browser.drop(this.#draftKey(entry.id));
  }

  // when it does not work

  #failed(error, draft) {
    this.onState(error.kind, { message: error.message, waiting: this.outbox.length });
    if (error.kind === "refused") {
      if (draft) this.#pending = null; // the same again would be refused again; the copy in the browser stays
      return;
    }
    clearTimeout(this.#retry);
    this.#retry = setTimeout(() => this.#now(), PATIENCE[Math.min(this.#failures, PATIENCE.length - 1)]);
    this.#failures += 1;
  }

  #succeeded() {
    this.#failures = 0;
    clearTimeout(this.#retry);
  }

  async #now() {
    if (await this.flush()) await this.#sendDraft();
  }

  // The page is going away or to the background: send what is not sent, without waiting for an answer.
  leave() {
    if (!this.#pending) return;
    clearTimeout(this.#timer);
    const draft = this.#pending;
    post(draft.item.draftUrl, draft.body, { keepalive: true }).then(() => {
      if (this.#pending === draft) {
        this.#forget(draft.item.id);
        this.onState("saved");
      }
    }, () => {});
  }
}
