"use strict";
// Everything on the page can be read without this script: it sorts tables, opens all folds at once and copies texts.
for (const table of document.querySelectorAll("table[data-sortable]")) {
  const heads = [...table.tHead.rows[0].cells];
  for (const [column, head] of heads.entries()) {
    if (!head.dataset.sort) continue;
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") === "ascending" ||
        (!head.hasAttribute("aria-sort") && head.dataset.sort === "down");
      for (const other of heads) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const value = (row) => row.cells[column].dataset.value ?? row.cells[column].textContent.trim();
      const compare = (a, b) => {
        const [x, y] = [value(a), value(b)];
        if (x === "" || y === "") return (x === "") - (y === "");
        const order = isNaN(x) || isNaN(y) ? x.localeCompare(y) : x - y;
        return down ? -order : order;
      };
      for (const body of table.tBodies) body.append(...[...body.rows].sort(compare));
    });
  }
}
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
