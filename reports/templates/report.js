// Everything on the page can be read without this script: it opens all folds at once and copies texts.
const folds = document.querySelector(".folds");
if (folds) {
  folds.classList.add("ready");
  for (const button of folds.querySelectorAll("button")) {
    button.addEventListener("click", () => {
      for (const fold of document.querySelectorAll("details.submission")) fold.open = button.dataset.open === "yes";
    });
  }
}

const copied = (block) => {
  if (navigator.clipboard && window.isSecureContext) return navigator.clipboard.writeText(block.textContent);
  const range = document.createRange();
  range.selectNodeContents(block);
  getSelection().removeAllRanges();
  getSelection().addRange(range);
  return document.execCommand("copy") ? Promise.resolve() : Promise.reject(new Error("not copied"));
};
const blocks = document.querySelectorAll("pre[data-copy]");
if (blocks.length) {
  const told = document.createElement("p");
  told.className = "visually-hidden";
  told.setAttribute("role", "status");
  document.querySelector("main").append(told);
  for (const block of blocks) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "copy";
    button.textContent = "Copy";
    button.setAttribute("aria-label", `Copy: ${block.dataset.copy}`);
    button.addEventListener("click", () => {
      const say = (text) => { button.textContent = told.textContent = text; setTimeout(() => { button.textContent = "Copy"; }, 2000); };
      copied(block).then(() => say("Copied"), () => say("Press Ctrl+C"));
    });
    block.after(button);
  }
}
