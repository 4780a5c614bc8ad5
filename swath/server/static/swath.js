// Pages that stay up to date: a part of a page is fetched again when something happened. Without this script a reload does it.
"use strict";

const local = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
const localClock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });

/** Show times of day in the reader's zone, with UTC as their title. */
function showTimes(root) {
  for (const time of root.querySelectorAll("time:not([data-shown])")) {
    const moment = new Date(time.dateTime);
    time.dataset.shown = "";
    if (time.classList.contains("ago")) { time.title = `${local.format(moment)} (${time.title})`; continue; }
    time.title = `${time.dateTime.replace("T", " ").replace("Z", "")} UTC`;
    time.textContent = (time.classList.contains("clock") ? localClock : local).format(moment);
  }
}

/** Fetch this page again and take over its live parts, but those that somebody is working in. */
async function refresh() {
  const answer = await fetch(location.href, { credentials: "same-origin" });
  if (answer.redirected && new URL(answer.url).pathname === "/sign-in") { location.reload(); return; }
  if (!answer.ok) return;
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
  for (const part of document.querySelectorAll("[data-live]")) {
    const other = fresh.getElementById(part.id);
    const busy = part.querySelector("details[open]") || (part.contains(document.activeElement) && document.activeElement.matches("input, textarea, select"));
    if (other === null || busy || other.innerHTML === part.dataset.source) continue;
    const focused = part.contains(document.activeElement) ? document.activeElement.getAttribute("href") : null;
    part.dataset.source = other.innerHTML;
    part.replaceChildren(...other.childNodes);
    showTimes(part);
    if (focused !== null) part.querySelector(`[href="${CSS.escape(focused)}"]`)?.focus({ preventScroll: true });
  }
  document.title = fresh.title;
}

/** A function that runs at most once in a time, and once more afterwards when it was asked for meanwhile. */
function paced(work, pause) {
  let waiting = false, again = false;
  return async function ask() {
    if (waiting) { again = true; return; }
    waiting = true;
    try { await work(); } catch { /* the server is away; the next event or round tries again */ }
    setTimeout(() => { waiting = false; if (again) { again = false; ask(); } }, pause);
  };
}

/** Add the lines after the last one that is shown; scroll with them while the page's end is in view. */
async function followLog(list) {
  const answer = await fetch(`${list.dataset.follow}&after=${list.dataset.last}`, { credentials: "same-origin" });
  if (!answer.ok) return;
  const holder = document.createElement("template");
  holder.innerHTML = await answer.text();
  const lines = [...holder.content.querySelectorAll("li")];
  if (lines.length === 0) return;
  const atEnd = innerHeight + scrollY >= document.documentElement.scrollHeight - 60;
  list.dataset.last = lines.at(-1).dataset.line;
  showTimes(holder.content);
  list.append(...lines);
  while (list.children.length > 3000) list.firstElementChild.remove();
  if (atEnd) scrollTo(0, document.documentElement.scrollHeight);
}

function listen(address) {
  const again = paced(refresh, 1000);
  const list = document.querySelector("[data-follow]");
  const follow = list === null ? () => {} : paced(() => followLog(list), 400);
  const stream = new EventSource(list === null ? address : `${address}?after=${list.dataset.last}`);
  stream.addEventListener("run", again);
  stream.addEventListener("live", again);
  stream.addEventListener("line", () => { follow(); if (document.querySelector("#now")) again(); });
  stream.addEventListener("end", () => { stream.close(); again(); follow(); });
  if (list !== null) scrollTo(0, document.documentElement.scrollHeight);
}

showTimes(document);
const main = document.querySelector("main");
if (main.dataset.events) listen(main.dataset.events);
if (Number(main.dataset.refresh)) {
  const again = paced(refresh, 500);
  setInterval(() => { if (!document.hidden) again(); }, Number(main.dataset.refresh));
}
