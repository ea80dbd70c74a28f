// Keeps a page up to date and sends its forms without leaving it. Without this script, forms and links work as well.
//
//   <body data-events="events">        where the page's server-sent events are
//   <body data-missed data-silent>     what to say in another language: not connected, and no answer to a form
//   event "show": {"id", "html"}       replaces what is in the element with this id
//   <form data-live>                   is sent in the background, once at a time; what comes of it arrives as an event
//   <time data-left="87.5">            counts these seconds down, as 1:27
//   <progress data-left max value>     empties with them
//   <... data-rings>                   is counted in the title, for whoever looks at another tab
"use strict";

const MISSED = "The page is not connected. It connects again by itself.";
const SILENT = "The command does not answer. Is it still running?";

// --- what is shown ---------------------------------------------------------------------------------------------------

const shown = new WeakMap();

function show({ id, html }) {
  const place = document.getElementById(id);
  if (!place || shown.get(place) === html) return;
  const open = [...place.querySelectorAll("details[open][id]")].map((each) => each.id);
  const focused = place.contains(document.activeElement) ? document.activeElement : null;
  place.innerHTML = html;
  shown.set(place, html);
  for (const id of open) document.getElementById(id)?.setAttribute("open", "");
  startClocks(place);
  countInTitle();
  if (!focused) return;
  // The keyboard stays where it was; where that is gone, at the place that has changed.
  const again = focused.id && document.getElementById(focused.id);
  const next = again || place.querySelector("[data-focus]") || place;
  if (next === place) place.tabIndex = -1;
  next.focus({ preventScroll: true });
}

const title = document.title;

function countInTitle() {
  const waiting = document.querySelectorAll("[data-rings]").length;
  document.title = waiting ? `(${waiting}) ${title}` : title;
}

function notify(text) {
  const notice = document.getElementById("notice");
  notice.textContent = text;
  notice.hidden = !text;
}

// --- clocks ----------------------------------------------------------------------------------------------------------

// The server says how much is left, so a clock of this machine that is wrong does no harm.
const clocks = new Map();

function startClocks(place) {
  for (const element of place.querySelectorAll("[data-left]")) {
    clocks.set(element, performance.now() + 1000 * Number(element.dataset.left));
  }
  tick();
}

function tick() {
  for (const [element, end] of clocks) {
    if (!element.isConnected) {
      clocks.delete(element);
      continue;
    }
    const left = Math.max(0, (end - performance.now()) / 1000);
    if (element instanceof HTMLProgressElement) {
      element.value = left;
    } else {
      const whole = Math.ceil(left);
      element.textContent = `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")}`;
    }
  }
}

// --- events ----------------------------------------------------------------------------------------------------------

let source = null;
let retry = 0;

function listen() {
  const path = document.body.dataset.events;
  if (!path || source) return;
  source = new EventSource(path);
  source.addEventListener("open", () => {
    document.body.dataset.connected = "yes";
    notify("");
  });
  source.addEventListener("show", (event) => show(JSON.parse(event.data)));
  source.addEventListener("error", () => {
    document.body.dataset.connected = "no";
    if (!document.hidden) notify(document.body.dataset.missed || MISSED);
    if (source && source.readyState === EventSource.CLOSED) {
      // Refused, which a browser does not try again by itself.
      leave();
      clearTimeout(retry);
      retry = setTimeout(listen, 2000);
    }
  });
}

function leave() {
  if (source) source.close();
  source = null;
}

// --- forms -----------------------------------------------------------------------------------------------------------

async function send(form, button) {
  // Not by disabling the button: that would take the keyboard's focus away.
  if (form.dataset.sending) return;
  form.dataset.sending = "yes";
  const fields = new URLSearchParams(new FormData(form));
  if (button && button.name) fields.set(button.name, button.value);
  try {
    const answer = await fetch(form.action, { method: "POST", body: fields, redirect: "manual" });
    if (answer.ok || answer.type === "opaqueredirect") {
      notify("");
      form.dispatchEvent(new CustomEvent("sent", { bubbles: true }));
    } else {
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      const said = [...page.querySelectorAll("h1, p")].map((each) => each.textContent.trim());
      notify(said.map((text) => text.replace(/[.]?$/, ".")).join(" ") || `The server answered ${answer.status}.`);
    }
  } catch {
    notify(document.body.dataset.silent || SILENT);
  }
  delete form.dataset.sending;
}

document.addEventListener("submit", (event) => {
  if (!event.target.matches("form[data-live]")) return;
  event.preventDefault();
  send(event.target, event.submitter);
});
// A browser opens six connections to a server for all its tabs; one that nobody looks at for long needs none.
let absence = 0;
document.addEventListener("visibilitychange", () => {
  clearTimeout(absence);
  if (document.hidden) absence = setTimeout(leave, 300_000);
  else listen();
});
addEventListener("pagehide", leave);
addEventListener("pageshow", listen);
setInterval(tick, 250);
startClocks(document);
countInTitle();
listen();
