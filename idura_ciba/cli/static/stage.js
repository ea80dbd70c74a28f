// On a small screen the phones are behind the desk: says there how many ring.
"use strict";

const phones = document.getElementById("phones");
const ringing = document.getElementById("ringing");

function count() {
  const many = phones.contentDocument.querySelectorAll("[data-rings]").length;
  ringing.textContent = many ? `${many} ringing` : "";
}

function watch() {
  new MutationObserver(count).observe(phones.contentDocument.body, { childList: true, subtree: true });
  count();
}

phones.addEventListener("load", watch);
if (phones.contentDocument.readyState === "complete") watch();
