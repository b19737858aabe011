// The live part of a run's page is replaced every two seconds. What the reader opened stays open, a log that was read at
// its end stays at its end, and a chart that is pointed at goes on saying what it has there.

let open = [];
let logAt = null;
let focused = null;
let pointed = null; // {id of the chart, step}

document.addEventListener("htmx:beforeSwap", () => {
  open = [...document.querySelectorAll("#run details[id][open]")].map((element) => element.id);
  const log = document.getElementById("run-log");
  logAt = log && log.scrollTop + log.clientHeight < log.scrollHeight - 8 ? log.scrollTop : null;
  focused = document.activeElement?.id;
});

document.addEventListener("htmx:afterSwap", () => {
  for (const id of open) document.getElementById(id)?.setAttribute("open", "");
  showLog();
  const chart = pointed && document.getElementById(pointed.id);
  if (chart) show(chart, pointed.step);
  // At either end the way on is no link any more; the keys go on to work from its neighbour.
  if (focused?.startsWith("sample-") && document.activeElement?.id !== focused) {
    const same = document.getElementById(focused);
    (same?.matches("a") ? same : document.querySelector("#run-samples nav a"))?.focus({ preventScroll: true });
  }
});

function showLog() {
  const log = document.getElementById("run-log");
  if (log) log.scrollTop = logAt ?? log.scrollHeight;
}

showLog();

// charts: the legend says the last values, or those of the step that is pointed at

function linesOf(chart) {
  return [...chart.closest("figure").querySelectorAll("[data-line]")].map((item) => ({
    value: item.querySelector(".value"),
    steps: item.dataset.steps.split(" ").map(Number),
    values: item.dataset.values.split(" "),
  }));
}

function stepsOf(lines) {
  return [...new Set(lines.flatMap((line) => line.steps))].sort((a, b) => a - b);
}

function show(chart, step) {
  const { low, high, left, right } = chart.dataset;
  for (const line of linesOf(chart)) {
    const place = line.steps.findLastIndex((each) => each <= step);
    line.value.textContent = place < 0 ? "–" : line.values[place].replace("-", "−");
  }
  const share = high > low || Number(high) > Number(low) ? (step - low) / (high - low) : 0.5;
  const x = Number(left) + share * (right - left);
  const guide = chart.querySelector(".guide");
  guide.setAttribute("d", guide.getAttribute("d").replace(/^M[^ ]+/, `M${x.toFixed(1)}`));
  guide.setAttribute("visibility", "visible");
  chart.closest("figure").querySelector(".chart-at").textContent = `at step ${step.toLocaleString("en")}`;
  pointed = { id: chart.id, step };
}

function hide(chart) {
  if (pointed?.id === chart.id) pointed = null;
  const figure = chart.closest("figure");
  for (const value of figure.querySelectorAll("[data-last]")) value.textContent = value.dataset.last;
  const at = figure.querySelector(".chart-at");
  at.textContent = at.dataset.at;
  chart.querySelector(".guide").setAttribute("visibility", "hidden");
}

document.addEventListener("pointermove", (event) => {
  const chart = event.target.closest?.("svg.plot");
  const before = pointed && document.getElementById(pointed.id);
  if (before && before !== chart && before !== document.activeElement) hide(before);
  if (!chart) return;
  const { low, high, left, right, width } = chart.dataset;
  const box = chart.getBoundingClientRect();
  const x = ((event.clientX - box.left) / box.width) * width;
  const step = Number(low) + ((x - left) / (right - left)) * (high - low);
  const steps = stepsOf(linesOf(chart));
  show(chart, steps.reduce((best, each) => (Math.abs(each - step) < Math.abs(best - step) ? each : best)));
});

document.addEventListener("focusout", (event) => {
  if (event.target.matches?.("svg.plot") && event.target.isConnected) hide(event.target);
});

document.addEventListener("keydown", (event) => {
  const chart = event.target.closest?.("svg.plot");
  if (chart) moveAlong(chart, event);
  const turn = { ArrowLeft: "sample-earlier", ArrowRight: "sample-later" }[event.key];
  if (turn && event.target.closest?.("#run-samples nav")) {
    event.preventDefault();
    document.getElementById(turn)?.click();
  }
});

function moveAlong(chart, event) {
  const steps = stepsOf(linesOf(chart));
  const place = pointed?.id === chart.id ? steps.indexOf(pointed.step) : steps.length;
  const to = { ArrowLeft: place - 1, ArrowRight: place + 1, Home: 0, End: steps.length - 1 }[event.key];
  if (event.key === "Escape") hide(chart);
  if (to === undefined) return;
  event.preventDefault();
  show(chart, steps[Math.min(Math.max(to, 0), steps.length - 1)]);
}
