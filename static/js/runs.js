// The live part of a run's page is replaced every two seconds. What the reader opened stays open, and a log that was
// read at its end stays at its end.

let open = [];
let logAt = null;

document.addEventListener("htmx:beforeSwap", () => {
  open = [...document.querySelectorAll("#run details[id][open]")].map((element) => element.id);
  const log = document.getElementById("run-log");
  logAt = log && log.scrollTop + log.clientHeight < log.scrollHeight - 8 ? log.scrollTop : null;
});

document.addEventListener("htmx:afterSwap", () => {
  for (const id of open) document.getElementById(id)?.setAttribute("open", "");
  showLog();
});

function showLog() {
  const log = document.getElementById("run-log");
  if (log) log.scrollTop = logAt ?? log.scrollHeight;
}

showLog();
