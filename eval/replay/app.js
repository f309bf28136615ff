// The page's state, its controls, and the handle `window.drive` for programs.

const S = {
  page: null, runs: [], maps: [], run: null, t: 0, end: 0, playing: false, rate: 1, split: false, beside: [], pointed: null, zoomed: false, notesClosed: false,
  view: { x: 0, y: 0, scale: 6 }, follow: true, headingUp: false, theme: "light", ratio: 1, width: 1, height: 1,
  layers: { plan: true, candidates: true, expert: true, recorded: true, route: true, trails: true, others: true, heat: true, hidden: true, shadow: true, events: true, names: false },
  colour: "role", shown: new Set(USUAL), chosen: null, hover: null, candidate: null, pinned: null, table: null, charts: [], rules: [], dirty: true, faults: [],
};

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
  if (S.playing) redraw(); else keepAddress();
}

function render() {
  const at = sampleAt(S.run, S.t);
  drawStage(S, { ctx: $("map").getContext("2d"), width: S.width, height: S.height, ratio: S.ratio });
  for (const chart of S.charts) drawChart(S, chart, at);
  drawRules(S);
  updateTiles(S, at);
  updateCandidates(S, at);
  markEvent(S);
  $("time").value = S.t;
  $("time").setAttribute("aria-valuetext", `${S.t.toFixed(1)} seconds`);
  $("clock").textContent = `${S.t.toFixed(2)} / ${S.end.toFixed(1)} s`;
}

function seek(t) {
  S.t = Math.min(Math.max(Number(t) || 0, 0), S.end);
  redraw();
}

// A time that the pointer is at; null when it left. Shown in all charts and on the map.
function point(time) {
  if (time === S.pointed) return;
  S.pointed = time;
  redraw();
}

function setPlaying(on) {
  if (on && S.t >= S.end - 1e-6) S.t = 0;
  if (on === S.playing) return;
  S.playing = on;
  lastFrame = performance.now();
  document.body.classList.toggle("playing", on);
  $("play").setAttribute("aria-label", on ? "Pause" : "Play");
  redraw();
}

function stepBy(samples) {
  setPlaying(false);
  const { i, w } = sampleAt(S.run, S.t), to = samples < 0 && w > 0 ? i + samples + 1 : i + samples;
  seek(S.run.times[Math.min(Math.max(to, 0), S.run.n - 1)]);
}

function setRun(index) {
  S.run = S.runs[Math.min(Math.max(Math.trunc(index) || 0, 0), S.runs.length - 1)];
  S.end = Math.max(...sameScene(S).map((r) => r.end));
  S.t = Math.min(S.t, S.end);
  S.chosen = S.hover = S.pointed = null;
  $("time").max = S.end;
  press("split", isSplit(S));
  fillTop(S);
  fillCandidates(S);
  fillScores(S);
  fillEvents(S);
  fillRules(S);
  fillAbout(S);
  refresh();
}

// After anything that changes what the still parts show: run, theme, layers, size.
function refresh() {
  fillLegend(S);
  fillCharts(S);
  resize();
}

function resize() {
  S.ratio = window.devicePixelRatio || 1;
  const canvas = $("map"), box = canvas.getBoundingClientRect();
  S.width = Math.max(box.width, 1);
  S.height = Math.max(box.height, 1);
  canvas.width = Math.round(S.width * S.ratio);
  canvas.height = Math.round(S.height * S.ratio);
  if (!S.zoomed) S.view.scale = usualScale();
  for (const chart of S.charts) {
    const own = chart.canvas.getBoundingClientRect();
    chart.width = Math.max(own.width, 60);
    chart.height = Math.max(own.height, 30);
    chart.canvas.width = Math.round(chart.width * S.ratio);
    chart.canvas.height = Math.round(chart.height * S.ratio);
    paintChart(S, chart);
  }
  if (!$("rules").hidden) for (const row of S.rules) paintRule(S, row);
  spaceTicks(S);
  // A canvas that changes its size is empty: it is drawn at once, not a frame later.
  render();
}

// About a hundred metres across a view; of a rover's world a third of that.
function usualScale() {
  const [P] = panesOf(S, S.width, S.height);
  if (S.run.rover) return Math.min(Math.max(Math.sqrt(P.width * P.height) / 38, 6), 30);
  return Math.min(Math.max(Math.sqrt(P.width * P.height) / 105, 3), 9);
}

function setTheme(theme) {
  S.theme = theme === "dark" ? "dark" : "light";
  document.documentElement.dataset.theme = S.theme;
  tintChips(S);
  if (S.run) { fillScores(S); refresh(); }
}

function press(id, on) { $(id).setAttribute("aria-pressed", String(on)); }

function setFollow(on) { S.follow = on; press("follow", on); redraw(); }

function setHeadingUp(on) { S.headingUp = on; press("turn", on); redraw(); }

function setSplit(on) {
  if (on && sameScene(S).length < 2) { toast("side by side needs two runs of one scenario"); return; }
  S.split = on;
  press("split", isSplit(S));
  const [P] = panesOf(S, S.width, S.height);
  if (P.split && (P.width < 420 || P.height < 460)) $("legend").open = false;
  refresh();
}

function fit() {
  let x0 = Infinity, x1 = -Infinity, y0 = Infinity, y1 = -Infinity;
  for (const { ego: { xy, length, known } } of sameScene(S)) {
    for (let i = 0; i < length; i++) {
      if (!known[i]) continue;
      x0 = Math.min(x0, xy[i]); x1 = Math.max(x1, xy[i]);
      y0 = Math.min(y0, xy[length + i]); y1 = Math.max(y1, xy[length + i]);
    }
  }
  if (x0 > x1) return;
  setFollow(false);
  setHeadingUp(false);
  const [P] = panesOf(S, S.width, S.height);
  S.zoomed = true;
  Object.assign(S.view, { x: (x0 + x1) / 2, y: (y0 + y1) / 2, scale: Math.min(P.width / (x1 - x0 + 50), P.height / (y1 - y0 + 50), 12) * (S.run.rover ? 1.7 : 1) });
  redraw();
}

function showHelp() { if ($("help").open) closeHelp(); else $("help").showModal(); }

// The closed window's button would keep the space bar.
function closeHelp() { $("help").close(); document.activeElement?.blur(); }

function bindControls() {
  const click = (id, action) => $(id).addEventListener("click", action);
  const toggleTheme = () => setTheme(S.theme === "dark" ? "light" : "dark"), toggleLegend = () => { $("legend").open = !$("legend").open; };
  for (const [id, action] of [
    ["play", () => setPlaying(!S.playing)], ["back", () => stepBy(-1)], ["ahead", () => stepBy(1)], ["before", () => nextEvent(-1)], ["after", () => nextEvent(1)],
    ["zoom-in", () => zoom(1.3)], ["zoom-out", () => zoom(1 / 1.3)], ["fit", fit], ["follow", () => setFollow(!S.follow)], ["turn", () => setHeadingUp(!S.headingUp)],
    ["split", () => setSplit(!isSplit(S))], ["link", copyLink], ["save", () => savePicture(S)], ["theme", toggleTheme], ["keys", showHelp],
    ["help-close", closeHelp], ["notes-close", () => { S.notesClosed = true; $("notes").hidden = true; }],
  ]) click(id, action);
  $("candidates").addEventListener("toggle", redraw);
  $("rules").addEventListener("toggle", resize);
  $("help").addEventListener("cancel", (e) => { e.preventDefault(); closeHelp(); });
  $("help").addEventListener("click", (e) => { if (e.target === $("help")) closeHelp(); });
  const slider = $("time");
  slider.addEventListener("input", () => { setPlaying(false); point(null); seek(slider.value); });
  slider.addEventListener("pointermove", (e) => { const box = slider.getBoundingClientRect(); if (!e.buttons && e.pointerType === "mouse") point(Math.min(Math.max((e.clientX - box.left - 8) / (box.width - 16), 0), 1) * S.end); });
  slider.addEventListener("pointerleave", () => point(null));
  $("rate").append(...[0.25, 0.5, 1, 2, 5].map((r) => el("option", { value: r }, `${r}\u00d7`)));
  $("rate").value = "1";
  $("rate").addEventListener("change", () => { S.rate = Number($("rate").value); });
  $("colour").append(...["role", "kind", "speed"].map((c) => el("option", { value: c }, c)));
  $("colour").addEventListener("change", () => { S.colour = $("colour").value; refresh(); });
  $("run").addEventListener("change", () => setRun(Number($("run").value)));
  const keys = {
    " ": () => setPlaying(!S.playing), Home: () => seek(0), End: () => seek(S.end), n: () => nextEvent(1), p: () => nextEvent(-1),
    "[": () => setRun(S.run.index - 1), "]": () => setRun(S.run.index + 1), "+": () => zoom(1.3), "=": () => zoom(1.3), "-": () => zoom(1 / 1.3),
    0: fit, f: () => setFollow(!S.follow), h: () => setHeadingUp(!S.headingUp), d: toggleTheme, s: () => setSplit(!isSplit(S)), l: toggleLegend,
    c: copyLink, e: () => savePicture(S), "?": showHelp,
  };
  for (let k = 1; k <= Math.min(S.runs.length, 9); k++) keys[k] = () => setRun(k - 1);
  document.addEventListener("keydown", (e) => {
    if (e.ctrlKey || e.metaKey || e.altKey || e.target.tagName === "SELECT" || ($("help").open && e.key !== "?")) return;
    const arrow = { ArrowLeft: -1, ArrowRight: 1 }[e.key];
    const action = arrow ? () => (e.shiftKey ? (setPlaying(false), seek(S.t + arrow)) : stepBy(arrow)) : keys[e.key];
    // A focused button keeps its own space.
    if (!action || (e.key === " " && ["BUTTON", "SUMMARY"].includes(e.target.tagName))) return;
    e.preventDefault();
    action();
  });
  new ResizeObserver(() => { if (S.run) resize(); }).observe($("stage"));
  const dark = matchMedia("(prefers-color-scheme: dark)");
  dark.addEventListener("change", () => setTheme(dark.matches ? "dark" : "light"));
  window.addEventListener("hashchange", applyFragment);
}

// What is drawn at the current time, in the scenario's coordinates; `egos` in pixels of the stage.
function state() {
  const run = S.run, at = sampleAt(run, S.t), [ox, oy] = run.offset, call = callAt(run, at.i);
  const moved = (p) => p && { ...p, x: p.x + ox, y: p.y + oy };
  const agents = run.agents.map((about, a) => [about, agentAt(run, a, at)]).filter(([, p]) => p).map(([about, p]) => ({ ...moved(p), ...about }));
  const plan = call < 0 ? null : { call, status: run.status[call] || "ok", points: [] };
  if (plan) for (let p = run.plan.start[call]; p < run.plan.start[call + 1]; p++) plan.points.push([run.plan.times[p], run.plan.xy[p] + ox, run.plan.xy[run.plan.times.length + p] + oy]);
  const egos = panesOf(S, S.width, S.height).map((P) => {
    const pose = poseOf(P.run.ego, P.at), centre = pose && centreOf(P.run, pose);
    return { run: P.run.index, at: centre && toScreen(P, centre.x, centre.y), ...(centre && { x: centre.x + ox, y: centre.y + oy }) };
  });
  return {
    t: S.t, sample: at.i, run: run.index, planner: run.label, scenario: run.scenario.id ?? null, ego: moved(poseOf(run.ego, at)), egos,
    expert: moved(poseOf(run.expert, at)), agents, plan, candidates: call >= 0 && call + 1 < run.candidates.start.length ? run.candidates.start[call + 1] - run.candidates.start[call] : 0,
    candidate: shownCandidate(S), heat: heatState(run, S.t), signals: S.maps[run.map]?.stops.map((s) => signalState(run, s.signal, at.i)) ?? [], pointed: S.pointed, view: { ...S.view, follow: S.follow, headingUp: S.headingUp, split: isSplit(S) },
    charts: S.charts.map((c) => c.name), rules: S.rules.map((r) => ({ name: r.name, said: r.said.textContent, bad: r.said.classList.contains("bad") })), notes: run.notes, faults: S.faults, playing: S.playing, theme: S.theme, layers: { ...S.layers },
  };
}

async function main() {
  S.page = await loadData();
  S.runs = S.page.runs.map((entry, i) => openRun(S.page, entry, i));
  S.maps = S.page.maps.map((entry) => (entry.terrain ? openTerrain : openMap)(S.page, entry));
  makeRunChoice(S);
  setTheme(matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
  $("legend").open = innerWidth > 900;
  $("link").hidden = location.protocol === "about:";
  bindControls();
  bindStage();
  makeTiles(S);
  S.dirty = false;
  setRun(0);
  applyFragment();
  window.drive = {
    seek, state, play: () => setPlaying(true), pause: () => setPlaying(false), run: setRun, runs: S.runs.map((r) => r.label), end: () => S.end,
    split: setSplit, link: () => `#${fragment()}`, frame: (t, width, height, type) => filmFrame(S, t, width, height, type),
  };
}

main().catch((error) => {
  S.faults.push(String(error));
  document.body.prepend(el("p", { class: "fault" }, String(error.message || error)));
});
