// Boxes to check in long tables: one for all of the page, Shift for a range, and how many are checked.

for (const form of document.querySelectorAll("form:has(table.picks)")) {
  const boxes = [...form.querySelectorAll("table.picks tbody input[type=checkbox]")];
  const all = form.querySelector("[data-all]");
  const said = form.querySelector("[data-picked]");
  let last = -1;

  const show = () => {
    const count = boxes.filter((box) => box.checked).length;
    if (said) said.textContent = count ? `${count} checked` : "";
    if (all) {
      all.checked = count > 0 && count === boxes.length;
      all.indeterminate = count > 0 && count < boxes.length;
    }
  };

  all?.addEventListener("change", () => {
    for (const box of boxes) box.checked = all.checked;
    show();
  });
  boxes.forEach((box, at) => box.addEventListener("click", (event) => {
    if (event.shiftKey && last >= 0) {
      for (const one of boxes.slice(Math.min(at, last), Math.max(at, last) + 1)) one.checked = box.checked;
    }
    last = at;
    show();
  }));
  show(); // a browser that goes back keeps what was checked
}
