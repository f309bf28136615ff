// Everything beside the map that is words. Text from data only ever becomes text nodes.

const $ = (id) => document.getElementById(id);

function el(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [key, value] of Object.entries(attributes)) {
    if (key === "class") node.className = value; else if (key.startsWith("on")) node.addEventListener(key.slice(2), value); else node.setAttribute(key, value);
  }
  node.append(...children.filter((c) => c !== null).map((c) => (c instanceof Node ? c : String(c))));
  return node;
}

function swatchOf(S, run) {
  const node = el("i", { class: "swatch" });
  node.style.background = runColour(S, run.index);
  return node;
}

function scoreOf(entry) { return entry && typeof entry === "object" ? entry.score : entry; }

function nameOfRun(S, run) {
  const several = new Set(S.runs.map((r) => r.scene)).size > 1, twins = S.runs.filter((r) => r.label === run.label && r.scene === run.scene);
  return `${several ? `${run.scenario.id ?? "run"} \u2013 ` : ""}${run.label}${twins.length > 1 ? ` #${twins.indexOf(run) + 1}` : ""}`;
}

function fillTop(S) {
  const run = S.run, scenario = run.scenario;
  $("title").textContent = scenario.id ?? "run";
  const traffic = run.traffic && typeof run.traffic === "object" ? run.traffic.name ?? JSON.stringify(run.traffic) : run.traffic;
  const parts = [run.label, traffic ? `traffic ${traffic}` : "", run.seed === null ? "" : `seed ${run.seed}`, ...(scenario.tags || [])];
  $("subtitle").textContent = parts.filter(Boolean).join(" \u00b7 ");
  // Where chips tell each run's score, no badge repeats it.
  const badges = (S.runs.length > 1 && S.runs.length <= 6 ? [] : Object.entries(run.scores)).map(([name, s]) => el("span", { class: "badge score" }, `${name} ${figure(scoreOf(s), 3)}`));
  if (run.failure) badges.push(el("span", { class: "badge bad" }, String(run.failure.class ?? run.failure).replaceAll("_", " ")));
  if (run.planner.privileged) badges.push(el("span", { class: "badge", title: "This planner sees the log" }, "privileged"));
  $("badges").replaceChildren(...badges);
  $("notes").hidden = !run.notes.length || S.notesClosed;
  $("notes-text").replaceChildren(...run.notes.map((text) => el("p", {}, text)));
  document.querySelectorAll("#chips button").forEach((chip, k) => chip.setAttribute("aria-pressed", String(k === run.index)));
  $("run").value = String(run.index);
  const others = sameScene(S).length > 1;
  $("split").hidden = !others;
  document.body.classList.toggle("many", S.runs.length > 1);
}

// Chips for a few runs, a list for many.
function makeRunChoice(S) {
  const many = S.runs.length > 6, one = S.runs.length < 2;
  $("run-choice").hidden = !many;
  $("chips").hidden = many || one;
  if (many) $("run").append(...S.runs.map((r) => el("option", { value: r.index }, nameOfRun(S, r))));
  else if (!one) $("chips").append(...S.runs.map((r) => el("button", { type: "button", onclick: () => setRun(r.index) }, el("i", { class: `swatch run${r.index}` }), el("span", {}, nameOfRun(S, r)), el("small", {}, chipScore(r)))));
}

function chipScore(run) {
  const [entry] = Object.values(run.scores);
  return run.failure ? "failed" : entry === undefined ? "" : figure(scoreOf(entry), 3);
}

function tintChips(S) {
  S.runs.forEach((r) => { const node = document.querySelector(`#chips .run${r.index}`); if (node) node.style.background = runColour(S, r.index); });
}

// First what makes up the score, in the score's own order; then the bare figures. One column a run.
function fillScores(S) {
  const runs = [S.run, ...shownRuns(S).filter((r) => r !== S.run)].sort((a, b) => a.index - b.index);
  const names = [...new Set(runs.flatMap((r) => Object.keys(r.scores)))];
  const tables = names.map((name) => {
    const entries = runs.map((r) => r.scores[name]), first = entries.find((e) => e && typeof e === "object") || {};
    const metrics = [...new Set(entries.flatMap((e) => Object.keys((e && e.metrics) || {})))];
    const told = Array.isArray(first.scored) ? first.scored.filter((m) => metrics.includes(m)) : metrics, rest = metrics.filter((m) => !told.includes(m));
    const row = (metric, judged) => el("tr", {}, el("td", {}, metric.replaceAll("_", " ")), ...runs.map((r, k) => metricCell(S, r, metric, entries[k], judged)));
    const total = el("tr", { class: "total" }, el("td", {}, name), ...entries.map((e) => el("td", { class: "number" }, figure(scoreOf(e), 3))));
    const head = runs.length > 1 ? [el("thead", {}, el("tr", {}, el("th", {}), ...runs.map((r) => el("th", { class: "number", title: nameOfRun(S, r) }, swatchOf(S, r), nameOfRun(S, r).split(" \u2013 ").pop()))))] : [];
    const parts = [el("table", { class: "plain" }, ...head, el("tbody", {}, total, ...told.map((m) => row(m, true))))];
    if (rest.length) parts.push(el("h3", {}, "Figures, not scored"), el("table", { class: "plain" }, el("tbody", {}, ...rest.map((m) => row(m, false)))));
    // Columns as wide in both tables; more of them than fit are scrolled to, their names stay.
    for (const part of parts) if (part.tagName === "TABLE") part.style.minWidth = `${116 + 58 * runs.length}px`;
    return el("div", { class: "scroll" }, ...parts);
  });
  $("scores").replaceChildren(el("h2", {}, "Metrics"), ...(tables.length ? tables : [el("p", { class: "muted" }, "This run has not been evaluated.")]));
}

// A value; where the metric went wrong, a button that leads to the moment.
function metricCell(S, run, metric, entry, judged) {
  const value = ((entry && entry.metrics) || {})[metric], number = value && typeof value === "object" ? value.score : value;
  const truth = metric === "goal_reached" || typeof number === "boolean", known = typeof number === "number" || typeof number === "boolean";
  const text = !known ? (metric.startsWith("min_") ? "none" : "n/a") : truth ? (number ? "yes" : "no") : figure(number, 3);
  const grade = !judged || typeof number !== "number" ? "" : number <= 0 ? " bad" : number < 1 ? " less" : "";
  const moment = run.moments[metric], wrong = known && moment !== undefined && (judged ? number < 1 : metric.startsWith("min_"));
  const cell = el("td", { class: `number${grade}` });
  if (!wrong) { cell.append(text); return cell; }
  const go = el("button", { type: "button", class: "jump", title: `To ${moment.toFixed(1)} s, where this went ${judged ? "wrong" : "lowest"}`, onclick: () => { if (run !== S.run) setRun(run.index); setPlaying(false); seek(moment); } }, `${text} `, el("small", {}, `${moment.toFixed(1)} s`));
  cell.append(go);
  return cell;
}

function fillAbout(S) {
  const run = S.run, scenario = run.scenario;
  const rows = [
    ["scenario", scenario.id], ["family", scenario.family], ["content hash", scenario.hash],
    ["samples", `${run.n}, every ${scenario.dt ?? "?"} s`], ["road users", run.agents.length],
    ["expert", scenario.expert_source], ["planner", run.label], ["traffic", run.traffic],
    ["planners see", run.visibility],
    ["their sensor", run.detection === "none" ? null : run.detection], ["seed", run.seed],
  ];
  const shown = rows.filter(([, v]) => v !== undefined && v !== null && v !== "").map(([k, v]) => el("tr", {}, el("th", {}, k), el("td", {}, typeof v === "object" ? JSON.stringify(v) : v)));
  const blocks = [["configuration", run.planner.config], ["provenance", scenario.provenance], ["rover", run.rover], ["vehicle", run.vehicle], ["versions", run.versions]]
    .filter(([, v]) => v && Object.keys(v).length)
    .map(([title, value]) => el("div", {}, el("h3", {}, title), el("pre", {}, JSON.stringify(value, null, 1))));
  $("about-body").replaceChildren(el("table", { class: "plain" }, el("tbody", {}, ...shown)), ...blocks);
}

const TILES = ["speed", "acceleration", "steering", "time to collision", "planning", "plan"];

function makeTiles(S) {
  S.tiles = TILES.map((name) => {
    const value = el("b", {}, "\u2013"), title = el("span", {}, name), tile = el("div", { class: "tile" }, title, value);
    $("tiles").append(tile);
    return { tile, value, name: title };
  });
}

function updateTiles(S, at) {
  const run = S.run, i = at.i, call = callAt(run, i), ttc = run.values.get("time_to_collision");
  const status = call < 0 ? "none" : run.status[call] || "ok", low = ttc && ttc[i] <= 0.95;
  const rover = run.rover ? roverTexts(run, i, call, status) : null;
  const texts = rover ? rover.texts : [
    `${figure(run.ego.speed[i], 2)} m/s`, `${figure(run.ego.acceleration[i], 2)} m/s²`,
    `${figure((run.ego.steering[i] * 180) / Math.PI, 1)}°`, ttc ? (Number.isFinite(ttc[i]) ? `${figure(ttc[i], 2)} s` : "none") : "\u2013",
    call < 0 ? "\u2013" : `${figure(1000 * run.plan.latency[call], 2)} ms`, status,
  ];
  texts.forEach((text, k) => { S.tiles[k].value.textContent = text; });
  S.tiles.forEach((tile, k) => { tile.name.textContent = (run.rover ? ROVER_TILES : TILES)[k]; });
  S.tiles[3].tile.classList.toggle("bad", Boolean(low));
  S.tiles[1].tile.classList.toggle("bad", Boolean(rover && rover.over));
  S.tiles[5].tile.classList.toggle("bad", status !== "ok" && status !== "none");
  const said = run.reasons[String(call)] || "";
  S.tiles[5].tile.title = said;
  $("said").textContent = said;
  $("said").hidden = !said;
}
