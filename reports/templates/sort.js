"use strict";
// Tables come sorted; their heads become buttons that sort them by another column.
const valueAt = (row, column) => row.cells[column].dataset.value ?? row.cells[column].textContent.trim();
const sortRows = (table) => {
  const heads = [...table.tHead.rows[0].cells];
  const column = heads.findIndex((head) => head.hasAttribute("aria-sort"));
  if (column < 0) return;
  const down = heads[column].getAttribute("aria-sort") === "descending";
  const compare = (a, b) => {
    const [x, y] = [valueAt(a, column), valueAt(b, column)];
    if (x === "" || y === "") return (x === "") - (y === "");
    const order = isNaN(x) || isNaN(y) ? x.localeCompare(y) : x - y;
    return down ? -order : order;
  };
  for (const body of table.tBodies) body.append(...[...body.rows].sort(compare));
};
for (const table of document.querySelectorAll("table[data-sortable]")) {
  const heads = [...table.tHead.rows[0].cells];
  for (const head of heads) {
    if (!head.dataset.sort) continue;
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const was = head.getAttribute("aria-sort");
      const down = was === "ascending" || (!was && head.dataset.sort === "down");
      for (const other of heads) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      sortRows(table);
    });
  }
}
