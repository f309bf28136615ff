// What moves: road users, the ego, its plan and candidates, the expert and the recorded driver.

const BRAKING = -0.6; // m/s², from here on the brake lights burn

function boxPath(ctx, p, grow = 0) {
  const c = Math.cos(p.heading), s = Math.sin(p.heading), l = p.length / 2 + grow, w = p.width / 2 + grow;
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

function brakeLights(P, p) {
  const { ctx } = P, c = Math.cos(p.heading), s = Math.sin(p.heading), back = -p.length / 2, deep = Math.max(0.35, 2.5 / P.view.scale);
  ctx.fillStyle = P.C.brake;
  for (const side of [1, -1]) {
    ctx.beginPath();
    for (const [u, v] of [[back - deep * 0.3, 0.5], [back + deep, 0.5], [back + deep, 0.18], [back - deep * 0.3, 0.18]]) {
      const w = side * v * p.width;
      ctx.lineTo(p.x + u * c - w * s, p.y + u * s + w * c);
    }
    ctx.fill();
  }
}

function tracePoints(ctx, xy, total, from, to) {
  ctx.beginPath();
  for (let p = from; p < to; p++) ctx.lineTo(xy[p], xy[total + p]);
}

function drawRoute(P) {
  const { ctx, run } = P;
  if (!P.layers.route || run.route.length < 4) return;
  tracePoints(ctx, run.route, run.route.length / 2, 0, run.route.length / 2);
  ctx.lineWidth = Math.max(0.9, 3 / P.view.scale);
  ctx.strokeStyle = P.C.route;
  ctx.globalAlpha = 0.4;
  ctx.stroke();
  ctx.globalAlpha = 1;
}

function drawTrails(P, S) {
  const { ctx, run, at } = P, px = 1 / P.view.scale, from = Math.max(0, at.i - 30);
  ctx.lineWidth = Math.max(0.12, 1.2 * px);
  ctx.globalAlpha = 0.45;
  run.agents.forEach((about, a) => {
    const row = a * run.n;
    if (!run.cars.valid[row + at.i] || !run.n) return;
    ctx.strokeStyle = agentColour(S, about, run.cars.speed[row + at.i]);
    ctx.beginPath();
    for (let i = from; i <= at.i; i++) if (run.cars.valid[row + i]) ctx.lineTo(run.cars.x[row + i], run.cars.y[row + i]);
    ctx.stroke();
  });
  ctx.lineWidth = Math.max(0.3, 1.6 * px);
  for (const one of [...P.others, run]) {
    ctx.strokeStyle = runColour(S, one.index);
    const now = Math.min(at.i + 1, one.n);
    ctx.globalAlpha = 0.7;
    tracePoints(ctx, one.ego.xy, one.n, 0, now);
    ctx.stroke();
    if (one !== run) continue;
    // What is still to come, faint: it can be pointed at and clicked.
    ctx.globalAlpha = 0.35;
    ctx.setLineDash([2 * px, 4 * px]);
    tracePoints(ctx, one.ego.xy, one.n, Math.max(now - 1, 0), one.n);
    ctx.stroke();
    ctx.setLineDash([]);
  }
  ctx.globalAlpha = 1;
}

// Where others drove: the expert against whom progress is measured, and the recorded ego where it is another.
function referencesOf(run) {
  const out = [];
  const twins = run.expert.length && run.logged.length && nearEach(run.expert, run.logged);
  if (run.expert.length) {
    const source = run.scenario.expert_source || "reference";
    out.push({ key: "expert", track: run.expert, dash: [4, 3], name: twins ? `expert = recorded ego (${source})` : `expert (${source})` });
  }
  if (run.logged.known.some(Boolean) && !twins) out.push({ key: "recorded", track: run.logged, dash: [1, 3], name: "recorded ego" });
  return out;
}

function nearEach(a, b) {
  let both = false;
  for (let i = 0; i < Math.min(a.length, b.length); i++) {
    if (b.known[i] && a.known[i] && Math.hypot(a.xy[i] - b.xy[i], a.xy[a.length + i] - b.xy[b.length + i]) > 0.05) return false;
    both = both || Boolean(b.known[i] && a.known[i]);
  }
  return both;
}

function drawGhosts(P) {
  const { ctx, run, at, C } = P, px = 1 / P.view.scale;
  for (const { key, track, dash } of referencesOf(run)) {
    if (!P.layers[key]) continue;
    ctx.strokeStyle = C.ghost;
    ctx.setLineDash(dash.map((d) => 1.5 * d * px));
    ctx.lineWidth = 1.2 * px;
    ctx.globalAlpha = 0.5;
    tracePoints(ctx, track.xy, track.length, 0, track.length);
    ctx.stroke();
    ctx.globalAlpha = 0.95;
    ctx.lineWidth = 1.7 * px;
    ctx.setLineDash(dash.map((d) => d * px));
    const pose = poseOf(track, at);
    if (pose) {
      const centre = centreOf(run, pose);
      boxPath(ctx, centre);
      ctx.stroke();
      ctx.setLineDash([]);
      wedge(ctx, centre);
      ctx.stroke();
    }
    ctx.setLineDash([]);
    ctx.globalAlpha = 1;
  }
}

function drawAgents(P, S) {
  const { ctx, run, at, C } = P, px = 1 / P.view.scale;
  for (let a = 0; a < run.agents.length; a++) {
    const p = agentAt(run, a, at);
    if (!p) continue;
    const about = run.agents[a], chosen = P.focus && (a === S.chosen || a === S.hover), colour = agentColour(S, about, p.speed);
    // Cones are small: drawn no smaller than can be seen.
    if (about.kind === "static") boxPath(ctx, { ...p, length: Math.max(p.length, 5 * px), width: Math.max(p.width, 5 * px) });
    else if (about.kind === "pedestrian") { ctx.beginPath(); ctx.arc(p.x, p.y, Math.max(0.5 * Math.max(p.length, p.width), 3 * px), 0, 7); }
    else boxPath(ctx, p);
    if (p.hidden) {
      // The ego cannot see it: hollow and dashed.
      ctx.strokeStyle = chosen ? C.text : colour;
      ctx.lineWidth = (chosen ? 2.5 : 1.8) * px;
      ctx.setLineDash([3 * px, 2.5 * px]);
      ctx.stroke();
      ctx.setLineDash([]);
    } else {
      ctx.fillStyle = colour;
      ctx.strokeStyle = chosen ? C.text : C.outline;
      ctx.lineWidth = (chosen ? 2.5 : about.kind === "static" ? 1.3 : 0.9) * px;
      ctx.fill();
      ctx.stroke();
    }
    if (about.kind === "static" || about.kind === "pedestrian") continue;
    if (!p.hidden) { ctx.fillStyle = C.glass; wedge(ctx, p); ctx.fill(); }
    if (p.acceleration < BRAKING && about.kind !== "bicycle") brakeLights(P, p);
  }
}

function drawCandidates(P) {
  const { ctx, run, call, C } = P, { start, xy, points, score, probability, shared, ahead, range } = run.candidates;
  if (!P.layers.candidates || call < 0 || call + 1 >= start.length || !points) return;
  const px = 1 / P.view.scale, total = xy.length / 2, from = start[call], to = start[call + 1];
  for (let k = to - 1; k >= from; k--) { // best first in the log, so the best is drawn last
    const likely = probability[k];
    tracePoints(ctx, xy, total, k * points, (k + 1) * points);
    ctx.strokeStyle = C.casing;
    ctx.lineWidth = Math.max(0.2, 3 * px);
    ctx.stroke();
    ctx.strokeStyle = scoreColour(C, range, score[k]);
    ctx.lineWidth = Math.max(0.12, (Number.isFinite(likely) ? 1 + 3 * likely : 1.7) * px);
    ctx.stroke();
  }
  if (!(shared[call] > 0) || to - from < 2) return;
  let trunk = 0;
  while (trunk < points && ahead[trunk] <= shared[call] + 1e-6) trunk++;
  tracePoints(ctx, xy, total, from * points, from * points + trunk);
  ctx.strokeStyle = C.text;
  ctx.lineWidth = Math.max(0.3, 4 * px);
  ctx.stroke();
}

function drawProbabilities(P) {
  const { run, call } = P, { start, xy, points, probability } = run.candidates;
  if (!P.layers.candidates || !run.branching || call < 0 || call + 1 >= start.length) return;
  // The likeliest first; a figure that would cover another one stays away.
  const rows = Array.from({ length: start[call + 1] - start[call] }, (_, k) => start[call] + k).filter((k) => Number.isFinite(probability[k])), taken = [];
  for (const k of rows.sort((a, b) => probability[b] - probability[a])) {
    const end = (k + 1) * points - 1, [x, y] = toScreen(P, xy[end], xy[xy.length / 2 + end]);
    if (taken.some(([u, v]) => Math.abs(u - x) < 34 && Math.abs(v - y) < 13)) continue;
    taken.push([x, y]);
    label(P, `${Math.round(100 * probability[k])} %`, x, y - 6, "center", P.C.text, "600");
  }
}

function drawPlan(P, S) {
  const { ctx, run, call, C } = P;
  if (!P.layers.plan || call < 0) return;
  const plan = run.plan, px = 1 / P.view.scale, from = plan.start[call], to = plan.start[call + 1], total = plan.times.length;
  ctx.strokeStyle = C.casing;
  ctx.lineWidth = Math.max(0.6, 4.6 * px);
  tracePoints(ctx, plan.xy, total, from, to);
  ctx.stroke();
  ctx.strokeStyle = ctx.fillStyle = runColour(S, run.index);
  ctx.lineWidth = Math.max(0.4, 2.6 * px);
  if ((run.status[call] || "ok") !== "ok") ctx.setLineDash([1.2, 0.8]);
  ctx.stroke();
  ctx.setLineDash([]);
  for (let p = from, next = plan.times[from] + 1; p < to; p++) {
    if (plan.times[p] < next - 1e-6) continue;
    next += 1;
    ctx.beginPath();
    ctx.arc(plan.xy[p], plan.xy[total + p], Math.max(0.4, 2.8 * px), 0, 7);
    ctx.fill();
  }
}

function drawOther(P, S, other) {
  const { ctx } = P, pose = poseOf(other.ego, sampleAt(other, S.t));
  if (!pose) return;
  ctx.strokeStyle = runColour(S, other.index);
  ctx.lineWidth = 2 / P.view.scale;
  ctx.globalAlpha = S.t > other.end + 1e-6 ? 0.35 : 1;
  const centre = centreOf(other, pose);
  boxPath(ctx, centre);
  ctx.stroke();
  wedge(ctx, centre);
  ctx.stroke();
  ctx.globalAlpha = 1;
}

function drawEgo(P, S) {
  const { ctx, run, at, C } = P, pose = poseOf(run.ego, at);
  if (!pose) return;
  const centre = centreOf(run, pose);
  ctx.fillStyle = runColour(S, run.index);
  ctx.strokeStyle = C.outline;
  ctx.lineWidth = 1.4 / P.view.scale;
  boxPath(ctx, centre);
  ctx.fill();
  ctx.stroke();
  ctx.fillStyle = "#ffffff";
  wedge(ctx, centre);
  ctx.fill();
  if (run.ego.acceleration[at.i] < BRAKING) brakeLights(P, centre);
}

// Where the ego is at the time that the pointer is at, in a chart or on its way.
function drawPointed(P, S) {
  if (S.pointed === null || Math.abs(S.pointed - S.t) < 1e-3) return;
  const pose = poseOf(P.run.ego, sampleAt(P.run, S.pointed));
  if (!pose) return;
  const { ctx } = P, px = 1 / P.view.scale;
  ctx.strokeStyle = runColour(S, P.run.index);
  ctx.fillStyle = P.C.casing;
  ctx.lineWidth = 2 * px;
  boxPath(ctx, centreOf(P.run, pose));
  ctx.fill();
  ctx.stroke();
}

function drawNames(P) {
  if (P.view.scale < 2) return;
  P.run.agents.forEach((about, a) => {
    const p = agentAt(P.run, a, P.at);
    if (!p) return;
    const [x, y] = toScreen(P, p.x, p.y);
    label(P, about.id, x, y - 10);
  });
}
