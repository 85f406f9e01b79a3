// Starts reveal.js when MathJax has set the formulas, so that it places what is there.
(async () => {
  await MathJax.startup.promise;
  await Reveal.initialize({
    width: 1280, height: 720, margin: 0, minScale: 0.1, maxScale: 4,
    center: false, display: "flex", transition: "none", backgroundTransition: "none",
    hash: true, slideNumber: "c/t", navigationMode: "default", viewDistance: 3,
    pdfSeparateFragments: false, plugins: [RevealNotes],
  });
  // An answer that was clicked gives the keys back: else an arrow would choose another answer.
  document.querySelector(".slides").addEventListener("click", (event) => {
    if (event.detail > 0 && event.target.matches("input, button")) event.target.blur();
  });
  document.documentElement.dataset.slides = "ready";
})();
