// Everything on the page can be read without this script: it filters rows and puts a slice's numbers where those of all
// prompts stand.
const form = document.querySelector("[data-filters]");
if (form) {
  const table = document.getElementById("board");
  const rows = [...table.tBodies[0].rows];
  const parts = (row) => [...row.querySelectorAll("[data-part]")];
  const whole = new Map(rows.map((row) => [row, parts(row)]));
  const picked = (name) => form.elements.namedItem(name)?.value ?? "";
  // A copy's chart keeps its name but not its ids, which must stay unique on the page.
  const copy = (cell) => {
    const made = cell.cloneNode(true);
    for (const chart of made.querySelectorAll("svg[aria-labelledby]")) {
      chart.setAttribute("aria-label", chart.querySelector("title")?.textContent ?? "");
      chart.removeAttribute("aria-labelledby");
    }
    for (const named of made.querySelectorAll("[id]")) named.removeAttribute("id");
    return made;
  };
  let shown = "";
  const showSlice = (name) => {
    if (name === shown) return;
    shown = name;
    const slice = name ? document.getElementById(name) : null;
    for (const row of rows) {
      const other = slice?.querySelector(`tr[data-row="${row.dataset.row}"]`);
      const next = other ? parts(other).map(copy) : whole.get(row);
      parts(row).forEach((cell, i) => cell.replaceWith(next[i]));
    }
    // A column that the slice leaves empty orders nothing: the raw rank does then.
    const heads = [...table.tHead.rows[0].cells];
    const sorted = heads.findIndex((head) => head.hasAttribute("aria-sort"));
    if (sorted >= 0 && rows.every((row) => valueAt(row, sorted) === "")) {
      heads[sorted].removeAttribute("aria-sort");
      heads[rows[0].querySelector("[data-part=raw-rank]").cellIndex].setAttribute("aria-sort", "ascending");
    }
    sortRows(table);
  };
  const apply = () => {
    showSlice(picked("slice"));
    const text = picked("text").trim().toLowerCase();
    const verdict = picked("verdict");
    let count = 0;
    for (const row of rows) {
      const fits = row.dataset.name.includes(text) && (!verdict || row.dataset.verdict === verdict);
      row.hidden = !fits;
      count += fits;
    }
    const menu = form.elements.namedItem("slice");
    const where = shown ? `, on the prompts of ${menu.selectedOptions[0].text}` : "";
    form.querySelector(".count").textContent = `${count} of ${rows.length} shown${where}`;
    document.querySelector(".nobody").hidden = count > 0;
  };
  form.addEventListener("input", apply);
  form.addEventListener("reset", () => setTimeout(apply));
  form.addEventListener("submit", (event) => event.preventDefault());
  form.hidden = false;
  form.reset();
  apply();
}
