// What is better with a script: a form is sent once, what cannot be undone is asked about, and a key is copied.
"use strict";

const busy = document.getElementById("busy");

document.addEventListener("submit", (event) => {
  const form = event.target;
  const question = form.dataset.confirm;
  if (question && !window.confirm(question)) {
    event.preventDefault();
    return;
  }
  // Disabled after the browser has read the form.
  setTimeout(() => {
    for (const button of form.querySelectorAll("button")) button.disabled = true;
    busy.hidden = false;
  });
});

// A page that comes back from the browser's cache can be sent again.
window.addEventListener("pageshow", (event) => {
  if (!event.persisted) return;
  for (const button of document.querySelectorAll("button[disabled]")) button.disabled = false;
  busy.hidden = true;
});

for (const button of document.querySelectorAll("[data-copy]")) {
  button.hidden = !navigator.clipboard;
  button.addEventListener("click", () => {
    navigator.clipboard.writeText(document.getElementById(button.dataset.copy).textContent);
  });
}
