// The form beside a spec's text: the server takes each change of a field into the text, and makes the form anew of each change of the
// text. Without this script its buttons do the same.
"use strict";

const runForm = document.getElementById("new-run");
const spec = document.getElementById("spec");
let sending = 0;

/** Take over a part of the page as the server has it now, with what is open and where the cursor is. */
function takeOver(id, fresh) {
  const [part, other] = [document.getElementById(id), fresh.getElementById(id)];
  if (part === null || other === null || part.innerHTML === other.innerHTML) return;
  const open = new Set([...part.querySelectorAll("details[open]")].map((each) => each.dataset.more));
  const active = part.contains(document.activeElement) ? document.activeElement.id : "";
  for (const map of part.querySelectorAll(".area-draw:not(:empty)")) { // a map stays as it is: its field is read again
    [...other.querySelectorAll(".area-draw")].find((each) => each.dataset.area === map.dataset.area)?.replaceWith(map);
  }
  part.replaceChildren(...other.childNodes);
  for (const name of part.getAttributeNames()) if (name === "data-wait" && !other.hasAttribute(name)) part.removeAttribute(name);
  for (const each of part.querySelectorAll("details")) each.open = open.has(each.dataset.more);
  if (active) document.getElementById(active)?.focus({ preventScroll: true });
  document.dispatchEvent(new CustomEvent("taken-over", { detail: part }));
}

/** Send the form, and show what the server makes of it. quiet: messages stay as they are. */
async function send(name, value, quiet) {
  const number = ++sending;
  const before = spec.value;
  const body = new URLSearchParams(new FormData(runForm));
  body.set(name, value);
  if (!quiet) runForm.classList.add("busy-now");
  try {
    const answer = await fetch("/new", { method: "POST", body, credentials: "same-origin" });
    if (answer.redirected) { location.href = answer.url; return; }
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    if (number !== sending || fresh.getElementById("spec") === null) return;
    const text = fresh.getElementById("spec");
    if (spec.value === before && text.value !== before) spec.value = text.value;
    spec.dataset.wrong = text.dataset.wrong;
    spec.dispatchEvent(new Event("marks"));
    takeOver("messages", fresh);
    const broken = fresh.querySelector("#spec-form [name=shown]") === null && document.querySelector("#spec-form [name=shown]") !== null;
    if (!broken || name !== "action") takeOver("spec-form", fresh); // while the text is broken the form stays as it was
  } catch { /* the server is away: the buttons still work once it is back */ } finally {
    if (number === sending) runForm.classList.remove("busy-now");
  }
}

if (runForm !== null) {
  document.querySelector("main").classList.add("scripted");
  let pause = 0;
  runForm.addEventListener("change", (event) => {
    if (event.target.closest("#spec-form") && event.target.name) send("action", "form", true);
    if (event.target.id === "project") location.href = `/new?project=${encodeURIComponent(event.target.value)}`;
  });
  spec.addEventListener("input", () => { clearTimeout(pause); pause = setTimeout(() => send("action", "form", true), 700); });
  runForm.addEventListener("submit", (event) => {
    const button = event.submitter;
    if (button === null || button.value === "start") return;
    event.preventDefault();
    clearTimeout(pause);
    send(button.name, button.value, false);
  });
  let rounds = 0;
  const wait = setInterval(() => { // for the pipelines' schemas, which an agent is reading
    if (!document.querySelector("#spec-form[data-wait]") || ++rounds > 60) { clearInterval(wait); return; }
    if (!document.hidden) send("action", "form", true);
  }, 2000);
}
