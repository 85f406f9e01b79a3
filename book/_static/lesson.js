// The folds of a lesson's page. A deeper section opens when a link leads into it, and in print.
// What gives the result of a prediction away is shut until the prediction was made in this browser,
// or the reader wants to see it all the same. Where this file does not run, all of it can be read.

(() => {
  const page = document.documentElement;
  page.classList.add("has-predictions"); // now, so that nothing is shown that is shut then

  const chosen = (key) => {
    const name = `lessons:prediction:${key}`;
    try {
      return window.lessonPredictions?.[name] ?? localStorage.getItem(name);
    } catch {
      return null;
    }
  };
  const question = (number) =>
    document.querySelector(`.lesson-prediction.asks[data-key^="${number}-"]`);

  // The theme makes what scrolls reachable by keyboard, and looks for it when sizes change.
  let waiting = 0;
  function sizesChange() {
    waiting ||= setTimeout(() => {
      waiting = 0;
      dispatchEvent(new Event("resize"));
    });
  }

  function open(box) {
    box.classList.add("is-open");
    sizesChange();
    box.querySelector(":scope > .explains-first")?.remove();
  }

  function openAll(number) {
    document.querySelectorAll(`.explains[data-prediction="${number}"]`).forEach(open);
  }

  function shut(box) {
    const { prediction } = box.dataset;
    const asked = question(prediction);
    if (!asked || chosen(asked.dataset.key) !== null) {
      open(box);
      return;
    }
    asked.id ||= `prediction-${prediction.replace(".", "-")}`;
    const first = document.createElement("p");
    first.className = "explains-first";
    first.innerHTML = `Here stands what came out. <a href="#${asked.id}">First predict it</a>,
      or <button type="button">show anyway</button>.`;
    first.querySelector("button").addEventListener("click", () => {
      openAll(prediction);
      box.tabIndex = -1; // the button is gone: reading goes on here
      box.focus();
    });
    box.prepend(first);
  }

  function reveal(address) {
    const target = address.length > 1 && document.getElementById(decodeURIComponent(address.slice(1)));
    if (!target) return;
    const inside = target.querySelector(":scope > details.deeper");
    for (let part = inside || target; part; part = part.parentElement) {
      if (part.matches("details.deeper")) part.open = true;
      if (part.matches(".explains")) open(part);
    }
    target.scrollIntoView();
  }

  document.addEventListener("DOMContentLoaded", () => {
    document.querySelectorAll(".explains").forEach(shut);
    reveal(location.hash);
  });
  addEventListener("hashchange", () => reveal(location.hash));
  document.addEventListener("click", (event) => {
    const link = event.target.closest?.("a[href^='#']");
    if (link && link.hash === location.hash) reveal(link.hash); // a second time: the hash stays
  });
  document.addEventListener("lesson-prediction", ({ detail }) => {
    if (chosen(detail) !== null) openAll(detail.split("-")[0]);
  });

  document.addEventListener("toggle", sizesChange, true);

  let opened = [];
  addEventListener("beforeprint", () => {
    opened = [...document.querySelectorAll("details:is(.deeper, .hidden-code):not([open])")];
    opened.forEach((fold) => { fold.open = true; });
  });
  addEventListener("afterprint", () => opened.forEach((fold) => { fold.open = false; }));
})();
