// Small charts over time, linked by one cursor. Gaps in a series stay gaps.

function chartsOf(S) {
  const run = S.run, same = S.runs.filter((r) => r.scene === run.scene && r !== run);
  const bySample = (r, values) => ({ x: r.times, y: values });
  const reference = referenceOf(run);
  const list = [
    {
      name: "Speed", unit: "m/s", low: 0,
      lines: [
        { ...bySample(run, run.ego.speed), main: true, label: "ego" },
        ...(reference && reference.track.speed ? [{ x: run.times.subarray(0, reference.track.length), y: reference.track.speed, dash: [4, 3], ghost: true, label: "expert" }] : []),
      ],
      others: same.map((r) => ({ ...bySample(r, r.ego.speed), run: r.index })),
      live: true,
    },
    {
      name: "Acceleration", unit: "m/s²", zero: true,
      lines: [
        { ...bySample(run, run.ego.acceleration), main: true, label: "along" },
        { ...bySample(run, run.ego.speed.map((v, i) => v * run.ego.yawRate[i])), second: true, label: "across" },
      ],
      others: same.map((r) => ({ ...bySample(r, r.ego.acceleration), run: r.index })),
    },
  ];
  if (run.values.has("time_to_collision")) {
    list.push(seriesChart(run, same, "time_to_collision", { name: "Time to collision", unit: "s", low: 0, cap: 10, guide: 0.95, none: "none", empty: "no collision ahead in this run" }));
  }
  list.push({
    name: "Planning time", unit: "ms", low: 0, robust: true,
    lines: [{ x: run.callTimes, y: Float64Array.from(run.plan.latency, (v) => 1000 * v), main: true, label: "ego", marks: run.status }],
    others: same.map((r) => ({ x: r.callTimes, y: Float64Array.from(r.plan.latency, (v) => 1000 * v), run: r.index })),
  });
  if (S.more && run.values.has(S.more)) list.push(seriesChart(run, same, S.more, { name: S.more.replaceAll("_", " "), unit: "" }));
  return list;
}

function seriesChart(run, same, name, about) {
  const line = (r) => ({ x: r.clocks.get(name) === "call" ? r.callTimes : r.times, y: r.values.get(name) });
  return {
    ...about,
    lines: [{ ...line(run), main: true, label: "ego" }],
    others: same.filter((r) => r.values.has(name)).map((r) => ({ ...line(r), run: r.index })),
  };
}

function rangeOf(chart) {
  let low = Infinity, high = -Infinity;
  for (const line of [...chart.lines, ...chart.others]) {
    for (const v of line.y) if (Number.isFinite(v)) { if (v < low) low = v; if (v > high) high = v; }
  }
  if (low > high) return null;
  if (chart.robust) {
    // The first call may compile, or load weights; it would flatten all others.
    const all = [...chart.lines, ...chart.others].flatMap((line) => [...line.y]).filter(Number.isFinite).sort((a, b) => a - b);
    const usual = 3 * all[Math.floor(0.95 * (all.length - 1))];
    if (usual > 0 && high > usual) { chart.peak = high; high = usual; }
  }
  if (chart.cap !== undefined) high = Math.min(Math.max(high, 1), chart.cap);
  if (chart.low !== undefined) low = Math.min(low, chart.low);
  if (chart.zero) { low = Math.min(low, -1); high = Math.max(high, 1); }
  if (chart.low !== undefined && high < low + 1e-9) high = low + 1;
  if (high - low < 1e-9) { low -= 0.5; high += 0.5; }
  const pad = (high - low) * 0.06;
  return [chart.low !== undefined && low === chart.low ? low : low - pad, high + pad];
}

function niceStep(span) {
  const raw = span / 3, power = 10 ** Math.floor(Math.log10(raw));
  return power * [1, 2, 5, 10].find((k) => k * power >= raw);
}

const INSET = { left: 34, right: 6, top: 5, bottom: 14 };

function chartScale(S, chart) {
  const end = Math.max(S.end, 1e-3), width = chart.width - INSET.left - INSET.right, height = chart.height - INSET.top - INSET.bottom;
  return {
    x: (t) => INSET.left + (t / end) * width,
    y: (v) => INSET.top + (1 - (Math.min(Math.max(v, chart.range[0]), chart.range[1]) - chart.range[0]) / (chart.range[1] - chart.range[0])) * height,
    time: (px) => Math.min(Math.max((px - INSET.left) / width, 0), 1) * end,
  };
}

// Everything but the cursor, drawn once a change of run, size or theme.
function paintChart(S, chart) {
  const C = PALETTES[S.theme], canvas = chart.still, ctx = canvas.getContext("2d");
  canvas.width = chart.width * S.ratio;
  canvas.height = chart.height * S.ratio;
  ctx.setTransform(S.ratio, 0, 0, S.ratio, 0, 0);
  ctx.clearRect(0, 0, chart.width, chart.height);
  ctx.font = "10px system-ui, sans-serif";
  ctx.fillStyle = C.muted;
  if (!chart.range) {
    ctx.fillText(chart.empty || "no values in this run", INSET.left, chart.height / 2);
    return;
  }
  const at = chartScale(S, chart), step = niceStep(chart.range[1] - chart.range[0]);
  ctx.textAlign = "right";
  ctx.textBaseline = "middle";
  ctx.strokeStyle = C.line;
  ctx.lineWidth = 1;
  for (let v = Math.ceil(chart.range[0] / step) * step; v <= chart.range[1] + 1e-9; v += step) {
    ctx.fillText(String(Number(v.toPrecision(6))), INSET.left - 5, at.y(v));
    ctx.beginPath();
    ctx.moveTo(INSET.left, at.y(v));
    ctx.lineTo(chart.width - INSET.right, at.y(v));
    ctx.stroke();
  }
  ctx.textAlign = "center";
  const tick = niceStep(Math.max(S.end, 0.3) * 0.8);
  for (let t = 0; t <= S.end + 1e-9; t += tick) ctx.fillText(String(Number(t.toPrecision(6))), at.x(t), chart.height - 6);
  if (chart.guide !== undefined) {
    ctx.strokeStyle = C.red;
    ctx.setLineDash([3, 3]);
    ctx.beginPath();
    ctx.moveTo(INSET.left, at.y(chart.guide));
    ctx.lineTo(chart.width - INSET.right, at.y(chart.guide));
    ctx.stroke();
    ctx.setLineDash([]);
  }
  if (chart.peak) ctx.fillText(`peak ${figure(chart.peak, 1)}`, chart.width - INSET.right - 28, INSET.top + 6);
  for (const e of S.run.events) {
    ctx.strokeStyle = e.grave ? C.red : C.line;
    ctx.globalAlpha = 0.5;
    ctx.beginPath();
    ctx.moveTo(at.x(e.time), INSET.top);
    ctx.lineTo(at.x(e.time), chart.height - INSET.bottom);
    ctx.stroke();
    ctx.globalAlpha = 1;
  }
  if (S.layers.others) for (const line of chart.others) strokeLine(ctx, at, line, runColour(line.run), 1, 0.75);
  for (const line of [...chart.lines].reverse()) {
    strokeLine(ctx, at, line, lineColour(S, C, line), line.main ? 1.8 : 1.2, 1);
  }
}

function lineColour(S, C, line) { return line.ghost ? C.ghost : line.second ? C.second : runColour(S.run.index); }

function strokeLine(ctx, at, line, colour, width, alpha) {
  ctx.strokeStyle = ctx.fillStyle = colour;
  ctx.lineWidth = width;
  ctx.globalAlpha = alpha;
  ctx.setLineDash(line.dash || []);
  ctx.lineJoin = "round";
  ctx.beginPath();
  let open = false;
  const count = Math.min(line.x.length, line.y.length);
  for (let i = 0; i < count; i++) {
    const ok = Number.isFinite(line.y[i]);
    if (ok && open) ctx.lineTo(at.x(line.x[i]), at.y(line.y[i]));
    else if (ok) ctx.moveTo(at.x(line.x[i]), at.y(line.y[i]));
    // A value alone between two gaps would otherwise leave nothing.
    if (ok && !open && !(i + 1 < count && Number.isFinite(line.y[i + 1]))) ctx.fillRect(at.x(line.x[i]) - 1.5, at.y(line.y[i]) - 1.5, 3, 3);
    open = ok;
  }
  ctx.stroke();
  ctx.setLineDash([]);
  (line.marks || []).forEach((status, i) => {
    if (status !== "ok" && i < count && Number.isFinite(line.y[i])) ctx.fillRect(at.x(line.x[i]) - 2, at.y(line.y[i]) - 2, 4, 4);
  });
  ctx.globalAlpha = 1;
}

function valueAt(line, t) {
  let k = -1;
  for (let i = 0; i < line.x.length && line.x[i] <= t + 1e-6; i++) k = i;
  return k < 0 || k >= line.y.length ? NaN : line.y[k];
}

function drawChart(S, chart, at) {
  const ctx = chart.canvas.getContext("2d"), C = PALETTES[S.theme];
  ctx.setTransform(1, 0, 0, 1, 0, 0);
  ctx.clearRect(0, 0, chart.canvas.width, chart.canvas.height);
  ctx.drawImage(chart.still, 0, 0);
  ctx.setTransform(S.ratio, 0, 0, S.ratio, 0, 0);
  const texts = chart.lines.map((line) => {
    const value = valueAt(line, S.t), text = chart.none && !Number.isFinite(value) ? chart.none : figure(value, 2);
    const words = el("span", {}, `${chart.lines.length > 1 ? line.label + " " : ""}${text}`);
    // Where a chart has several lines, the words say which is which.
    if (chart.lines.length > 1) words.style.color = lineColour(S, C, line);
    return words;
  });
  const known = chart.lines.some((line) => Number.isFinite(valueAt(line, S.t)));
  chart.value.replaceChildren(...texts.flatMap((node, k) => (k ? ["  ", node] : [node])), chart.unit && known ? ` ${chart.unit}` : "");
  if (!chart.range) return;
  const to = chartScale(S, chart);
  if (chart.live) drawLive(S, ctx, chart, to, at, C);
  ctx.strokeStyle = C.text;
  ctx.lineWidth = 1;
  ctx.beginPath();
  ctx.moveTo(to.x(S.t), INSET.top);
  ctx.lineTo(to.x(S.t), chart.height - INSET.bottom);
  ctx.stroke();
}

// Over the speed chart: the speed planned from here on, and that of the chosen road user.
function drawLive(S, ctx, chart, to, at, C) {
  const run = S.run, call = callAt(run, at.i);
  if (call >= 0 && S.layers.plan) {
    const plan = run.plan, part = [plan.start[call], plan.start[call + 1]];
    const line = { x: plan.times.subarray(...part), y: plan.speed.subarray(...part), dash: [2, 2] };
    ctx.save();
    ctx.beginPath();
    ctx.rect(INSET.left, 0, chart.width - INSET.left - INSET.right, chart.height);
    ctx.clip();
    strokeLine(ctx, to, line, runColour(run.index), 1.2, 0.8);
    ctx.restore();
  }
  if (S.chosen === null || S.chosen >= run.agents.length) return;
  const row = S.chosen * run.n;
  const speeds = Float64Array.from(run.times, (_, i) => (run.cars.valid[row + i] ? run.cars.speed[row + i] : NaN));
  strokeLine(ctx, to, { x: run.times, y: speeds }, C.text, 1.2, 0.8);
}

function figure(value, digits) {
  return typeof value === "number" && Number.isFinite(value) ? value.toFixed(digits).replace(/^-0(\.0+)?$/, "0$1") : "-";
}
