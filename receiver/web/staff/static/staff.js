"use strict";
// Keys, copy buttons and relative times. Without this file every page works all the same.

(() => {
  const isTyping = (target) => target.closest("input, textarea, select, [contenteditable]") !== null;
  const rows = () => Array.from(document.querySelectorAll("main tbody tr")).filter((row) => row.querySelector("a"));

  let present = -1;
  function move(by) {
    const all = rows();
    if (!all.length) return;
    const focused = all.findIndex((row) => row.contains(document.activeElement));
    present = Math.max(0, Math.min(all.length - 1, (focused < 0 ? present : focused) + by));
    all.forEach((row, index) => row.classList.toggle("present", index === present));
    const link = all[present].querySelector("a.open") || all[present].querySelector("a");
    link.focus();
    all[present].scrollIntoView({ block: "nearest" });
  }

  function open() {
    const row = rows()[present];
    if (row) (row.querySelector("a.open") || row.querySelector("a")).click();
  }

  const KEYS = {
    "/": () => { const box = document.querySelector("main [data-search]") || document.querySelector("[data-search]"); if (box) { box.focus(); box.select(); } },
    j: () => move(1),
    k: () => move(-1),
    o: open,
    "?": () => { const help = document.getElementById("help"); if (!help.open) help.showModal(); },
  };

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target)) return;
    if (document.querySelector("dialog[open]") || !Object.hasOwn(KEYS, event.key)) return;
    event.preventDefault();
    KEYS[event.key]();
  });

  document.addEventListener("click", (event) => {
    const button = event.target.closest("button.copy");
    if (!button || !navigator.clipboard) return;
    navigator.clipboard.writeText(button.dataset.copy).then(() => {
      button.textContent = "Copied";
      setTimeout(() => { button.textContent = "Copy"; }, 1500);
    });
  });

  // What refreshes by itself waits while somebody is at work in it: their boxes and questions would be gone.
  document.addEventListener("htmx:beforeRequest", (event) => {
    const place = event.detail.elt;
    if (!place.matches("[hx-trigger^=every]")) return;
    const isBusy = place.querySelector("input:checked, details[open], input:focus, textarea:focus, select:focus") !== null;
    if (isBusy || document.hidden || String(getSelection()) !== "") event.preventDefault();
  });

  // The same words as `relative` on the server.
  function relative(milliseconds) {
    const seconds = milliseconds / 1000;
    let size = Math.abs(seconds);
    if (size < 5) return "just now";
    const [, unit, name] = [[90, 1, "s"], [5400, 60, "min"], [129600, 3600, "h"], [Infinity, 86400, "days"]].find(([limit]) => size < limit);
    const words = `${Math.round(size / unit)} ${name}`;
    return seconds > 0 ? `${words} ago` : `in ${words}`;
  }

  // The server's clock counts, not the browser's: what passes since the page came is added.
  const began = Number(document.documentElement.dataset.now) || Date.now();
  function refresh() {
    for (const time of document.querySelectorAll("time[data-relative]")) {
      time.textContent = relative(began + performance.now() - Date.parse(time.dateTime));
    }
  }

  function enhance() {
    if (navigator.clipboard) for (const button of document.querySelectorAll("button.copy[hidden]")) button.hidden = false;
  }

  enhance();
  document.addEventListener("htmx:afterSettle", enhance);
  setInterval(refresh, 10000);
})();
