/**
 * Small views of "Look inside" on other pages. Such a page has
 *
 *     <div class="look-view" data-place="layer=conv2&output=3,4,5&digit=7"> a text, a link </div>
 *     <script type="module" src="../look-inside/embed.js"></script>
 *
 * What stands in it stays where no script runs. With scripts it becomes one output of one layer,
 * computed here: when the reader comes near, or, where `data-wait` says so, at a press of a button.
 */
const NEAR = "400px";

for (const root of document.querySelectorAll(".look-view")) {
  if (root.dataset.wait === undefined) whenNear(root, () => start(root));
  else root.append(starter(root));
}

function starter(root) {
  const button = document.createElement("button");
  Object.assign(button, { type: "button", textContent: "Compute one here", className: "btn" });
  button.addEventListener("click", () => start(root, true));
  return button;
}

function whenNear(root, act) {
  const observer = new IntersectionObserver((entries) => {
    if (!entries.some(({ isIntersecting }) => isIntersecting)) return;
    observer.disconnect();
    act();
  }, { rootMargin: NEAR });
  observer.observe(root);
}

async function start(root, focus = false) {
  const { View } = await import("./view.js");
  try {
    await View.open(root, focus);
    root.dataset.state = "ready";
  } catch (error) {
    console.info(error); // what stood there is still there
  }
}
