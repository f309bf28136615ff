// The list of all scenes: filters, sorting, details; and the scenes in which two planners differ most.

const STEP = 100, ZERO = 0.0005, APART = 0.25;
let D = null;
const ANEW = { find: "", family: "", tag: "", outcome: "", column: 0, sort: "", up: true, limit: STEP, paper: false };
const F = { ...ANEW };

const shaded = (column) => column < D.shaded;
const many = () => D.planners.length > 6 || D.planners.some(([name]) => name.length > 18);
const cellOf = (p, s) => D.cells[p][s];

function valueOf(p, s, column = F.column) {
  const cell = cellOf(p, s);
  return cell && !cell.x ? cell.v[column] ?? null : null;
}

function valuesOf(s, column = F.column) {
  return D.planners.map((_, p) => valueOf(p, s, column)).filter((v) => v !== null);
}

function show(value, column = F.column) {
  if (value === null || value === undefined) return "\u2013";
  return value.toFixed(shaded(column) ? 3 : 2);
}

function shadeOf(value, column = F.column) {
  return value === null || !shaded(column) ? "" : ` h${Math.round(10 * Math.min(Math.max(value, 0), 1))}`;
}

function spreadOf(s) {
  const values = valuesOf(s);
  return values.length > 1 ? Math.max(...values) - Math.min(...values) : null;
}

function pageOf(s, ...planners) {
  const page = D.scenes[s][3];
  const runs = planners.map((p) => cellOf(p, s)?.k).filter((k) => k !== undefined);
  if (!page || runs.length < planners.length) return null;
  return `${page}#run=${runs[0] ?? 0}${runs.length > 1 ? `&view=split&runs=${runs.join(",")}` : ""}`;
}

// A scenario's name, which lines may break behind its slashes and underscores.
function named(id) {
  const parts = id.split(/(?<=[/_])/).flatMap((part, k) => (k ? [el("wbr"), part] : [part]));
  return el("span", {}, ...parts);
}

function linked(text, page) { return page ? el("a", { href: page }, text) : text; }

// Filters

const OUTCOMES = {
  lost: (s) => valuesOf(s, 0).some((v) => v < 1 - ZERO),
  zero: (s) => valuesOf(s, 0).some((v) => v < ZERO),
  apart: (s) => { const v = valuesOf(s, 0); return v.length > 1 && Math.max(...v) - Math.min(...v) >= APART; },
  failed: (s) => D.cells.some((row) => row[s] && row[s].f && !row[s].x),
  dropped: (s) => D.cells.some((row) => row[s] && row[s].x),
};

function textOf(s) {
  const [id, family, tags] = D.scenes[s];
  const failures = D.cells.flatMap((row) => (row[s]?.f ? [row[s].f, D.reasons[row[s].r] ?? ""] : []));
  return [id, words(D.families[family]), ...tags.map((t) => D.tags[t]), ...failures.map(words)].join(" ").toLowerCase();
}

function fitting() {
  const wanted = F.find.trim().toLowerCase().split(/\s+/).filter(Boolean);
  const family = F.family === "" ? -1 : Number(F.family), tag = F.tag === "" ? -1 : Number(F.tag);
  const found = [];
  for (let s = 0; s < D.scenes.length; s++) {
    if (family >= 0 && D.scenes[s][1] !== family) continue;
    if (tag >= 0 && !D.scenes[s][2].includes(tag)) continue;
    if (F.outcome && !OUTCOMES[F.outcome](s)) continue;
    if (wanted.length) { const text = textOf(s); if (!wanted.every((w) => text.includes(w))) continue; }
    found.push(s);
  }
  return sorted(found);
}

function sorted(found) {
  if (F.sort === "") return found;
  const name = (s) => (F.sort === "family" ? D.families[D.scenes[s][1]] : D.scenes[s][0]);
  if (F.sort === "scenario" || F.sort === "family") return found.sort((a, b) => byText(name(a), name(b)) * (F.up ? 1 : -1));
  const key = F.sort === "spread" ? spreadOf : (s) => valueOf(Number(F.sort), s);
  const keys = new Map(found.map((s) => [s, key(s)]));
  return found.sort((a, b) => byNumber(keys.get(a), keys.get(b), F.up));
}

// The list

function headCell(text, sort, kind = "") {
  // Browsers repeat a table's head on each sheet of paper, but not the buttons in it.
  if (F.paper) return el("th", { scope: "col", class: kind }, el("span", {}, text));
  const order = F.sort === sort ? (F.up ? "ascending" : "descending") : null;
  const turn = () => {
    F.up = F.sort === sort ? !F.up : sort !== "spread";
    F.sort = sort;
    list();
    $("scenes").tHead.querySelector(`[data-sort="${sort}"]`).focus();
  };
  return el("th", { scope: "col", class: kind, "aria-sort": order }, el("button", { type: "button", class: "sort", "data-sort": sort, onclick: turn }, el("span", { title: text }, text)));
}

function runCell(p, s) {
  const cell = cellOf(p, s), value = valueOf(p, s);
  if (!cell) return el("td", { class: "n" }, "\u2013");
  const node = el("td", { class: `n${shadeOf(value)}`, title: D.reasons[cell.r] });
  node.append(linked(cell.x ? "dropped" : show(value), pageOf(s, p)));
  if (cell.f) {
    node.title = `${words(cell.f)}${cell.r === undefined ? "" : `: ${D.reasons[cell.r]}`}`;
    node.append(" ", el("span", { class: "fail", "aria-label": words(cell.f) }, many() ? "\u2715" : words(cell.f)));
  }
  return node;
}

function sceneRow(s) {
  const [id, family, tags] = D.scenes[s];
  const name = el("button", { type: "button", class: "open", "aria-expanded": "false" }, named(id));
  const row = el("tr", {}, el("th", { scope: "row" }, name), el("td", { class: "family" }, words(D.families[family]) || "other"));
  if (!many()) row.append(el("td", { class: "tags" }, tags.map((t) => words(D.tags[t])).join(", ")));
  row.append(...D.planners.map((_, p) => runCell(p, s)));
  if (D.planners.length > 1) { const spread = spreadOf(s); row.append(el("td", { class: "n muted" }, show(spread))); }
  name.addEventListener("click", () => {
    const open = name.getAttribute("aria-expanded") === "true";
    name.setAttribute("aria-expanded", String(!open));
    if (open) row.nextSibling.remove();
    else row.after(el("tr", { class: "details" }, el("td", { colspan: row.cells.length }, detailsOf(s))));
  });
  return row;
}

function detailsOf(s) {
  const [, family, tags, page, hash] = D.scenes[s];
  const rows = D.columns.map((column, c) => {
    const values = D.planners.map((_, p) => valueOf(p, s, c));
    return values.every((v) => v === null) ? null : el("tr", {}, el("th", { scope: "row" }, words(column)), ...values.map((v) => el("td", { class: `n${shadeOf(v, c)}` }, show(v, c))));
  });
  const times = D.planners.map((_, p) => cellOf(p, s)?.l ?? null);
  if (times.some((v) => v !== null)) rows.push(el("tr", {}, el("th", { scope: "row" }, "median call, ms"), ...times.map((v) => el("td", { class: "n" }, v === null ? "\u2013" : v.toFixed(2)))));
  const heads = [el("th", {}, ""), ...D.planners.map(([name]) => el("th", { scope: "col", class: "n" }, name))];
  const facts = [];
  D.planners.forEach(([name], p) => {
    const cell = cellOf(p, s);
    if (cell?.f || cell?.x) facts.push(el("p", {}, `${name}: ${words(cell.f ?? "dropped")}${cell.r === undefined ? "" : `, ${D.reasons[cell.r]}`}`));
  });
  const log = D.cells.map((row) => row[s]?.n).find(Boolean);
  if (page) facts.push(el("p", {}, el("a", { href: page }, "open the replay")));
  else if (log) facts.push(el("p", {}, "This scene has no replay yet; in the folder of this report, this writes one:"), el("pre", {}, `drive replay runs --filter /${log} -o scene.html`));
  facts.push(el("p", {}, `family: ${words(D.families[family]) || "other"}`));
  if (tags.length) facts.push(el("p", {}, `tags: ${tags.map((t) => words(D.tags[t])).join(", ")}`));
  if (hash) facts.push(el("p", { class: "muted" }, `content ${hash}`));
  return el("div", { class: "beside" }, el("div", {}, el("table", { class: "heat" }, el("thead", {}, el("tr", {}, ...heads)), el("tbody", {}, ...rows))), el("div", {}, ...facts));
}

function list() {
  const found = fitting(), table = $("scenes");
  table.className = many() ? "many" : "";
  const head = el("tr", {}, headCell("scenario", "scenario"), headCell("family", "family", "family"));
  if (!many()) head.append(el("th", { scope: "col", class: "tags" }, "tags"));
  head.append(...D.planners.map(([name], p) => headCell(name, String(p), "n")));
  if (D.planners.length > 1) head.append(headCell("spread", "spread", "n"));
  const means = D.planners.map((_, p) => {
    const values = found.map((s) => valueOf(p, s)).filter((v) => v !== null);
    const mean = values.length ? values.reduce((a, b) => a + b, 0) / values.length : null;
    return el("td", { class: `n${shadeOf(mean)}` }, show(mean));
  });
  const foot = el("tr", {}, el("th", { scope: "row" }, `mean of ${found.length === D.scenes.length ? "all" : "these"} ${found.length}`), el("td", { class: "family" }));
  if (!many()) foot.append(el("td", { class: "tags" }));
  foot.append(...means);
  if (D.planners.length > 1) foot.append(el("td"));
  const body = el("tbody", {}, ...found.slice(0, F.limit).map(sceneRow));
  table.replaceChildren(el("thead", {}, head), body, el("tfoot", {}, foot));
  $("shown").textContent = `${found.length} of ${D.scenes.length} scenarios`;
  const rest = found.length - Math.min(F.limit, found.length);
  $("more").hidden = $("every").hidden = rest <= 0;
  $("more").textContent = `show ${Math.min(STEP, rest)} more of ${rest}`;
  $("clear").hidden = !(F.find || F.family || F.tag || F.outcome || F.sort || F.column);
  remember();
}

// The filters in the address, so that what one sees can be sent on

function remember() {
  const told = new URLSearchParams();
  if (F.find) told.set("find", F.find);
  if (F.family !== "") told.set("family", D.families[F.family]);
  if (F.tag !== "") told.set("tag", D.tags[F.tag]);
  if (F.outcome) told.set("outcome", F.outcome);
  if (F.column) told.set("show", D.columns[F.column]);
  if (F.sort !== "") told.set("sort", `${F.sort}${F.up ? "" : "-"}`);
  const text = told.toString();
  // A page opened inside another one may not be allowed to; nothing depends on it.
  try { if (text || location.hash.includes("=")) history.replaceState(null, "", text ? `#${text}` : "#all"); } catch { return; }
}

function recall() {
  const told = new URLSearchParams(location.hash.slice(1)), place = (names, key) => { const k = told.has(key) ? names.indexOf(told.get(key)) : -1; return k < 0 ? "" : String(k); };
  F.find = told.get("find") ?? "";
  F.family = place(D.families, "family");
  F.tag = place(D.tags, "tag");
  F.outcome = told.get("outcome") in OUTCOMES ? told.get("outcome") : "";
  F.column = Number(place(D.columns, "show"));
  const sort = told.get("sort") ?? "", key = sort.replace(/-$/, "");
  F.sort = ["scenario", "family", "spread"].includes(key) || (key !== "" && D.planners[key]) ? key : "";
  F.up = !sort.endsWith("-");
  fill();
}

function fill() {
  for (const name of ["find", "family", "tag", "outcome", "column"]) $(name).value = String(F[name]);
}

// Scenes in which two planners differ most

function different() {
  const a = Number($("first").value), b = Number($("second").value);
  const found = [];
  let shared = 0;
  for (let s = 0; s < D.scenes.length; s++) {
    const x = valueOf(a, s, 0), y = valueOf(b, s, 0);
    if (x === null || y === null) continue;
    shared += 1;
    if (Math.abs(x - y) >= ZERO) found.push([s, x, y]);
  }
  found.sort((p, q) => Math.abs(q[1] - q[2]) - Math.abs(p[1] - p[2]) || byText(D.scenes[p[0]][0], D.scenes[q[0]][0]));
  const [first] = D.planners[a], [second] = D.planners[b];
  const rows = found.slice(0, 10).map(([s, x, y]) => {
    const both = pageOf(s, a, b);
    return el("tr", {}, el("th", { scope: "row" }, named(D.scenes[s][0])), el("td", { class: "family" }, words(D.families[D.scenes[s][1]]) || "other"),
      el("td", { class: `n${shadeOf(x, 0)}` }, linked(show(x, 0), pageOf(s, a))), el("td", { class: `n${shadeOf(y, 0)}` }, linked(show(y, 0), pageOf(s, b))),
      el("td", { class: "n" }, el("b", {}, `${x > y ? "+" : "\u2212"}${Math.abs(x - y).toFixed(3)}`)),
      el("td", { class: "wrap" }, causesOf(s, a, b)), el("td", {}, both ? el("a", { href: both }, "side by side") : "\u2013"));
  });
  const heads = ["scenario", "family", first, second, "difference", "where they differ", "replay"];
  $("different").replaceChildren(el("thead", {}, el("tr", {}, ...heads.map((h, k) => el("th", { scope: "col", class: k === 1 ? "family" : k > 1 && k < 5 ? "n" : "" }, h)))), el("tbody", {}, ...rows));
  $("different").hidden = !rows.length;
  $("same").hidden = rows.length > 0;
  $("same").textContent = a === b ? "Choose two planners." : !shared ? `No scene has a score of both ${first} and ${second}.` : `${first} and ${second} have the same score in every scene that both have.`;
}

function causesOf(s, a, b) {
  const found = [];
  for (let c = D.scores; c < D.shaded; c++) {
    const x = valueOf(a, s, c), y = valueOf(b, s, c);
    if (x !== null && y !== null && Math.abs(x - y) >= 0.05) found.push([Math.abs(x - y), `${words(D.columns[c])} ${x.toFixed(2)} / ${y.toFixed(2)}`]);
  }
  for (const p of [a, b]) { const f = cellOf(p, s).f; if (f) found.unshift([2, `${D.planners[p][0]}: ${words(f)}`]); }
  return found.sort((p, q) => q[0] - p[0]).slice(0, 4).map((f) => f[1]).join(", ");
}
