// The ranking page: takes items from the server one after the other, each fetched before it is needed.

import { Clock } from "./ranking/clock.js";
import { Desk } from "./ranking/desk.js";
import { enableDragging } from "./ranking/drag.js";
import { Feedback } from "./ranking/feedback.js";
import { Guidelines } from "./ranking/guidelines.js";
import { actionOf, mayRepeat } from "./ranking/keys.js";
import { Pair } from "./ranking/pair.js";
import { post, Store } from "./ranking/store.js";

const root = document.querySelector("#desk");
const announcer = document.querySelector("#announcer");
const strings = JSON.parse(root.dataset.strings);
const text = (name, values = {}) => strings[name].replace(/\{(\w+)\}/g, (_, word) => values[word] ?? "");
const announce = (sentence) => { announcer.textContent = sentence; };

let desk = null;
let ahead = null; // a promise of {id, url, html, version}, or of null when nothing is left
let state = [];
let waiting = false; // sent off, and nothing to show instead yet
const notes = new Map(); // id of an item that is not on the desk: {url, sentence}, what became of its answer

const pair = new Pair(document.querySelector("#pair"), { text });
const guidelines = new Guidelines(document.querySelector("#guidelines"), { text });
const feedback = new Feedback(document.querySelector("#feedback"), { root, announce });

const store = new Store({
  user: root.dataset.user,
  now: Number(root.dataset.now),
  onState: showState,
  onDelivered(entry, data) {
    notes.delete(entry.id);
    if (["extra", "revised"].includes(data.outcome)) desk.hint(data.message);
    feedback.take(data.feedback, desk.item);
    if (data.outcome === "stale") note(entry, data.message);
    else if (entry.id === desk.item.id && !waiting) location.assign(desk.item.nextUrl);
    showNotes();
  },
  onRefused(entry, message) {
    if (entry.id !== desk.item.id) {
      showState(null); // nothing of what is on the desk was refused
      return note(entry, text("refusedEarlier", { message }));
    }
    showState("refused", { message });
    waiting = false;
    return desk.hint(text("refused", { message }), true);
  },
});

// What happened to an answer that counts for nothing stays in sight, with the way back to it, until that is taken.
function note({ id, url }, sentence) {
  if (id === desk.item.id) waiting = false;
  notes.set(id, { url: url.replace(/[^/]+$/, ""), sentence });
  showNotes();
  announce(sentence);
}

function showNotes() {
  const place = root.querySelector("[data-refused]");
  place.hidden = notes.size === 0;
  place.replaceChildren(...[...notes.values()].map(({ url, sentence }) => {
    const [line, link] = [document.createElement("p"), document.createElement("a")];
    Object.assign(link, { href: url, textContent: text("reopen") });
    line.className = "notice bad";
    line.append(sentence, " ", link);
    return line;
  }));
}

function showState(kind, details = {}) {
  const { message = "", waiting: count = 0 } = details;
  state = [kind, details]; // outlives the item, whose submission may still be on its way
  const element = root.querySelector("[data-saved]");
  const unsent = count && ["offline", "unreachable"].includes(kind);
  element.textContent = kind && (unsent ? text("waiting", { count }) : text(kind, { message }));
  element.dataset.kind = kind ?? "";
  if (kind && !["saved", "saving", "sent"].includes(kind)) announce(element.textContent);
}

function open(form) {
  pair.close();
  desk = new Desk(form, { store, text, announce, onSubmit: submit, onSkip: skip, onUndo: undo, onPair: (it) => pair.open(it) });
  waiting = false;
  ahead = fetchAhead(desk.item);
  feedback.show(desk.item);
  notes.delete(desk.item.id);
  showNotes();
}

async function fetchAhead(item) {
  try {
    return await post(item.aheadUrl, {});
  } catch {
    return null;
  }
}

function submit({ item, answer }) {
  pair.close();
  return leave({ id: item.id, url: item.submitUrl, body: answer.json({ final: true }) });
}

function skip({ item }, body) {
  return leave({ id: item.id, url: item.skipUrl, body });
}

// Send it off and show the next item at once; without one, wait until the server has it and let it say what comes.
async function leave(entry) {
  if (waiting) return;
  waiting = true;
  const revised = desk.item.revises !== null;
  const delivered = store.deliver(entry);
  const next = revised ? null : await ahead;
  if (waiting && next && next.id !== entry.id && next.version === root.dataset.version && show(next)) return;
  if (!(await delivered)) {
    waiting = false; // once it gets through, `onDelivered` goes on
    desk.hint(text("waiting", { count: store.outbox.length }), true);
  } else if (waiting) {
    location.assign(desk.item.nextUrl);
  }
}

// False if the item needs another page around it, which the server has to make.
function show({ url, html }) {
  const template = document.createElement("template");
  template.innerHTML = html; // made and sanitised by our own server
  const form = template.content.querySelector("form.item");
  if (JSON.parse(form.dataset.item).task !== desk.item.task) return false;
  const scrolled = window.scrollY > 0; // then the site's bar is out of sight, and stays there
  root.replaceChildren(template.content);
  history.pushState({}, "", url);
  window.scrollTo({ top: scrolled ? root.offsetTop : 0, behavior: "instant" });
  open(form);
  showState(...state);
  root.querySelector("[data-title]").focus({ preventScroll: true });
  announce(text("newItem", { count: desk.item.keys.length }));
  return true;
}

async function undo(item) {
  await Promise.race([store.flush(), new Promise((resolve) => { setTimeout(resolve, 2000); })]);
  store.leave();
  location.assign(item.undoUrl);
}

// What belongs to the page rather than to the item.
function act(name) {
  if (name === "keys") document.querySelector("#keys").showModal();
  else if (name === "guidelines") return guidelines.open(desk.item, root);
  else if (name === "feedback") feedback.open();
  else return undefined;
  return true;
}

document.addEventListener("keydown", (event) => {
  if (document.querySelector("dialog[open]")) return;
  const action = actionOf(event, desk.item.task);
  if (!action) return;
  if (!event.repeat || mayRepeat(action)) {
    if ((act(action.name) ?? desk.act(action)) === false) return; // the browser's own meaning of the key
  }
  event.preventDefault();
});
root.addEventListener("click", (event) => {
  const name = event.target.closest("[data-act]")?.dataset.act;
  if (event.ctrlKey || event.metaKey || event.shiftKey || !act(name)) return;
  event.preventDefault();
});
window.addEventListener("popstate", () => location.reload());
enableDragging(root, { onDrop: (key, place) => desk.drop(key, place) });
new Clock((seconds) => { desk.answer.seconds += seconds; });
open(root.querySelector("form.item"));
if (store.outbox.length) store.flush();
