// The editor of a spec: numbers of lines, wrong lines marked, Tab as two spaces, and mistakes that lead to their place.
"use strict";

const text = document.getElementById("spec");

function number() {
  const gutter = document.createElement("div");
  gutter.className = "gutter";
  gutter.setAttribute("aria-hidden", "true");
  const draw = () => {
    const wrong = new Set(text.dataset.wrong.trim().split(" ").map(Number));
    const count = text.value.split("\n").length;
    gutter.replaceChildren(...Array.from({ length: count }, (_, index) => {
      const line = document.createElement("span");
      line.textContent = String(index + 1);
      if (wrong.has(index + 1)) line.className = "wrong";
      return line;
    }));
    gutter.scrollTop = text.scrollTop;
  };
  for (const event of ["input", "marks"]) text.addEventListener(event, draw);
  text.addEventListener("scroll", () => { gutter.scrollTop = text.scrollTop; });
  text.parentElement.classList.add("numbered");
  text.before(gutter);
  draw();
}

function lead(event) {
  const link = event.target.closest("[data-line][data-column]");
  if (link === null) return;
  event.preventDefault();
  const [line, column] = [Number(link.dataset.line), Number(link.dataset.column)];
  const lines = text.value.split("\n");
  const start = lines.slice(0, line - 1).reduce((sum, each) => sum + each.length + 1, 0);
  text.focus();
  text.setSelectionRange(start + column - 1, start + (lines[line - 1] ?? "").length);
  text.scrollTop = Math.max(0, (line - 6) * parseFloat(getComputedStyle(text).lineHeight));
}

if (text !== null) {
  number();
  document.addEventListener("click", lead);
  let tabbing = true; // Escape, then Tab leaves the field: nobody with a keyboard alone is held in it
  text.addEventListener("keydown", (event) => {
    if (event.key === "Escape") { tabbing = false; return; }
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) { text.form.requestSubmit(text.form.querySelector("[value=start]")); return; }
    if (event.key !== "Tab" || event.shiftKey || !tabbing) { if (event.key !== "Shift") tabbing = true; return; }
    event.preventDefault();
    text.setRangeText("  ", text.selectionStart, text.selectionEnd, "end");
    text.dispatchEvent(new Event("input"));
  });
}
