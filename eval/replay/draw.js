// The map and everything on it, on one canvas. Colours are those of Okabe and Ito, told apart by all eyes.

const PALETTES = {
  light: {
    ground: "#e9ecea", road: "#c2c8cf", path: "#d3dacb", walk: "#dcdde0", edge: "#98a1ab", paint: "#ffffff", centre: "#adb5be",
    area: "#bac1c9", occluder: "#a8937c", text: "#1b1f24", muted: "#57616d", ghost: "#3a424b", second: "#0072b2", route: "#e3b505",
    grid: "#dde1e3", outline: "#1b1f24", glass: "rgba(255,255,255,.75)", panel: "#ffffff", line: "#d5dae1",
    red: "#c8321a", yellow: "#e0a800", green: "#00936b", unknown: "#7a848f",
  },
  dark: {
    ground: "#12171c", road: "#2c343c", path: "#2b352f", walk: "#242a30", edge: "#55606b", paint: "#aeb8c2", centre: "#414b55",
    area: "#363f48", occluder: "#5f5140", text: "#e4e8ed", muted: "#98a3af", ghost: "#c3ccd5", second: "#6cb8ea", route: "#c9a92c",
    grid: "#1b2228", outline: "#05070a", glass: "rgba(10,14,18,.6)", panel: "#161b21", line: "#2b333c",
    red: "#ff6a4d", yellow: "#f0c93a", green: "#2fc796", unknown: "#98a3af",
  },
};
const RUN_COLOURS = {
  light: ["#d55e00", "#6a35b0", "#007f5c", "#b8326f", "#7a6200", "#0f8599", "#8a4b20", "#3f4fc4"],
  dark: ["#f07a26", "#b48cf2", "#2fc796", "#ef7fb0", "#d6b941", "#49c4d8", "#c98b5e", "#8e9bff"],
};
const CONTROLLER_COLOURS = { log: "#7d8793", IDM: "#3c8fc9", MOBIL: "#56b4e9", control: "#cc79a7", trajectory: "#b59b00" };
const KIND_COLOURS = {
  vehicle: "#3c8fc9", truck: "#2f6fa8", bus: "#5f6fc0", motorcycle: "#56b4e9", bicycle: "#cc79a7", pedestrian: "#e69f00",
  static: "#8d8478", unknown: "#7d8793",
};
const VULNERABLE = new Set(["pedestrian", "bicycle"]);
const SIGNALS = ["unknown", "green", "yellow", "red"];

function runColour(i) { return RUN_COLOURS[S.theme][i % RUN_COLOURS[S.theme].length]; }

function speedColour(v) {
  const f = Math.min(Math.max(v / 20, 0), 1); // dark blue over green to yellow
  const stops = [[68, 1, 84], [49, 104, 142], [53, 183, 121], [253, 231, 37]];
  const k = Math.min(Math.floor(f * 3), 2), w = f * 3 - k;
  return `rgb(${stops[k].map((c, n) => Math.round(c + w * (stops[k + 1][n] - c))).join(",")})`;
}

function agentColour(S, about, speed) {
  if (S.colour === "speed") return speedColour(speed);
  if (S.colour === "kind") return KIND_COLOURS[about.kind] || KIND_COLOURS.unknown;
  if (VULNERABLE.has(about.kind) || about.kind === "static") return KIND_COLOURS[about.kind];
  return CONTROLLER_COLOURS[about.controller] || CONTROLLER_COLOURS.log;
}

function boxPath(ctx, p) {
  const c = Math.cos(p.heading), s = Math.sin(p.heading), l = p.length / 2, w = p.width / 2;
  ctx.beginPath();
  for (const [u, v] of [[l, w], [-l, w], [-l, -w], [l, -w]]) ctx.lineTo(p.x + u * c - v * s, p.y + u * s + v * c);
  ctx.closePath();
}

// A wedge over the front third says which way a box looks.
function wedge(ctx, p) {
  const c = Math.cos(p.heading), s = Math.sin(p.heading), l = p.length / 2, w = p.width * 0.36;
  ctx.beginPath();
  for (const [u, v] of [[l * 0.82, 0], [l * 0.22, w], [l * 0.22, -w]]) ctx.lineTo(p.x + u * c - v * s, p.y + u * s + v * c);
  ctx.closePath();
}

function tracePoints(ctx, xy, total, from, to) {
  ctx.beginPath();
  for (let p = from; p < to; p++) ctx.lineTo(xy[p], xy[total + p]);
}

function toScreen(S, x, y) {
  const v = S.view, c = Math.cos(v.turn), s = Math.sin(v.turn), dx = x - v.x, dy = y - v.y;
  return [S.width / 2 + v.scale * (dx * c - dy * s), S.height / 2 - v.scale * (dx * s + dy * c)];
}

function toWorld(S, px, py) {
  const v = S.view, c = Math.cos(v.turn), s = Math.sin(v.turn);
  const u = (px - S.width / 2) / v.scale, w = -(py - S.height / 2) / v.scale;
  return [v.x + u * c + w * s, v.y - u * s + w * c];
}

function drawMap(S, ctx, at) {
  const C = PALETTES[S.theme], v = S.view, px = 1 / v.scale;
  ctx.setTransform(S.ratio, 0, 0, S.ratio, 0, 0);
  ctx.fillStyle = C.ground;
  ctx.fillRect(0, 0, S.width, S.height);
  ctx.translate(S.width / 2, S.height / 2);
  ctx.scale(v.scale, -v.scale);
  ctx.rotate(v.turn);
  ctx.translate(-v.x, -v.y);
  ctx.lineJoin = "round";
  const run = S.run, map = run.map === null ? null : S.maps[run.map];
  if (map) drawRoads(S, ctx, map, C, px, at); else drawGrid(S, ctx, C, px);
  if (S.layers.route && run.route.length >= 4) {
    tracePoints(ctx, run.route, run.route.length / 2, 0, run.route.length / 2);
    ctx.lineWidth = Math.max(0.9, 3 * px);
    ctx.strokeStyle = C.route;
    ctx.globalAlpha = 0.4;
    ctx.stroke();
    ctx.globalAlpha = 1;
  }
  drawGoal(ctx, run, C, px);
  if (S.layers.trails) drawTrails(S, ctx, at, px);
  if (S.layers.ghost) drawGhosts(S, ctx, at, C, px);
  drawAgents(S, ctx, at, C, px);
  for (const other of S.runs) if (other !== run && other.scene === run.scene && S.layers.others) drawOther(S, ctx, other, px);
  const call = callAt(run, at.i);
  if (call >= 0) drawPlan(S, ctx, call, C, px);
  drawEgo(S, ctx, at, C, px);
  ctx.setTransform(S.ratio, 0, 0, S.ratio, 0, 0);
  if (map) drawSignals(S, ctx, map, at, C);
  if (S.layers.names) drawNames(S, ctx, at, C);
  drawScale(S, ctx, C);
}

function drawGrid(S, ctx, C, px) {
  const reach = (S.width + S.height) * px / 2, step = reach > 400 ? 100 : 10;
  ctx.strokeStyle = C.grid;
  ctx.lineWidth = px;
  ctx.beginPath();
  for (let x = Math.ceil((S.view.x - reach) / step) * step; x < S.view.x + reach; x += step) { ctx.moveTo(x, S.view.y - reach); ctx.lineTo(x, S.view.y + reach); }
  for (let y = Math.ceil((S.view.y - reach) / step) * step; y < S.view.y + reach; y += step) { ctx.moveTo(S.view.x - reach, y); ctx.lineTo(S.view.x + reach, y); }
  ctx.stroke();
}

function drawRoads(S, ctx, map, C, px, at) {
  const edge = (path, width, colour) => { ctx.lineWidth = width; ctx.strokeStyle = colour; ctx.stroke(path); };
  const fill = (path, colour, rule) => { ctx.fillStyle = colour; ctx.fill(path, rule || "nonzero"); };
  const areas = map.areas;
  if (areas[6]) { fill(areas[6], C.occluder); edge(areas[6], 1.5 * px, C.edge); }
  if (areas[5]) fill(areas[5], C.walk);
  fill(map.walk, C.walk);
  // Edges first and the ground over them: only the outer ones stay.
  const grounds = [0, 1, 2, 3].filter((k) => areas[k]);
  for (const k of grounds) edge(areas[k], Math.max(0.5, 2 * px), C.edge);
  edge(map.road, Math.max(0.5, 2 * px), C.edge);
  for (const k of grounds) fill(areas[k], k === 2 ? C.area : C.road);
  fill(map.road, C.road);
  edge(map.road, 0.06, C.road);
  fill(map.path, C.path);
  ctx.setLineDash([1, 3]);
  edge(map.centre, Math.max(0.06, 0.7 * px), C.centre);
  ctx.setLineDash([]);
  const paint = Math.max(0.14, 1.1 * px);
  for (const [marking, path] of Object.entries(map.lines)) {
    if (marking === "1") ctx.setLineDash([3, 4.5]);
    if (marking === "4") { edge(path, paint * 3, C.paint); edge(path, paint, C.road); } else edge(path, marking === "3" ? paint * 1.4 : paint, marking === "3" ? C.edge : C.paint);
    ctx.setLineDash([]);
  }
  ctx.globalAlpha = 0.85;
  fill(map.bars, C.paint);
  ctx.globalAlpha = 1;
  for (const stop of map.stops) {
    const state = signalState(S.run, stop.signal, at.i);
    ctx.strokeStyle = state < 0 ? C.paint : C[SIGNALS[state]];
    ctx.lineWidth = state < 0 ? Math.max(0.35, 2 * px) : Math.max(0.6, 3 * px);
    ctx.beginPath();
    ctx.moveTo(stop.ax, stop.ay);
    ctx.lineTo(stop.bx, stop.by);
    ctx.stroke();
  }
}

function signalState(run, signal, i) {
  const at = signal * run.n + i;
  return signal < 0 || at >= run.signals.length ? -1 : Math.min(run.signals[at], 3);
}

// Red is a square, yellow a triangle, green a disc: the colour alone would not do.
function drawSignals(S, ctx, map, at, C) {
  const size = Math.min(Math.max(S.view.scale * 0.8, 4), 9);
  for (const stop of map.stops) {
    const state = signalState(S.run, stop.signal, at.i);
    if (state < 0 || S.view.scale < 1.2) continue;
    const [x, y] = toScreen(S, stop.bx, stop.by);
    ctx.beginPath();
    if (state === 3) ctx.rect(x - size, y - size, 2 * size, 2 * size);
    else if (state === 2) { ctx.moveTo(x, y - size * 1.2); ctx.lineTo(x + size * 1.1, y + size * 0.8); ctx.lineTo(x - size * 1.1, y + size * 0.8); ctx.closePath(); }
    else ctx.arc(x, y, size, 0, 7);
    ctx.fillStyle = C[SIGNALS[state]];
    ctx.fill();
    ctx.lineWidth = 1.5;
    ctx.strokeStyle = C.panel;
    ctx.stroke();
  }
}

function drawGoal(ctx, run, C, px) {
  const goal = run.scenario.goal;
  if (!goal || typeof goal !== "object") return;
  ctx.strokeStyle = C.route;
  ctx.lineWidth = 2 * px;
  ctx.beginPath();
  const ring = goal.polygon;
  if (Array.isArray(ring) && ring.length > 2) { ring.forEach((p) => ctx.lineTo(p[0] - run.offset[0], p[1] - run.offset[1])); ctx.closePath(); }
  else if (Array.isArray(goal.position)) ctx.arc(goal.position[0] - run.offset[0], goal.position[1] - run.offset[1], Math.max(1.5, 5 * px), 0, 7);
  ctx.stroke();
}

function drawTrails(S, ctx, at, px) {
  const run = S.run, from = Math.max(0, at.i - 30);
  ctx.lineWidth = Math.max(0.12, 1.2 * px);
  ctx.globalAlpha = 0.45;
  run.agents.forEach((about, a) => {
    const row = a * run.n;
    if (!run.cars.valid[row + at.i]) return;
    ctx.strokeStyle = agentColour(S, about, run.cars.speed[row + at.i]);
    ctx.beginPath();
    for (let i = from; i <= at.i; i++) if (run.cars.valid[row + i]) ctx.lineTo(run.cars.x[row + i], run.cars.y[row + i]);
    ctx.stroke();
  });
  ctx.globalAlpha = 0.7;
  ctx.lineWidth = Math.max(0.35, 1.6 * px);
  for (const one of S.runs) {
    if (one.scene !== run.scene || (one !== run && !S.layers.others)) continue;
    ctx.strokeStyle = runColour(one.index);
    tracePoints(ctx, one.ego.xy, one.n, 0, Math.min(at.i + 1, one.n));
    ctx.stroke();
  }
  ctx.globalAlpha = 1;
}

// Where the expert, or the recorded driver, was at this time; and the whole of its way, faint.
function referenceOf(run) {
  if (run.expert.length) return { track: run.expert, name: `expert (${run.scenario.expert_source || "reference"})` };
  return run.logged.length ? { track: run.logged, name: "recorded driver" } : null;
}

function drawGhosts(S, ctx, at, C, px) {
  const run = S.run, reference = referenceOf(run);
  if (!reference) return;
  ctx.strokeStyle = C.ghost;
  ctx.setLineDash([6 * px, 5 * px]);
  ctx.lineWidth = 1.2 * px;
  ctx.globalAlpha = 0.5;
  tracePoints(ctx, reference.track.xy, reference.track.length, 0, reference.track.length);
  ctx.stroke();
  ctx.globalAlpha = 0.9;
  ctx.lineWidth = 1.6 * px;
  ctx.setLineDash([4 * px, 3 * px]);
  const pose = poseOf(reference.track, at);
  if (pose) { boxPath(ctx, centreOf(run, pose)); ctx.stroke(); }
  ctx.setLineDash([]);
  ctx.globalAlpha = 1;
}

function drawAgents(S, ctx, at, C, px) {
  const run = S.run;
  for (let a = 0; a < run.agents.length; a++) {
    const p = agentAt(run, a, at);
    if (!p) continue;
    const about = run.agents[a], chosen = a === S.chosen || a === S.hover;
    ctx.fillStyle = agentColour(S, about, p.speed);
    ctx.strokeStyle = chosen ? C.text : C.outline;
    ctx.lineWidth = (chosen ? 2.5 : 0.8) * px;
    if (about.kind === "pedestrian") { ctx.beginPath(); ctx.arc(p.x, p.y, Math.max(0.5 * Math.max(p.length, p.width), 3 * px), 0, 7); }
    else boxPath(ctx, p);
    ctx.fill();
    ctx.stroke();
    if (about.kind === "static") continue;
    ctx.fillStyle = C.glass;
    wedge(ctx, p);
    ctx.fill();
  }
}

function drawPlan(S, ctx, call, C, px) {
  const run = S.run, plan = run.plan, colour = runColour(run.index);
  if (S.layers.candidates && call + 1 < run.candidates.start.length) {
    const points = run.candidatePoints, flat = run.candidates.xy, total = flat.length / 2;
    ctx.strokeStyle = C.text;
    ctx.globalAlpha = 0.7;
    ctx.lineWidth = Math.max(0.08, 1.2 * px);
    for (let k = run.candidates.start[call]; k < run.candidates.start[call + 1]; k++) {
      tracePoints(ctx, flat, total, k * points, (k + 1) * points);
      ctx.stroke();
    }
    ctx.globalAlpha = 1;
  }
  if (!S.layers.plan) return;
  const from = plan.start[call], to = plan.start[call + 1], total = plan.times.length;
  const good = (run.status[call] || "ok") === "ok";
  ctx.strokeStyle = colour;
  ctx.lineWidth = Math.max(0.4, 2.6 * px);
  if (!good) ctx.setLineDash([1.2, 0.8]);
  ctx.globalAlpha = 0.9;
  tracePoints(ctx, plan.xy, total, from, to);
  ctx.stroke();
  ctx.setLineDash([]);
  ctx.fillStyle = colour;
  for (let p = from, next = plan.times[from] + 1; p < to; p++) {
    if (plan.times[p] < next - 1e-6) continue;
    next += 1;
    ctx.beginPath();
    ctx.arc(plan.xy[p], plan.xy[total + p], Math.max(0.4, 2.6 * px), 0, 7);
    ctx.fill();
  }
  ctx.globalAlpha = 1;
}

function drawOther(S, ctx, other, px) {
  const pose = poseOf(other.ego, sampleAt(other, S.t));
  if (!pose) return;
  ctx.strokeStyle = runColour(other.index);
  ctx.lineWidth = 2 * px;
  boxPath(ctx, centreOf(other, pose));
  ctx.globalAlpha = S.t > other.end + 1e-6 ? 0.35 : 1;
  ctx.stroke();
  ctx.globalAlpha = 1;
}

function drawEgo(S, ctx, at, C, px) {
  const pose = poseOf(S.run.ego, at);
  if (!pose) return;
  const centre = centreOf(S.run, pose);
  ctx.fillStyle = runColour(S.run.index);
  ctx.strokeStyle = C.outline;
  ctx.lineWidth = 1.4 * px;
  boxPath(ctx, centre);
  ctx.fill();
  ctx.stroke();
  ctx.fillStyle = "#ffffff";
  wedge(ctx, centre);
  ctx.fill();
}

function drawNames(S, ctx, at, C) {
  if (S.view.scale < 2) return;
  ctx.font = "11px system-ui, sans-serif";
  ctx.textAlign = "center";
  ctx.lineWidth = 3;
  ctx.strokeStyle = C.panel;
  ctx.fillStyle = C.text;
  S.run.agents.forEach((about, a) => {
    const p = agentAt(S.run, a, at);
    if (!p) return;
    const [x, y] = toScreen(S, p.x, p.y);
    ctx.strokeText(about.id, x, y - 10);
    ctx.fillText(about.id, x, y - 10);
  });
}

function drawScale(S, ctx, C) {
  const steps = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000], metres = steps.find((m) => m * S.view.scale > 60) || 2000;
  const x = 14, y = S.height - 14, width = metres * S.view.scale;
  ctx.strokeStyle = ctx.fillStyle = C.text;
  ctx.lineWidth = 1.5;
  ctx.beginPath();
  ctx.moveTo(x, y - 5);
  ctx.lineTo(x, y);
  ctx.lineTo(x + width, y);
  ctx.lineTo(x + width, y - 5);
  ctx.stroke();
  ctx.font = "11px system-ui, sans-serif";
  ctx.textAlign = "left";
  ctx.fillText(`${metres} m`, x + width + 6, y);
}
