// The still part of a view: ground, roads, markings, crosswalks, buildings, stop lines and signals.

const SIGNALS = ["unknown", "green", "yellow", "red"];

function drawGrid(P) {
  const { ctx, view, C } = P, px = 1 / view.scale, reach = ((P.width + P.height) * px) / 2, step = reach > 400 ? 100 : 10;
  ctx.strokeStyle = C.grid;
  ctx.lineWidth = px;
  ctx.beginPath();
  for (let x = Math.ceil((view.x - reach) / step) * step; x < view.x + reach; x += step) { ctx.moveTo(x, view.y - reach); ctx.lineTo(x, view.y + reach); }
  for (let y = Math.ceil((view.y - reach) / step) * step; y < view.y + reach; y += step) { ctx.moveTo(view.x - reach, y); ctx.lineTo(view.x + reach, y); }
  ctx.stroke();
}

function drawRoads(P) {
  const { ctx, map, C } = P, px = 1 / P.view.scale, areas = map.areas;
  const edge = (path, width, colour) => { ctx.lineWidth = width; ctx.strokeStyle = colour; ctx.stroke(path); };
  const fill = (path, colour) => { ctx.fillStyle = colour; ctx.fill(path); };
  if (areas[5]) { edge(areas[5], Math.max(0.2, px), C.edge); fill(areas[5], C.walk); }
  edge(map.walk, Math.max(0.2, px), C.edge);
  fill(map.walk, C.walk);
  // Edges first and the ground over them: only the outer ones stay.
  const grounds = [0, 1, 2, 3].filter((k) => areas[k]), rim = Math.max(0.45, 2.2 * px);
  for (const k of grounds) edge(areas[k], rim, C.edge);
  for (const path of [map.road, map.parking, map.path]) edge(path, rim, C.edge);
  for (const k of grounds) fill(areas[k], k === 2 ? C.parking : C.road);
  fill(map.parking, C.parking);
  fill(map.road, C.road);
  edge(map.road, 0.06, C.road);
  fill(map.path, C.path);
  if (P.view.scale > 2.5) fill(map.arrows, C.arrow);
  // Maps without any paint show faintly where lanes end.
  if (!Object.keys(map.lines).length) { ctx.lineWidth = Math.max(0.1, px); ctx.strokeStyle = C.arrow; ctx.stroke(map.bounds); }
  const paint = Math.max(0.14, 1.1 * px);
  for (const [marking, path] of Object.entries(map.lines)) {
    if (marking === "1") ctx.setLineDash([3, 4.5]);
    if (marking === "4") { edge(path, paint * 3, C.paint); edge(path, paint, C.road); } else edge(path, marking === "3" ? paint * 1.4 : paint, marking === "3" ? C.edge : C.paint);
    ctx.setLineDash([]);
  }
  ctx.globalAlpha = 0.9;
  fill(map.bars, C.paint);
  ctx.globalAlpha = 1;
  for (const stop of map.stops) {
    if (stop.signal < 0) { drawGiveWay(P, stop, px); continue; }
    const state = signalState(P.run, stop.signal, P.at.i);
    ctx.strokeStyle = state < 0 ? C.paint : C[SIGNALS[state]];
    ctx.lineWidth = state < 0 ? Math.max(0.4, 2 * px) : Math.max(0.6, 3 * px);
    ctx.beginPath();
    ctx.moveTo(stop.ax, stop.ay);
    ctx.lineTo(stop.bx, stop.by);
    ctx.stroke();
  }
  if (areas[6]) drawBuildings(P, areas[6], px);
}

// Teeth that point at who has to wait; from afar a broken line.
function drawGiveWay({ ctx, C }, { ax, ay, bx, by }, px) {
  const length = Math.hypot(bx - ax, by - ay), near = px < 0.2, count = Math.max(Math.round(length / (near ? 0.75 : 1.1)), 2);
  const ux = (bx - ax) / count, uy = (by - ay) / count, deep = near ? 0.75 : Math.max(0.5, 2 * px), share = near ? 0.8 : 0.6;
  // The segment runs from the lane's left to its right: the traffic comes from this side of it.
  const vx = (deep * (by - ay)) / (length || 1), vy = (deep * (ax - bx)) / (length || 1);
  ctx.fillStyle = C.paint;
  ctx.beginPath();
  for (let k = 0; k < count; k++) {
    const x = ax + (k + (1 - share) / 2) * ux, y = ay + (k + (1 - share) / 2) * uy, ex = share * ux, ey = share * uy;
    ctx.moveTo(x, y);
    ctx.lineTo(x + ex, y + ey);
    if (near) ctx.lineTo(x + ex / 2 + vx, y + ey / 2 + vy);
    else { ctx.lineTo(x + ex + vx, y + ey + vy); ctx.lineTo(x + vx, y + vy); }
    ctx.closePath();
  }
  ctx.fill();
}

function drawBuildings(P, path, px) {
  const { ctx, C, view } = P, turned = -view.turn, size = 1.2;
  ctx.save();
  // The shadow falls to the lower right of the picture, whichever way the map is turned.
  ctx.translate(size * (Math.cos(turned) + Math.sin(turned)), size * (Math.sin(turned) - Math.cos(turned)));
  ctx.fillStyle = C.shade;
  ctx.fill(path);
  ctx.restore();
  ctx.fillStyle = C.occluder;
  ctx.fill(path);
  ctx.lineWidth = Math.max(0.15, 1.4 * px);
  ctx.strokeStyle = C.wall;
  ctx.stroke(path);
}

function signalState(run, signal, i) {
  const at = signal * run.n + i;
  return signal < 0 || at >= run.signals.length ? -1 : Math.min(run.signals[at], 3);
}

// Red is a square, yellow a triangle, green a disc: the colour alone would not do.
function drawSignals(P) {
  const { ctx, C } = P, size = Math.min(Math.max(P.view.scale * 0.8, 4), 8);
  if (P.view.scale < 1.2) return;
  for (const stop of P.map.stops) {
    const state = signalState(P.run, stop.signal, P.at.i);
    if (state < 0) continue;
    const [x, y] = toScreen(P, stop.bx, stop.by);
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

function drawGoal(P) {
  const { ctx, run } = P, goal = run.scenario.goal, px = 1 / P.view.scale;
  if (!goal || typeof goal !== "object") return;
  ctx.strokeStyle = P.C.route;
  ctx.lineWidth = Math.max(0.3, 2 * px);
  ctx.beginPath();
  const ring = goal.polygon;
  if (Array.isArray(ring) && ring.length > 2) { ring.forEach((p) => ctx.lineTo(p[0] - run.offset[0], p[1] - run.offset[1])); ctx.closePath(); }
  else if (Array.isArray(goal.position)) {
    const x = goal.position[0] - run.offset[0], y = goal.position[1] - run.offset[1], r = Math.max(1.5, 6 * px);
    for (const f of [1, 0.45]) { ctx.moveTo(x + f * r, y); ctx.arc(x, y, f * r, 0, 7); }
  }
  ctx.stroke();
}

function drawScale(P) {
  const steps = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000], metres = steps.find((m) => m * P.view.scale > 50) || 2000;
  const { ctx, C } = P, x = P.left + 14, y = P.top + P.height - 14, width = metres * P.view.scale;
  ctx.lineJoin = "miter";
  for (const [colour, thick] of [[C.casing, 4], [C.text, 1.5]]) {
    ctx.strokeStyle = colour;
    ctx.lineWidth = thick;
    ctx.beginPath();
    ctx.moveTo(x, y - 5);
    ctx.lineTo(x, y);
    ctx.lineTo(x + width, y);
    ctx.lineTo(x + width, y - 5);
    ctx.stroke();
  }
  label(P, `${metres} m`, x + width + 6, y, "left");
}

// Words on the map, readable over anything.
function label(P, text, x, y, align = "center", colour = P.C.text, weight = "") {
  const { ctx, C } = P;
  ctx.font = `${weight} 11px ${FONT}`;
  ctx.textAlign = align;
  ctx.textBaseline = "alphabetic";
  ctx.lineJoin = "round";
  ctx.lineWidth = 3;
  ctx.strokeStyle = C.casing;
  ctx.strokeText(text, x, y);
  ctx.fillStyle = colour;
  ctx.fillText(text, x, y);
}
