// The page's state, its controls, and the handle `window.drive` for programs.

const S = {
  page: null, runs: [], maps: [], run: null, t: 0, end: 0, playing: false, rate: 1,
  view: { x: 0, y: 0, scale: 6, turn: 0 }, follow: true, headingUp: false, theme: "light", ratio: 1, width: 1, height: 1,
  layers: { plan: true, candidates: true, ghost: true, route: true, trails: true, others: true, names: false, legend: innerWidth > 900 },
  colour: "role", more: "", chosen: null, hover: null, charts: [], dirty: true, faults: [],
};
const LAYER_NAMES = { plan: "plan", candidates: "candidates", ghost: "expert", route: "route", trails: "trails", others: "other runs", names: "names", legend: "legend" };

window.addEventListener("error", (e) => S.faults.push(String(e.message)));
window.addEventListener("unhandledrejection", (e) => S.faults.push(String(e.reason)));
document.addEventListener("securitypolicyviolation", (e) => S.faults.push(`refused ${e.violatedDirective} ${e.blockedURI}`));

function redraw() {
  if (S.dirty) return;
  S.dirty = true;
  requestAnimationFrame(frame);
}

let lastFrame = 0;
function frame(now) {
  S.dirty = false;
  if (S.playing) {
    const passed = Math.min((now - lastFrame) / 1000, 0.2) * S.rate;
    if (passed > 0) S.t = Math.min(S.t + passed, S.end);
    if (S.t >= S.end) setPlaying(false);
  }
  lastFrame = now;
  render();
  if (S.playing) redraw();
}

function render() {
  const at = sampleAt(S.run, S.t), pose = poseOf(S.run.ego, at);
  if (pose && S.follow) { S.view.x = pose.x; S.view.y = pose.y; }
  S.view.turn = pose && S.headingUp ? Math.PI / 2 - pose.heading : 0;
  drawMap(S, $("map").getContext("2d"), at);
  for (const chart of S.charts) drawChart(S, chart, at);
  updateTiles(S, at);
  $("time").value = S.t;
  $("time").setAttribute("aria-valuetext", `${S.t.toFixed(1)} seconds`);
  $("clock").textContent = `${S.t.toFixed(2)} / ${S.end.toFixed(1)} s`;
}

function seek(t) {
  S.t = Math.min(Math.max(Number(t) || 0, 0), S.end);
  redraw();
}

function setPlaying(on) {
  if (on && S.t >= S.end - 1e-6) S.t = 0;
  S.playing = on;
  lastFrame = performance.now();
  $("play").textContent = on ? "\u23f8" : "\u25b6";
  $("play").setAttribute("aria-label", on ? "Pause" : "Play");
  redraw();
}

function stepBy(samples) {
  setPlaying(false);
  const { i, w } = sampleAt(S.run, S.t);
  const to = samples < 0 && w > 0 ? i + samples + 1 : i + samples;
  seek(S.run.times[Math.min(Math.max(to, 0), S.run.n - 1)]);
}

function nextEvent(direction) {
  const times = S.run.events.map((e) => e.time).filter((t) => (t - S.t) * direction > 1e-3);
  if (times.length) { setPlaying(false); seek(direction > 0 ? Math.min(...times) : Math.max(...times)); }
}

function setRun(index) {
  S.run = S.runs[Math.min(Math.max(index, 0), S.runs.length - 1)];
  S.end = Math.max(...S.runs.filter((r) => r.scene === S.run.scene).map((r) => r.end));
  S.t = Math.min(S.t, S.end);
  S.chosen = S.hover = null;
  $("run").value = String(S.run.index);
  $("time").max = S.end;
  const names = [...S.run.values.keys()].filter((n) => n !== "time_to_collision");
  $("more").replaceChildren(el("option", { value: "" }, "none"), ...names.map((n) => el("option", { value: n }, n.replaceAll("_", " "))));
  if (!names.includes(S.more)) S.more = "";
  $("more").value = S.more;
  $("more-label").hidden = !names.length;
  fillTop(S);
  fillScores(S);
  fillEvents(S, (t) => { setPlaying(false); seek(t); });
  fillAbout(S);
  refresh();
}

// After anything that changes what the still parts show: run, theme, layers, size.
function refresh() {
  fillLegend(S);
  const defs = chartsOf(S);
  S.charts = defs.map((def) => {
    const canvas = el("canvas", { role: "img", "aria-label": `${def.name} over time` }), value = el("span", { class: "value" });
    const box = el("div", { class: "chart" }, el("header", {}, el("span", { class: "name" }, def.name), value), canvas);
    const range = rangeOf(def), chart = { ...def, range, canvas, value, box, still: document.createElement("canvas") };
    const point = (e) => { if (e.buttons & 1 || e.type === "pointerdown") { setPlaying(false); seek(chartScale(S, chart).time(e.clientX - canvas.getBoundingClientRect().left)); } };
    canvas.addEventListener("pointerdown", (e) => { canvas.setPointerCapture(e.pointerId); point(e); });
    canvas.addEventListener("pointermove", point);
    return chart;
  });
  $("charts").replaceChildren(...S.charts.map((c) => c.box));
  resize();
}

function resize() {
  S.ratio = window.devicePixelRatio || 1;
  const canvas = $("map"), box = canvas.getBoundingClientRect();
  S.width = Math.max(box.width, 1);
  S.height = Math.max(box.height, 1);
  canvas.width = Math.round(S.width * S.ratio);
  canvas.height = Math.round(S.height * S.ratio);
  for (const chart of S.charts) {
    const own = chart.canvas.getBoundingClientRect();
    chart.width = Math.max(own.width, 60);
    chart.height = Math.max(own.height, 40);
    chart.canvas.width = Math.round(chart.width * S.ratio);
    chart.canvas.height = Math.round(chart.height * S.ratio);
    paintChart(S, chart);
  }
  // A canvas that changes its size is empty: it is drawn at once, not a frame later.
  if (S.run) render();
}

function setTheme(theme) {
  S.theme = theme === "dark" ? "dark" : "light";
  document.documentElement.dataset.theme = S.theme;
  if (S.run) refresh();
}

function press(id, on) { $(id).setAttribute("aria-pressed", String(on)); }

function setFollow(on) { S.follow = on; press("follow", on); redraw(); }

function setHeadingUp(on) { S.headingUp = on; press("turn", on); redraw(); }

function zoom(factor, px = S.width / 2, py = S.height / 2) {
  const before = toWorld(S, px, py);
  S.view.scale = Math.min(Math.max(S.view.scale * factor, 0.05), 200);
  const after = toWorld(S, px, py);
  S.view.x += before[0] - after[0];
  S.view.y += before[1] - after[1];
  redraw();
}

function fit() {
  const { xy, length, known } = S.run.ego;
  let x0 = Infinity, x1 = -Infinity, y0 = Infinity, y1 = -Infinity;
  for (let i = 0; i < length; i++) {
    if (!known[i]) continue;
    x0 = Math.min(x0, xy[i]); x1 = Math.max(x1, xy[i]);
    y0 = Math.min(y0, xy[length + i]); y1 = Math.max(y1, xy[length + i]);
  }
  if (x0 > x1) return;
  setFollow(false);
  setHeadingUp(false);
  S.view.x = (x0 + x1) / 2;
  S.view.y = (y0 + y1) / 2;
  S.view.scale = Math.min(S.width / (x1 - x0 + 50), S.height / (y1 - y0 + 50), 12);
  redraw();
}

function agentUnder(px, py) {
  const [x, y] = toWorld(S, px, py), at = sampleAt(S.run, S.t);
  let best = null, nearest = Infinity;
  for (let a = 0; a < S.run.agents.length; a++) {
    const p = agentAt(S.run, a, at);
    if (!p) continue;
    const away = Math.hypot(p.x - x, p.y - y);
    if (away < Math.max(p.length / 2, 8 / S.view.scale) && away < nearest) { nearest = away; best = a; }
  }
  return best;
}

function showTip(px, py) {
  const a = S.hover ?? S.chosen, tip = $("tip");
  tip.hidden = S.hover === null;
  if (S.hover === null) return;
  const at = sampleAt(S.run, S.t), p = agentAt(S.run, a, at), about = S.run.agents[a], ego = poseOf(S.run.ego, at);
  if (!p) { tip.hidden = true; return; }
  const away = ego ? Math.hypot(p.x - ego.x, p.y - ego.y) : NaN;
  tip.textContent = `${about.kind} ${about.id}\n${about.kind === "static" ? "" : `driven by ${about.controller}\n`}${figure(p.speed, 1)} m/s, ${figure(away, 1)} m away\n${figure(p.length, 2)} x ${figure(p.width, 2)} m`;
  tip.style.left = `${Math.min(px + 14, S.width - 180)}px`;
  tip.style.top = `${Math.min(py + 14, S.height - 80)}px`;
}

function bindMap() {
  const canvas = $("map"), held = new Map();
  let moved = 0, spread = 0;
  const place = (e) => { const box = canvas.getBoundingClientRect(); return [e.clientX - box.left, e.clientY - box.top]; };
  const gap = () => { const [a, b] = [...held.values()]; return Math.hypot(a[0] - b[0], a[1] - b[1]); };
  canvas.addEventListener("pointerdown", (e) => { canvas.setPointerCapture(e.pointerId); held.set(e.pointerId, place(e)); moved = 0; if (held.size === 2) spread = gap(); });
  canvas.addEventListener("pointermove", (e) => {
    const now = place(e), was = held.get(e.pointerId);
    if (!was) {
      const found = agentUnder(...now);
      if (found !== S.hover) { S.hover = found; redraw(); }
      showTip(...now);
      return;
    }
    held.set(e.pointerId, now);
    if (held.size === 2) { const wide = gap(); if (spread > 0) zoom(wide / spread, ...now); spread = wide; return; }
    moved += Math.hypot(now[0] - was[0], now[1] - was[1]);
    if (moved < 4) return;
    setFollow(false);
    const a = toWorld(S, ...was), b = toWorld(S, ...now);
    S.view.x += a[0] - b[0];
    S.view.y += a[1] - b[1];
    redraw();
  });
  const release = (e) => {
    if (held.delete(e.pointerId) && e.type === "pointerup" && moved < 4) { S.chosen = agentUnder(...place(e)); redraw(); }
  };
  canvas.addEventListener("pointerup", release);
  canvas.addEventListener("pointercancel", release);
  canvas.addEventListener("pointerleave", () => { S.hover = null; $("tip").hidden = true; redraw(); });
  canvas.addEventListener("wheel", (e) => { e.preventDefault(); const p = S.follow ? [] : place(e); zoom(Math.exp(-e.deltaY * 0.0015), ...p); }, { passive: false });
  canvas.addEventListener("dblclick", () => setFollow(true));
}

function bindControls() {
  const click = (id, action) => $(id).addEventListener("click", action);
  click("play", () => setPlaying(!S.playing));
  click("back", () => stepBy(-1));
  click("ahead", () => stepBy(1));
  click("zoom-in", () => zoom(1.3));
  click("zoom-out", () => zoom(1 / 1.3));
  click("fit", fit);
  click("follow", () => setFollow(!S.follow));
  click("turn", () => setHeadingUp(!S.headingUp));
  click("theme", () => setTheme(S.theme === "dark" ? "light" : "dark"));
  $("time").addEventListener("input", () => { setPlaying(false); seek($("time").value); });
  $("rate").append(...[0.25, 0.5, 1, 2, 5].map((r) => el("option", { value: r }, `${r}\u00d7`)));
  $("rate").value = "1";
  $("rate").addEventListener("change", () => { S.rate = Number($("rate").value); });
  $("colour").append(...["role", "kind", "speed"].map((c) => el("option", { value: c }, c)));
  $("colour").addEventListener("change", () => { S.colour = $("colour").value; refresh(); });
  $("more").addEventListener("change", () => { S.more = $("more").value; refresh(); });
  $("run").addEventListener("change", () => setRun(Number($("run").value)));
  for (const [name, title] of Object.entries(LAYER_NAMES)) {
    if (name === "others" && S.runs.length < 2) continue;
    const button = el("button", { type: "button", "aria-pressed": S.layers[name] }, title);
    button.addEventListener("click", () => { S.layers[name] = !S.layers[name]; button.setAttribute("aria-pressed", S.layers[name]); refresh(); });
    $("layers").append(button);
  }
  const keys = {
    " ": () => setPlaying(!S.playing), Home: () => seek(0), End: () => seek(S.end), n: () => nextEvent(1), p: () => nextEvent(-1),
    "[": () => setRun(S.run.index - 1), "]": () => setRun(S.run.index + 1), "+": () => zoom(1.3), "=": () => zoom(1.3), "-": () => zoom(1 / 1.3),
    0: fit, f: () => setFollow(!S.follow), h: () => setHeadingUp(!S.headingUp), d: () => setTheme(S.theme === "dark" ? "light" : "dark"),
  };
  document.addEventListener("keydown", (e) => {
    if (e.ctrlKey || e.metaKey || e.altKey || e.target.tagName === "SELECT") return;
    const arrow = { ArrowLeft: -1, ArrowRight: 1 }[e.key];
    const action = arrow ? () => (e.shiftKey ? (setPlaying(false), seek(S.t + arrow)) : stepBy(arrow)) : keys[e.key];
    // A focused button keeps its own space.
    if (!action || (e.key === " " && (e.target.tagName === "BUTTON" || e.target.tagName === "SUMMARY"))) return;
    e.preventDefault();
    action();
  });
  new ResizeObserver(resize).observe($("stage"));
  const dark = matchMedia("(prefers-color-scheme: dark)");
  dark.addEventListener("change", () => setTheme(dark.matches ? "dark" : "light"));
  window.addEventListener("hashchange", applyFragment);
}

// #t=5.0&run=2 opens the page at a moment; theme, scale, fit and selftest serve programs.
function applyFragment() {
  const wanted = new URLSearchParams(location.hash.slice(1));
  if (wanted.has("theme")) setTheme(wanted.get("theme"));
  if (wanted.has("run")) setRun(Number(wanted.get("run")) || 0);
  if (wanted.has("scale")) S.view.scale = Math.min(Math.max(Number(wanted.get("scale")) || 6, 0.05), 200);
  if (wanted.has("t")) seek(wanted.get("t"));
  if (wanted.has("fit")) fit();
  if (wanted.has("selftest")) {
    const old = $("selftest");
    if (old) old.remove();
    render();
    document.body.append(el("pre", { id: "selftest" }, JSON.stringify(state())));
  }
  redraw();
}

// What is drawn at the current time, in the scenario's coordinates.
function state() {
  const run = S.run, at = sampleAt(run, S.t), [ox, oy] = run.offset, call = callAt(run, at.i);
  const moved = (p) => p && { ...p, x: p.x + ox, y: p.y + oy };
  const agents = [];
  for (let a = 0; a < run.agents.length; a++) {
    const p = agentAt(run, a, at);
    if (p) agents.push({ ...moved(p), ...run.agents[a] });
  }
  const plan = call < 0 ? null : { call, status: run.status[call] || "ok", points: [] };
  if (plan) for (let p = run.plan.start[call]; p < run.plan.start[call + 1]; p++) plan.points.push([run.plan.times[p], run.plan.xy[p] + ox, run.plan.xy[run.plan.times.length + p] + oy]);
  return {
    t: S.t, sample: at.i, run: run.index, planner: run.label, scenario: run.scenario.id ?? null, ego: moved(poseOf(run.ego, at)),
    expert: moved(poseOf(run.expert, at)), agents, plan, candidates: call >= 0 && call + 1 < run.candidates.start.length ? run.candidates.start[call + 1] - run.candidates.start[call] : 0,
    signals: S.maps[run.map]?.stops.map((s) => signalState(run, s.signal, at.i)) ?? [],
    charts: S.charts.map((c) => c.name), notes: run.notes, faults: S.faults,
  };
}

async function main() {
  S.page = await loadData();
  S.runs = S.page.runs.map((entry, i) => openRun(S.page, entry, i));
  S.maps = S.page.maps.map((entry) => openMap(S.page, entry));
  const several = new Set(S.runs.map((r) => r.scene)).size > 1;
  $("run").append(...S.runs.map((r) => el("option", { value: r.index }, several ? `${r.scenario.id} - ${r.label}` : r.label)));
  $("run-choice").hidden = S.runs.length < 2;
  setTheme(matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
  bindControls();
  bindMap();
  makeTiles(S);
  S.dirty = false;
  setRun(0);
  applyFragment();
  window.drive = { seek, state, play: () => setPlaying(true), pause: () => setPlaying(false), run: setRun, runs: S.runs.map((r) => r.label) };
}

main().catch((error) => {
  S.faults.push(String(error));
  document.body.prepend(el("p", { class: "fault" }, String(error.message || error)));
});
