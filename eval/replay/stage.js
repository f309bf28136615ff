// The stage: one view of the scene, or one for each of up to four runs on one clock, drawn on one canvas.

const FONT = 'system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif', MAX_PANES = 4;

function sameScene(S) { return S.runs.filter((r) => r.scene === S.run.scene); }

// The runs beside each other: those that a link named, else the scene's first; the one in focus among them.
function shownRuns(S) {
  const all = sameScene(S), named = all.filter((r) => S.beside.includes(r.index)), first = (named.length > 1 ? named : all).slice(0, MAX_PANES);
  if (!first.includes(S.run)) first[first.length - 1] = S.run;
  return first;
}

function isSplit(S) { return S.split && sameScene(S).length > 1; }

// Whether views stand side by side: rows suit a way that runs across the picture.
function sideways(S, run, width, height) {
  if (width < 560 || height < 420) return width > height;
  return S.headingUp || run.spread[0] < 1.3 * run.spread[1];
}

// Views as rectangles of a picture, and what each needs to draw itself.
function panesOf(S, width, height) {
  const runs = isSplit(S) ? shownRuns(S) : [S.run], n = runs.length;
  const columns = n === 4 ? 2 : sideways(S, runs[0], width, height) ? n : 1, rows = Math.ceil(n / columns), gap = n > 1 ? 2 : 0;
  const w = (width - gap * (columns - 1)) / columns, h = (height - gap * (rows - 1)) / rows;
  return runs.map((run, k) => {
    const at = sampleAt(run, S.t), pose = poseOf(run.ego, at) || run.lastPose;
    if (pose) run.lastPose = pose;
    return {
      run, at, map: run.map === null ? null : S.maps[run.map], call: callAt(run, at.i), focus: run === S.run, split: n > 1, last: k === n - 1,
      others: n === 1 && S.layers.others ? sameScene(S).filter((r) => r !== run) : [],
      left: (k % columns) * (w + gap), top: Math.floor(k / columns) * (h + gap), width: w, height: h,
      view: {
        x: pose && S.follow ? pose.x : S.view.x, y: pose && S.follow ? pose.y : S.view.y, scale: S.view.scale,
        turn: pose && S.headingUp ? Math.PI / 2 - pose.heading : 0,
      },
    };
  });
}

function toScreen(P, x, y) {
  const v = P.view, c = Math.cos(v.turn), s = Math.sin(v.turn), dx = x - v.x, dy = y - v.y;
  return [P.left + P.width / 2 + v.scale * (dx * c - dy * s), P.top + P.height / 2 - v.scale * (dx * s + dy * c)];
}

function toWorld(P, px, py) {
  const v = P.view, c = Math.cos(v.turn), s = Math.sin(v.turn);
  const u = (px - P.left - P.width / 2) / v.scale, w = -(py - P.top - P.height / 2) / v.scale;
  return [v.x + u * c + w * s, v.y - u * s + w * c];
}

// All views; `frame` holds ctx, width, height, ratio (device pixels in a pixel) and what the top left is moved by.
function drawStage(S, frame) {
  const { ctx, width, height, ratio, x = 0, y = 0 } = frame, C = PALETTES[S.theme];
  ctx.setTransform(ratio, 0, 0, ratio, ratio * x, ratio * y);
  ctx.fillStyle = C.line;
  ctx.fillRect(0, 0, width, height);
  const panes = panesOf(S, width, height);
  for (const P of panes) {
    Object.assign(P, { ctx, C, layers: S.layers });
    ctx.save();
    ctx.setTransform(ratio, 0, 0, ratio, ratio * x, ratio * y);
    ctx.beginPath();
    ctx.rect(P.left, P.top, P.width, P.height);
    ctx.clip();
    drawPane(S, P);
    ctx.restore();
  }
  return panes;
}

function drawPane(S, P) {
  const { ctx, C, view } = P;
  ctx.fillStyle = C.ground;
  ctx.fillRect(P.left, P.top, P.width, P.height);
  ctx.save();
  ctx.translate(P.left + P.width / 2, P.top + P.height / 2);
  ctx.scale(view.scale, -view.scale);
  ctx.rotate(view.turn);
  ctx.translate(-view.x, -view.y);
  ctx.lineJoin = "round";
  if (!P.map) drawGrid(P); else if (P.map.terrain) drawTerrain(P, S.theme, S.t); else drawRoads(P);
  if (P.layers.heat) drawHeat(P, S);
  drawRoute(P);
  drawGoal(P);
  if (P.layers.hidden) drawUnseen(P);
  if (P.layers.trails) drawTrails(P, S);
  drawGhosts(P);
  drawCandidates(P);
  drawPlan(P, S);
  drawShownCandidate(P, S);
  drawAgents(P, S);
  for (const other of P.others) drawOther(P, S, other);
  drawEgo(P, S);
  drawPointed(P, S);
  ctx.restore();
  if (P.map) drawSignals(P);
  if (P.layers.events) drawEvents(P);
  if (P.layers.names) drawNames(P);
  drawProbabilities(P);
  if (P.last) drawScale(P);
  if (P.split) drawHeading(S, P);
}

// Over each of several views: whose it is, its score, and its end where it is over.
function drawHeading(S, P) {
  const { ctx, C, run } = P, colour = runColour(S, run.index);
  const [score] = Object.values(run.scores), over = S.t > run.end + 1e-6 ? `  ended at ${run.end.toFixed(1)} s` : "";
  const speed = figure(run.ego.speed[P.at.i], 1), text = `${run.label}   ${score === undefined ? "" : figure(scoreOf(score), 3) + "   "}${speed} m/s${over}`;
  ctx.font = `600 12px ${FONT}`;
  const width = Math.min(ctx.measureText(text).width + 34, P.width - 16), x = P.left + P.width - width - 8, narrow = P.width < width + 150, y = P.top + P.height - (narrow ? 58 : 32);
  ctx.fillStyle = C.panel;
  ctx.globalAlpha = 0.92;
  ctx.beginPath();
  ctx.roundRect(x, y, width, 24, 6);
  ctx.fill();
  ctx.globalAlpha = 1;
  if (P.focus) { ctx.strokeStyle = colour; ctx.lineWidth = 2; ctx.stroke(); }
  ctx.fillStyle = colour;
  ctx.fillRect(x + 9, y + 7, 10, 10);
  ctx.fillStyle = C.text;
  ctx.textAlign = "left";
  ctx.textBaseline = "middle";
  ctx.fillText(text, x + 26, y + 12.5, width - 32);
}
