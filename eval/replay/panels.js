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

function fillTop(S) {
  const run = S.run, scenario = run.scenario;
  $("title").textContent = scenario.id ?? "run";
  const parts = [run.label, run.traffic ? `traffic ${typeof run.traffic === "object" ? run.traffic.name ?? JSON.stringify(run.traffic) : run.traffic}` : "", run.seed === null ? "" : `seed ${run.seed}`, ...(scenario.tags || [])];
  $("subtitle").textContent = parts.filter(Boolean).join(" · ");
  const badges = Object.entries(run.scores).map(([name, s]) => el("span", { class: "badge score" }, `${name} ${figure(scoreOf(s), 3)}`));
  if (run.failure) badges.push(el("span", { class: "badge bad" }, String(run.failure.class ?? run.failure).replaceAll("_", " ")));
  if (run.planner.privileged) badges.push(el("span", { class: "badge", title: "This planner sees the log" }, "privileged"));
  $("badges").replaceChildren(...badges);
  $("notes").replaceChildren(...run.notes.map((text) => el("p", {}, text)));
}

function scoreOf(entry) { return entry && typeof entry === "object" ? entry.score : entry; }

// First what makes up the score, in the score's own order; then the bare figures, each in its unit.
function fillScores(S) {
  const tables = Object.entries(S.run.scores).map(([name, entry]) => {
    const metrics = (entry && entry.metrics) || {}, told = (entry && Array.isArray(entry.scored) && entry.scored) || null;
    const scored = told ? told.filter((m) => m in metrics) : Object.keys(metrics), rest = Object.keys(metrics).filter((m) => !scored.includes(m));
    const row = (metric, judged) => {
      const value = metrics[metric], number = value && typeof value === "object" ? value.score : value;
      const grade = !judged || typeof number !== "number" ? "" : number <= 0 ? " bad" : number < 1 ? " less" : "";
      const text = typeof number === "boolean" ? (number ? "yes" : "no") : typeof number === "number" ? figure(number, 3) : "not applicable";
      return el("tr", {}, el("td", {}, metric.replaceAll("_", " ")), el("td", { class: `number${grade}` }, metric === "goal_reached" && typeof number === "number" ? (number ? "yes" : "no") : text));
    };
    const total = el("tr", { class: "total" }, el("td", {}, name), el("td", { class: "number" }, figure(scoreOf(entry), 3)));
    const parts = [el("table", { class: "plain" }, el("tbody", {}, total, ...scored.map((m) => row(m, true))))];
    if (rest.length) parts.push(el("h3", {}, "Figures, not scored"), el("table", { class: "plain" }, el("tbody", {}, ...rest.map((m) => row(m, false)))));
    return el("div", {}, ...parts);
  });
  $("scores").replaceChildren(el("h2", {}, "Metrics"), ...(tables.length ? tables : [el("p", { class: "muted" }, "This run has not been evaluated.")]));
}

function eventClass(e) { return e.grave ? "bad" : "plan"; }

function fillEvents(S, seek) {
  const events = S.run.events;
  const rows = events.map((e) => el("button", { type: "button", onclick: () => seek(e.time) }, el("time", {}, `${e.time.toFixed(1)} s`), el("span", {}, [e.kind.replaceAll("_", " "), e.text].filter(Boolean).join(": "))));
  $("events").replaceChildren(...(rows.length ? [el("h2", {}, "Events"), ...rows] : []));
  const ticks = events.map((e) => {
    const tick = el("button", { type: "button", class: eventClass(e), title: `${e.time.toFixed(1)} s  ${e.kind.replaceAll("_", " ")}  ${e.text}`, "aria-label": `${e.kind} at ${e.time.toFixed(1)} s`, onclick: () => seek(e.time) });
    tick.style.left = `${(100 * e.time) / Math.max(S.end, 1e-3)}%`;
    return tick;
  });
  $("ticks").replaceChildren(...ticks);
}

function fillAbout(S) {
  const run = S.run, scenario = run.scenario;
  const rows = [
    ["scenario", scenario.id], ["family", scenario.family], ["content hash", scenario.hash],
    ["samples", `${run.n}, every ${scenario.dt ?? "?"} s`], ["road users", run.agents.length],
    ["expert", scenario.expert_source], ["planner", run.label], ["traffic", run.traffic], ["seed", run.seed],
  ];
  const shown = rows.filter(([, v]) => v !== undefined && v !== null && v !== "").map(([k, v]) => el("tr", {}, el("th", {}, k), el("td", {}, typeof v === "object" ? JSON.stringify(v) : v)));
  const blocks = [["configuration", run.planner.config], ["provenance", scenario.provenance], ["vehicle", run.vehicle], ["versions", run.versions]]
    .filter(([, v]) => v && Object.keys(v).length)
    .map(([title, value]) => el("div", {}, el("h2", {}, title), el("pre", {}, JSON.stringify(value, null, 1))));
  $("about-body").replaceChildren(el("table", { class: "plain" }, el("tbody", {}, ...shown)), ...blocks);
}

function swatch(S, paint) {
  const canvas = el("canvas", {});
  canvas.width = 24 * S.ratio;
  canvas.height = 12 * S.ratio;
  const ctx = canvas.getContext("2d");
  ctx.scale(S.ratio, S.ratio);
  paint(ctx, PALETTES[S.theme]);
  return canvas;
}

function fillLegend(S) {
  $("legend").hidden = !S.layers.legend;
  const run = S.run, rows = [];
  const block = (colour) => (ctx) => { ctx.fillStyle = colour; ctx.fillRect(3, 1, 18, 10); };
  const line = (colour, dash, width) => (ctx) => { ctx.strokeStyle = colour; ctx.lineWidth = width; ctx.setLineDash(dash); ctx.beginPath(); ctx.moveTo(1, 6); ctx.lineTo(23, 6); ctx.stroke(); };
  const add = (paint, text) => rows.push(el("div", {}, swatch(S, paint), el("span", {}, text)));
  add(block(runColour(run.index)), `ego: ${run.label}`);
  if (S.layers.others) for (const r of S.runs) {
    if (r !== run && r.scene === run.scene) add((ctx) => { ctx.strokeStyle = runColour(r.index); ctx.lineWidth = 2; ctx.strokeRect(4, 2, 16, 8); }, r.label);
  }
  if (S.layers.plan && run.plan.times.length) add(line(runColour(run.index), [], 3), "plan, a dot a second");
  if (S.layers.candidates && run.candidates.xy.length) add((ctx, C) => line(C.text, [], 1.2)(ctx), "candidates");
  const reference = referenceOf(run);
  if (S.layers.ghost && reference) add((ctx, C) => line(C.ghost, [4, 3], 1.5)(ctx), reference.name);
  if (S.layers.route && run.route.length) add((ctx, C) => { ctx.globalAlpha = 0.4; line(C.route, [], 6)(ctx); }, "route");
  if (S.colour === "speed") {
    add((ctx) => { for (let x = 0; x < 18; x++) { ctx.fillStyle = speedColour((x / 17) * 20); ctx.fillRect(3 + x, 1, 1.5, 10); } }, "0 to 20 m/s and above");
  } else {
    const seen = new Map();
    for (const about of run.agents) {
      const special = S.colour === "kind" || VULNERABLE.has(about.kind) || about.kind === "static";
      const name = special ? about.kind : `driven by ${about.controller}`;
      seen.set(name, { colour: agentColour(S, about, 0), count: (seen.get(name)?.count || 0) + 1 });
    }
    for (const [name, { colour, count }] of [...seen].sort()) add(block(colour), `${name} (${count})`);
  }
  $("legend").replaceChildren(...rows);
}

const TILES = ["speed", "acceleration", "steering", "time to collision", "planning", "plan"];

function makeTiles(S) {
  S.tiles = TILES.map((name) => {
    const value = el("b", {}, "-"), tile = el("div", { class: "tile" }, el("span", {}, name), value);
    $("tiles").append(tile);
    return { tile, value };
  });
}

function updateTiles(S, at) {
  const run = S.run, i = at.i, call = callAt(run, i);
  const ttc = run.values.get("time_to_collision");
  const status = call < 0 ? "-" : run.status[call] || "ok";
  const texts = [
    `${figure(run.ego.speed[i], 2)} m/s`, `${figure(run.ego.acceleration[i], 2)} m/s²`,
    `${figure((run.ego.steering[i] * 180) / Math.PI, 1)}°`, ttc ? (Number.isFinite(ttc[i]) ? `${figure(ttc[i], 2)} s` : "none") : "-",
    call < 0 ? "-" : `${figure(1000 * run.plan.latency[call], 2)} ms`, status,
  ];
  texts.forEach((text, k) => { S.tiles[k].value.textContent = text; });
  S.tiles[5].tile.classList.toggle("bad", status !== "ok" && status !== "-");
  S.tiles[5].tile.title = run.reasons[String(call)] || "";
}
