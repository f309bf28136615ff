// Sorting of the tables that stand whole in the page.

function bindSorting() {
  for (const table of document.querySelectorAll("table.sortable")) {
    const body = table.tBodies[0], heads = [...table.tHead.rows[0].cells];
    heads.forEach((head, column) => {
      const button = el("button", { type: "button", class: "sort" }, ...head.childNodes);
      head.append(button);
      button.addEventListener("click", () => sortBy(body, heads, head, column));
    });
  }
}

function sortBy(body, heads, head, column) {
  const numbers = [...body.rows].some((row) => row.cells[column].dataset.v !== undefined);
  // Of figures one looks for the largest first, of names for the first.
  const up = head.hasAttribute("aria-sort") ? head.getAttribute("aria-sort") !== "ascending" : !numbers;
  for (const h of heads) h.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", up ? "ascending" : "descending");
  const key = (row) => row.cells[column].dataset.v, text = (row) => row.cells[column].textContent;
  const rows = [...body.rows].sort((a, b) => {
    if (!numbers) return byText(text(a), text(b)) * (up ? 1 : -1);
    return byNumber(key(a), key(b), up);
  });
  body.append(...rows);
}

const collator = new Intl.Collator("en", { numeric: true });

function byText(a, b) { return collator.compare(a, b); }

// What has no number stands last either way.
function byNumber(a, b, up) {
  const missing = (v) => v === undefined || v === null;
  if (missing(a) || missing(b)) return missing(a) - missing(b);
  return (Number(a) - Number(b)) * (up ? 1 : -1);
}
