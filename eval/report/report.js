"use strict";
// Sorting and finding; everything can be read without this script.

for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0], heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const up = head.getAttribute("aria-sort") !== "ascending";
      for (const h of heads) h.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", up ? "ascending" : "descending");
      const key = (row) => row.cells[column].dataset.v;
      const text = (row) => row.cells[column].textContent;
      const numbers = [...body.rows].some((row) => key(row) !== undefined);
      const rows = [...body.rows].sort((a, b) => {
        if (!numbers) return text(a).localeCompare(text(b), "en", { numeric: true }) * (up ? 1 : -1);
        if (key(a) === undefined || key(b) === undefined) return (key(a) === undefined) - (key(b) === undefined);
        return (Number(key(a)) - Number(key(b))) * (up ? 1 : -1);
      });
      body.append(...rows);
    });
  });
}

const find = document.getElementById("find"), family = document.getElementById("family");
function filter() {
  const rows = [...document.getElementById("scenarios").tBodies[0].rows], wanted = find.value.trim().toLowerCase();
  let count = 0;
  for (const row of rows) {
    const fits = row.cells[0].textContent.toLowerCase().includes(wanted) && (!family.value || row.cells[1].textContent === family.value);
    row.hidden = !fits;
    count += fits;
  }
  document.getElementById("shown").textContent = `${count} of ${rows.length}`;
}
find.addEventListener("input", filter);
family.addEventListener("change", filter);
filter();
