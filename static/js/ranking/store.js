// Drafts and submissions on their way to the server. What the server has not acknowledged stays in this browser, and the
// state shown is always the truth: "Saved" is said only after the server said so.

const SOON = 500; // ms after the last change until a draft is sent
const PATIENCE = [2000, 4000, 8000, 15000, 30000]; // ms between retries

export class NotSent extends Error {
  constructor(kind, { message = "", answered = true } = {}) {
    super(message || kind);
    this.kind = kind; // offline | unreachable | signedOut | refused
    this.answered = answered; // the server is there
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
    throw new NotSent(navigator.onLine ? "unreachable" : "offline", { answered: false });
  }
  if (response.status === 204) return null;
  if (response.status === 401 || response.status === 403) throw new NotSent("signedOut");
  if (response.status >= 500 || response.status === 429) throw new NotSent("unreachable");
  const data = await response.json().catch(() => ({}));
  if (!response.ok) throw new NotSent("refused", { message: data.message ?? `HTTP ${response.status}` });
  return data;
}

// localStorage may be full or forbidden; then there is no safety net, but the page still works.
const browser = {
  get(key) { try { return JSON.parse(localStorage.getItem(key)); } catch { return null; } },
  set(key, value) { try { localStorage.setItem(key, JSON.stringify(value)); } catch { /* see above */ } },
  drop(key) { try { localStorage.removeItem(key); } catch { /* see above */ } },
  all(start) {
    try {
      return Object.keys(localStorage).filter((key) => key.startsWith(start)).map((key) => browser.get(key)).filter(Boolean);
    } catch { return []; }
  },
};

export class Store {
  outbox; // submissions and skips on their way. The page goes by this list; the browser keeps a copy of each entry
  #pending = null; // {item, body}: the draft that is not acknowledged yet
  #timer = 0;
  #retry = 0;
  #failures = 0;
  #sending = null;

  // now: the server's clock when the page was made, in ms; times of drafts are told by it, whatever this clock says
  constructor({ user, now, onState, onDelivered, onRefused }) {
    this.prefix = `plumbline:${user}:`;
    this.skew = now - Date.now();
    this.outbox = browser.all(`${this.prefix}outbox:`).sort((one, other) => one.at - other.at);
    this.onState = onState; // (kind, details)
    this.onDelivered = onDelivered; // (entry, data)
    this.onRefused = onRefused; // (entry, message)
    window.addEventListener("online", () => this.#now());
    document.addEventListener("visibilitychange", () => { if (document.hidden) this.leave(); });
    window.addEventListener("pagehide", () => this.leave());
  }

  #clock() { return Math.round(Date.now() + this.skew); }

  // drafts

  #draftKey(id) { return `${this.prefix}draft:${id}`; }

  // What this browser kept of the item, unless it speaks of another judgement or another browser has saved since.
  kept(item) {
    const draft = browser.get(this.#draftKey(item.id));
    if (!draft || (draft.revises ?? null) !== item.revises) return null;
    return (draft.at ?? 0) >= item.draftAt ? draft : null;
  }

  draft(item, answer) {
    const body = { ...answer, at: this.#clock() };
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
      if (data.kept) this.onState(data.state === "released" ? "lapsed" : "saved");
      else this.onState("stale");
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

  #entryKey(entry) { return `${this.prefix}outbox:${entry.at}:${entry.id}`; }

  // Resolves when it was tried: true if the server has answered it.
  async deliver({ id, url, body }) {
    const entry = { id, url, body, at: this.#clock() };
    clearTimeout(this.#timer);
    if (this.#pending?.item.id === id) this.#pending = null;
    for (const other of this.outbox.filter((it) => it.url === url)) this.#remove(other);
    this.outbox.push(entry);
    browser.set(this.#entryKey(entry), entry);
    this.onState("saving");
    await this.flush();
    return !this.outbox.includes(entry);
  }

  #remove(entry) {
    this.outbox = this.outbox.filter((other) => other !== entry);
    browser.drop(this.#entryKey(entry));
  }

  flush() {
    this.#sending ??= this.#flush().finally(() => { this.#sending = null; });
    return this.#sending;
  }

  // One that the server stumbles over goes to the back, with what else is said of its item, and lets the others through.
  async #flush() {
    const failed = new Set();
    let failure = null;
    const next = () => this.outbox.find((entry) => !failed.has(entry.id));
    for (let entry = next(); entry; entry = next()) {
      const { data, error } = await post(entry.url, entry.body).then((data) => ({ data }), (error) => ({ error }));
      if (!error || error.kind === "refused") {
        this.#settled(entry, data, error);
        continue;
      }
      failure = error;
      if (!error.answered) break;
      failed.add(entry.id);
      const [others, same] = [false, true].map((own) => this.outbox.filter((it) => (it.id === entry.id) === own));
      this.outbox = [...others, ...same];
    }
    if (failure) this.#failed(failure);
  }

  #settled(entry, data, error) {
    this.#remove(entry);
    this.#succeeded();
    if (error) {
      this.#putBack(entry);
      this.onRefused(entry, error.message);
      return;
    }
    const draft = browser.get(this.#draftKey(entry.id));
    if ((draft?.at ?? 0) <= entry.at) browser.drop(this.#draftKey(entry.id));
    this.onState("sent");
    this.onDelivered(entry, data);
  }

  // What was refused is not thrown away: it is a draft again, here and on the server.
  #putBack({ id, url, body }) {
    if (!("rankings" in body) || this.#pending?.item.id === id) return;
    const draft = { ...body, at: this.#clock() };
    browser.set(this.#draftKey(id), draft);
    post(url.replace(/[^/]+$/, "draft"), draft).then(({ kept }) => {
      if (kept && browser.get(this.#draftKey(id))?.at === draft.at) browser.drop(this.#draftKey(id));
    }, () => {}); // then the copy in the browser stays
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
    if (this.outbox.length) return; // what failed before waits for its turn
    this.#failures = 0;
    clearTimeout(this.#retry);
  }

  async #now() {
    await this.flush();
    await this.#sendDraft();
  }

  // The page is going away or to the background: send what is not sent, without waiting for an answer.
  leave() {
    if (!this.#pending) return;
    clearTimeout(this.#timer);
    const draft = this.#pending;
    post(draft.item.draftUrl, draft.body, { keepalive: true }).then(({ kept }) => {
      if (this.#pending === draft) {
        this.#forget(draft.item.id);
        this.onState(kept ? "saved" : "stale");
      }
    }, () => {});
  }
}
