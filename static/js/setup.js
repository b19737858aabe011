// The set-up page of a project: rows that can be added, moved and removed, and a preview that follows the form.
// Without this file the same form works with spare rows, numbers for their order, and a button that shows the preview.

const form = document.querySelector("[data-setup]");
const frame = document.querySelector("[data-frame]");
const pane = document.querySelector("[data-pane]");

// rows ---------------------------------------------------------------------------------------------------------------

for (const rows of form.querySelectorAll("[data-rows]")) {
  const all = () => [...rows.querySelectorAll(":scope > [data-row]")];
  const shown = () => all().filter((row) => !row.hidden);
  const inputs = (row) => [...row.querySelectorAll("input:not([type=checkbox]):not([name$=ORDER]), select")];
  const isBlank = (row) => !inputs(row).some((input) => input.type !== "number" && input.tagName === "INPUT" && input.value);
  const total = form.querySelector(`[name="${rows.dataset.rows}-TOTAL_FORMS"]`);
  const blank = all().at(-1).cloneNode(true);
  const add = form.querySelector(`[data-add="${rows.dataset.rows}"]`);

  // Spare rows wait until they are asked for, unless there is something to be seen in them.
  for (const row of all()) row.hidden = isBlank(row) && !row.querySelector(".errorlist");

  const number = () => {
    all().forEach((row, at) => { row.querySelector("[name$=ORDER]").value = at + 1; });
    shown().forEach((row, at, list) => {
      row.querySelector("[data-up]").disabled = at === 0;
      row.querySelector("[data-down]").disabled = at === list.length - 1;
    });
  };

  add.addEventListener("click", () => {
    let row = all().find((one) => one.hidden && !one.querySelector("[name$=DELETE]").checked);
    if (!row) {
      row = blank.cloneNode(true);
      const old = `${rows.dataset.rows}-${Number(/-(\d+)-/.exec(inputs(row)[0].name)[1])}-`;
      const next = `${rows.dataset.rows}-${total.value}-`;
      for (const element of row.querySelectorAll("[name], [id], [for]")) {
        for (const name of ["name", "id", "for", "aria-describedby"]) {
          const value = element.getAttribute(name);
          if (value?.includes(old)) element.setAttribute(name, value.replace(old, next));
        }
      }
      total.value = Number(total.value) + 1;
    }
    rows.append(row);
    row.hidden = false;
    number();
    inputs(row)[0].focus();
  });

  rows.addEventListener("click", (event) => {
    const row = event.target.closest("[data-row]");
    const button = event.target.closest("button");
    if (!row || !button) return;
    const list = shown();
    const at = list.indexOf(row);
    if (button.matches("[data-remove]")) {
      row.querySelector("[name$=DELETE]").checked = true;
      row.hidden = true;
      (shown()[Math.min(at, list.length - 2)]?.querySelector("input") ?? add).focus();
    } else if (button.matches("[data-up]") && at > 0) {
      list[at - 1].before(row);
      button.focus();
    } else if (button.matches("[data-down]") && at < list.length - 1) {
      list[at + 1].after(row);
      button.focus();
    }
    number();
    changed();
  });

  number();
}

// what belongs to one task only ------------------------------------------------------------------------------------

function showTask() {
  const task = form.querySelector("[name=task]:checked")?.value;
  for (const part of form.querySelectorAll("[data-only-task]")) part.hidden = part.dataset.onlyTask !== task;
  for (const part of form.querySelectorAll("[data-not-task]")) part.hidden = part.dataset.notTask === task;
  form.querySelector("[name=k]").readOnly = task === "pairwise";
}

// the preview --------------------------------------------------------------------------------------------------------

let timer = 0;
let asking = null;

function changed() {
  clearTimeout(timer);
  timer = setTimeout(show, 350);
}

async function show() {
  asking?.abort();
  asking = new AbortController();
  try {
    const answer = await fetch(form.dataset.preview, { method: "POST", body: new FormData(form), signal: asking.signal });
    if (!answer.ok) return;
    draw(await answer.text());
  } catch (error) {
    if (error.name !== "AbortError" && !(error instanceof TypeError)) throw error; // offline: the old picture stays
  }
}

// Only what is inside is replaced, so the picture neither blinks nor jumps to its top.
function draw(html) {
  const page = new DOMParser().parseFromString(html, "text/html");
  form.querySelector("[data-guidelines-view]").replaceChildren(
    document.importNode(page.querySelector("#guidelines").content, true),
  );
  const there = frame.contentDocument?.querySelector("main");
  if (there) there.replaceWith(frame.contentDocument.importNode(page.querySelector("main"), true));
  else frame.srcdoc = html;
}

let width = 1280;

function fit() {
  const phone = width < 600;
  pane.classList.toggle("is-phone", phone);
  const scale = phone ? 1 : Math.min(1, pane.clientWidth / width);
  frame.style.width = phone ? "100%" : `${width}px`;
  frame.style.height = `${pane.clientHeight / scale}px`;
  frame.style.transform = scale === 1 ? "" : `scale(${scale})`;
}

for (const button of document.querySelectorAll("[data-width]")) {
  button.addEventListener("click", () => {
    width = Number(button.dataset.width);
    for (const other of document.querySelectorAll("[data-width]")) other.setAttribute("aria-pressed", other === button);
    fit();
  });
}

new ResizeObserver(fit).observe(pane);
form.addEventListener("input", () => { showTask(); changed(); });
showTask();
show();
