// Keeps an open page up to date: swaps in what the server rendered anew, part by part, so that
// what is focused, opened or selected elsewhere stays as it is. Without it everything works, and
// is as it was when the page was loaded.
(() => {
  "use strict";

  const main = document.getElementById("main");
  const sign = document.getElementById("live");
  const policy = window.trustedTypes
    ? window.trustedTypes.createPolicy("fixpoint", { createHTML: (html) => html })
    : { createHTML: (html) => html };

  // Times as a person says them; the exact one is in the title.
  const ago = (then) => {
    const seconds = Math.round((Date.now() - then) / 1000);
    const [sooner, later] = seconds < 0 ? ["in ", ""] : ["", " ago"];
    const away = Math.abs(seconds);
    if (away < 5 && seconds >= 0) return "just now";
    const [count, unit] =
      away < 120 ? [away, "s"]
      : away < 7200 ? [Math.round(away / 60), "min"]
      : away < 172800 ? [Math.round(away / 3600), "h"]
      : [Math.round(away / 86400), "days"];
    return `${sooner}${count} ${unit}${later}`;
  };
  const tellTimes = () => {
    for (const time of document.querySelectorAll("time[datetime]")) {
      const then = Date.parse(time.dateTime);
      if (Number.isNaN(then)) continue;
      if (!time.title) time.title = time.textContent;
      const text = ago(then);
      if (time.textContent !== text) time.textContent = text;
    }
  };

  const showCopies = () => {
    if (!navigator.clipboard) return;
    for (const button of document.querySelectorAll("button[data-copy]")) button.hidden = false;
  };
  document.addEventListener("click", async (event) => {
    const button = event.target.closest("button[data-copy]");
    if (!button) return;
    await navigator.clipboard.writeText(button.dataset.copy);
    button.textContent = "Copied";
    setTimeout(() => { button.textContent = "Copy"; }, 1500);
  });

  // Tells one element from another across renderings.
  const keyOf = (element) =>
    element.id ? `#${element.id}`
    : element.matches("a[href]") ? `${element.className}a ${element.getAttribute("href")}`
    : element.matches("[data-copy]") ? `copy ${element.dataset.copy}`
    : element.matches("details[id] > summary") ? `summary ${element.parentElement.id}`
    : element.name ? `name ${element.name}` : "";
  const find = (root, key) =>
    [...root.querySelectorAll("[id], a[href], [data-copy], [name], summary")].find((one) => keyOf(one) === key);

  const swap = (old, fresh) => {
    const opened = [...old.querySelectorAll("details[open][id]")].map((one) => one.id);
    const focused = old.contains(document.activeElement) ? document.activeElement : null;
    const key = focused ? keyOf(focused) : "";
    const typed = focused && focused.matches("input") ? focused.value : null;
    const scrolled = [...old.querySelectorAll(".scroll, .whole")].map((one) => [one.scrollLeft, one.scrollTop]);
    for (const id of opened) {
      const one = fresh.querySelector(`#${CSS.escape(id)}`);
      if (one) one.open = true;
    }
    old.replaceWith(fresh);
    [...fresh.querySelectorAll(".scroll, .whole")].forEach((one, at) => {
      if (scrolled[at]) [one.scrollLeft, one.scrollTop] = scrolled[at];
    });
    const again = key && find(fresh, key);
    if (again) {
      if (typed !== null) again.value = typed;
      again.focus({ preventScroll: true });
    }
  };

  // What the server last sent, part by part; what it sends again unchanged is left alone.
  const sent = new Map();
  const say = (root) => {
    const one = root.querySelector("[data-say]");
    return one ? one.dataset.say : "";
  };
  const show = (html) => {
    const fresh = document.createElement("template");
    fresh.innerHTML = policy.createHTML(html);
    const before = say(main);
    const parts = [...fresh.content.children];
    const old = [...main.children];
    const same = parts.length === old.length && parts.every((part, at) => part.id && part.id === old[at].id);
    if (!same) {
      sent.clear();
      for (const part of parts) sent.set(part.id, part.outerHTML);
      main.replaceChildren(...parts);
    } else {
      parts.forEach((part, at) => {
        const text = part.outerHTML;
        if (sent.get(part.id) === text) return;
        sent.set(part.id, text);
        swap(old[at], part);
      });
    }
    tellTimes();
    showCopies();
    const after = say(main);
    if (after && after !== before) tell("on", after);
  };

  // Said aloud by screen readers, since it is a status.
  let quiet = 0;
  const tell = (state, text) => {
    if (!sign) return;
    sign.className = `live ${state}`;
    sign.textContent = text;
    clearTimeout(quiet);
    if (state === "on" && text !== "Live") quiet = setTimeout(() => tell("on", "Live"), 6000);
  };

  const follow = () => {
    const stream = new EventSource(main.dataset.live);
    let known = false;
    stream.addEventListener("page", (event) => {
      if (!known) tell("on", "Live");
      known = true;
      show(event.data);
    });
    stream.addEventListener("end", () => {
      stream.close();
      tell("off", "Signed out");
    });
    stream.addEventListener("error", () => {
      known = false;
      tell("off", stream.readyState === EventSource.CLOSED ? "Not live: reload the page" : "Connecting…");
    });
    // Browsers allow few connections to one host: a page that is left gives its own back.
    window.addEventListener("pagehide", () => stream.close(), { once: true });
  };

  tellTimes();
  showCopies();
  setInterval(tellTimes, 10000);
  if (main && main.dataset.live) follow();
  window.addEventListener("pageshow", (event) => {
    if (event.persisted && main && main.dataset.live) follow();
  });
  const form = document.querySelector("form[data-auto]");
  if (form) form.requestSubmit();
})();
