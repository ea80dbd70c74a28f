// The desk's own behaviour, beside that of live.js. Without this script the page works too.
//
//   <button data-busy="...">         says this, and cannot be pressed again, as soon as its form is sent
//   <input data-reveals="id">        shows what is typed into that field
"use strict";

for (const box of document.querySelectorAll("[data-reveals]")) {
  const field = document.getElementById(box.dataset.reveals);
  box.closest("[hidden]").hidden = false;
  box.addEventListener("change", () => {
    field.classList.toggle("masked", !box.checked);
  });
}

for (const button of document.querySelectorAll("button[data-busy]")) {
  const label = button.textContent;
  button.form.addEventListener("submit", (event) => {
    if (button.disabled) event.preventDefault();
    // Later: a disabled button would not be sent with the form.
    setTimeout(() => {
      button.disabled = true;
      button.textContent = button.dataset.busy;
    });
  });
  // A page that comes back from the browser's memory is as good as new, and so must its form be.
  addEventListener("pageshow", (event) => {
    if (event.persisted) location.reload();
    button.disabled = false;
    button.textContent = label;
  });
}
