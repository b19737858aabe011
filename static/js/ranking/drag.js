// Drag a letter onto a place, with mouse, pen or finger. Places: [data-lane] (a tie if taken), [data-gap] (in between).

const SLACK = 6; // px before a press becomes a drag

export function enableDragging(root, { onDrop }) {
  let drag = null;

  root.addEventListener("pointerdown", (event) => {
    const handle = event.target.closest("[data-drag]");
    if (!handle || event.button !== 0 || drag) return;
    drag = { key: handle.dataset.drag, handle, id: event.pointerId, x: event.clientX, y: event.clientY, ghost: null };
  });

  window.addEventListener("pointermove", (event) => {
    if (event.pointerId !== drag?.id) return;
    if (!drag.ghost) {
      if (Math.hypot(event.clientX - drag.x, event.clientY - drag.y) < SLACK) return;
      drag.ghost = lift(drag);
    }
    drag.ghost.style.transform = `translate(${event.clientX}px, ${event.clientY}px)`;
    mark(targetAt(event));
  });

  window.addEventListener("pointerup", (event) => {
    if (event.pointerId !== drag?.id) return;
    const { key, ghost } = drag;
    const target = ghost && targetAt(event);
    settle();
    if (!ghost) return;
    // The click that follows a drag is not meant for what is under the pointer.
    window.addEventListener("click", swallow, { capture: true, once: true });
    setTimeout(() => window.removeEventListener("click", swallow, { capture: true }), 0);
    if (target) onDrop(key, target.dataset);
  });

  window.addEventListener("pointercancel", settle);
  window.addEventListener("keydown", (event) => { if (event.key === "Escape" && drag?.ghost) settle(); });
  root.addEventListener("dragstart", (event) => { if (event.target.closest?.("[data-drag]")) event.preventDefault(); });

  function lift({ key, handle }) {
    const ghost = document.createElement("div");
    ghost.className = "ghost";
    ghost.textContent = key;
    ghost.setAttribute("aria-hidden", "true");
    document.body.append(ghost);
    document.body.classList.add("is-dragging");
    handle.classList.add("is-lifted");
    return ghost;
  }

  function settle() {
    drag?.ghost?.remove();
    drag?.handle.classList.remove("is-lifted");
    document.body.classList.remove("is-dragging");
    mark(null);
    drag = null;
  }

  function mark(target) {
    for (const other of root.querySelectorAll(".is-target")) if (other !== target) other.classList.remove("is-target");
    target?.classList.add("is-target");
  }

  const targetAt = (event) => document.elementFromPoint(event.clientX, event.clientY)?.closest("[data-gap], [data-lane]");
}

function swallow(event) {
  event.preventDefault();
  event.stopPropagation();
}
