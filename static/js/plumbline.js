// The few lines every page shares. Pages work without them.

// Ask once before what cannot be undone: <form data-confirm="Cancel this run?">
document.addEventListener("submit", (event) => {
  const question = event.target.dataset.confirm;
  if (question && !window.confirm(question)) event.preventDefault();
});

// Copy buttons: <button data-copy="#element-id">
document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy]");
  if (!button) return;
  await navigator.clipboard.writeText(document.querySelector(button.dataset.copy).textContent.trim());
  const label = button.textContent;
  button.textContent = "Copied";
  setTimeout(() => { button.textContent = label; }, 1500);
});

// htmx sends Django's CSRF token with every request.
document.addEventListener("htmx:configRequest", (event) => {
  const token = document.cookie.match(/(?:^|; )csrftoken=([^;]+)/);
  if (token) event.detail.headers["X-CSRFToken"] = token[1];
});

// What scrolls sideways can be reached and scrolled by keyboard; what does not is no stop on the way.
const reachable = new ResizeObserver((entries) => {
  for (const { target } of entries) {
    if (target.scrollWidth > target.clientWidth || target.scrollHeight > target.clientHeight) target.tabIndex = 0;
    else target.removeAttribute("tabindex");
  }
});
const observe = (root) => root.querySelectorAll(".table-wrap, pre, .prose table").forEach((element) => reachable.observe(element));
observe(document);
document.addEventListener("htmx:load", (event) => observe(event.target));
