"use strict";
// Everything on the page can be read without this script: it lets tables be sorted and all folds be opened at once.
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
      const value = (row) => row.cells[column].dataset.value ?? "";
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
