// Small charts over time, linked by one cursor and one pointer. Gaps in a series stay gaps.

const USUAL = ["Speed", "Acceleration", "Jerk", "Lateral error", "Time to collision", "Planning time", "Power", "Battery", "Tilt"];
// Series that a chart of its own shows already.
const TOLD = new Set(["time_to_collision", "speed", "longitudinal_jerk", "power", "power_peak", "power_limit", "supply", "battery", "tilt"]);
const UNITS = {
  lateral_acceleration: "m/s²", longitudinal_acceleration: "m/s²", jerk: "m/s³", overspeed: "m/s", speed_limit: "m/s", progress: "m",
  road_edge_distance: "m", power: "W", "plan.planned_power": "W", "plan.planned_peak": "W", "plan.planned_energy": "J", energy_used: "J", z: "m", "plan.arrival": "s", yaw_rate: "rad/s", yaw_acceleration: "rad/s²", progress_along_driving_direction: "m",
};

function titleOf(name) { return name.replace(/^jerk$/, "jerk, magnitude").replace(/^plan\./, "plan: ").replaceAll("_", " ").replace(/^./, (c) => c.toUpperCase()); }

// All charts that the scene's runs can fill, the usual ones first.
function chartsOf(S) {
  const run = S.run, same = sameScene(S).filter((r) => r !== run), [reference] = referencesOf(run);
  const chart = (name, unit, lineOf, about = {}) => ({
    name, unit, ...about,
    lines: [{ ...lineOf(run), main: true, label: about.label || "ego" }, ...(about.lines || [])],
    others: same.map((r) => ({ ...lineOf(r), run: r.index })).filter((line) => line.y && line.y.length),
  });
  const list = [
    chart("Speed", "m/s", (r) => ({ x: r.times, y: r.ego.speed }), {
      low: 0, live: true,
      lines: reference && reference.track.speed ? [{ x: run.times.subarray(0, reference.track.length), y: reference.track.speed, dash: [4, 3], ghost: true, label: reference.key }] : [],
    }),
    chart("Acceleration", "m/s²", (r) => ({ x: r.times, y: r.ego.acceleration }), {
      zero: 1, lines: [{ x: run.times, y: run.ego.speed.map((v, i) => v * run.ego.yawRate[i]), second: true, label: "lateral" }],
    }),
    chart("Jerk", "m/s³", (r) => ({ x: r.times, y: jerkOf(r) }), { zero: 1 }),
  ];
  if (run.lateral && run.lateral.length) list.push(chart("Lateral error", "m", (r) => ({ x: r.times, y: r.lateral || [] }), { zero: 0.5, about: "the rear axle left (+) or right (-) of the route's line" }));
  const ofSeries = (r, name) => ({ x: r.clocks.get(name) === "call" ? r.callTimes : r.times, y: r.values.get(name) || [] });
  if (run.values.has("time_to_collision")) list.push(chart("Time to collision", "s", (r) => ofSeries(r, "time_to_collision"), { low: 0, cap: 10, guide: 0.95, none: "none", empty: "no collision ahead in this run" }));
  // What limits a rover comes first in the panel.
  list.splice(1, 0, ...roverCharts(run, chart, ofSeries));
  list.push(chart("Planning time", "ms", (r) => ({ x: r.callTimes, y: Float64Array.from(r.plan.latency, (v) => 1000 * v), marks: r.status }), { low: 0, robust: true, empty: "the planner was never called" }));
  for (const name of run.values.keys()) {
    // What rules said is the strip under the map.
    if (!TOLD.has(name) && !name.startsWith("rule.")) list.push(chart(titleOf(name), UNITS[name] || "", (r) => ofSeries(r, name)));
  }
  return list;
}

function jerkOf(run) {
  const told = run.values.get("longitudinal_jerk"), a = run.ego.acceleration;
  if (told) return told;
  return (run.jerk ??= Float64Array.from(a, (v, i) => (i ? (v - a[i - 1]) / (run.times[i] - run.times[i - 1]) : NaN)));
}

// Of the run in focus; other runs may widen it to three times its span, and are cut off beyond.
function rangeOf(chart) {
  const spanOf = (lines) => {
    let low = Infinity, high = -Infinity;
    for (const line of lines) for (const v of line.y) if (Number.isFinite(v)) { if (v < low) low = v; if (v > high) high = v; }
    return [low, high];
  };
  const all = [...chart.lines, ...chart.others], [l, h] = spanOf(chart.lines), [ol, oh] = spanOf(chart.others);
  let [low, high] = l > h ? [ol, oh] : [l, h];
  if (low > high) return null;
  const span = Math.max(high - low, chart.zero || 0, 1e-3);
  if (ol <= oh) { low = Math.min(low, Math.max(ol, low - span)); high = Math.max(high, Math.min(oh, high + span)); }
  if (chart.robust) {
    // The first call may compile, or load weights; it would flatten all others.
    const sorted = all.flatMap((line) => [...line.y]).filter(Number.isFinite).sort((a, b) => a - b);
    const usual = 3 * sorted[Math.floor(0.99 * (sorted.length - 1))];
    if (usual > 0 && high > usual) { chart.peak = high; high = usual; }
  }
  if (chart.cap !== undefined) high = Math.min(Math.max(high, 1), chart.cap);
  if (chart.low !== undefined) low = Math.min(low, chart.low);
  if (chart.zero) { low = Math.min(low, -chart.zero); high = Math.max(high, chart.zero); }
  if (chart.low !== undefined && high < low + 1e-9) high = low + 1;
  if (high - low < 1e-9) { low -= 0.5; high += 0.5; }
  const pad = (high - low) * 0.06;
  return [chart.low !== undefined && low === chart.low ? low : low - pad, high + pad];
}

function niceStep(span, parts = 3) {
  const raw = span / parts, power = 10 ** Math.floor(Math.log10(raw));
  return power * [1, 2, 5, 10].find((k) => k * power >= raw * 0.999);
}

// A step that gives two labels at least.
function labelStep([low, high]) {
  let parts = 2.5, step = niceStep(high - low, parts);
  while (Math.floor(high / step + 1e-9) - Math.ceil(low / step - 1e-9) < 1) step = niceStep(high - low, (parts *= 1.5));
  return step;
}

const INSET = { left: 34, right: 8, top: 4, bottom: 4, axis: 15 };

function insetBelow(chart) { return chart.last ? INSET.axis : INSET.bottom; }

function chartScale(S, chart) {
  const end = Math.max(S.end, 1e-3), width = chart.width - INSET.left - INSET.right, height = chart.height - INSET.top - insetBelow(chart);
  return {
    x: (t) => INSET.left + (t / end) * width,
    y: (v) => INSET.top + (1 - (v - chart.range[0]) / (chart.range[1] - chart.range[0])) * height,
    time: (px) => Math.min(Math.max((px - INSET.left) / width, 0), 1) * end,
  };
}

// Everything but the cursor, drawn once a change of run, size or theme.
function paintChart(S, chart) {
  const C = PALETTES[S.theme], canvas = chart.still, ctx = canvas.getContext("2d"), bottom = chart.height - insetBelow(chart);
  canvas.width = Math.round(chart.width * S.ratio);
  canvas.height = Math.round(chart.height * S.ratio);
  ctx.setTransform(S.ratio, 0, 0, S.ratio, 0, 0);
  ctx.clearRect(0, 0, chart.width, chart.height);
  ctx.font = `10px ${FONT}`;
  ctx.fillStyle = C.muted;
  const end = Math.max(S.end, 1e-3), tick = niceStep(end, 6), xs = chartScale(S, { ...chart, range: [0, 1] });
  if (chart.last && S.end > 0) {
    ctx.textBaseline = "alphabetic";
    for (let t = 0; t <= end * 0.97; t += tick) { ctx.textAlign = t ? "center" : "left"; ctx.fillText(String(Number(t.toPrecision(6))), xs.x(t), chart.height - 3); }
    ctx.textAlign = "right";
    ctx.fillText(`${Number(end.toPrecision(4))} s`, chart.width - 2, chart.height - 3);
  }
  if (!chart.range) {
    ctx.textAlign = "left";
    ctx.textBaseline = "middle";
    ctx.fillText(chart.empty || "no values in this run", INSET.left, bottom / 2);
    return;
  }
  const at = chartScale(S, chart), step = labelStep(chart.range);
  ctx.textAlign = "right";
  ctx.textBaseline = "middle";
  ctx.strokeStyle = C.line;
  ctx.lineWidth = 1;
  const across = (y) => { ctx.beginPath(); ctx.moveTo(INSET.left, y); ctx.lineTo(chart.width - INSET.right, y); ctx.stroke(); };
  for (let v = Math.ceil(chart.range[0] / step) * step; v <= chart.range[1] + 1e-9; v += step) {
    const y = at.y(v);
    if (y > 5 && y < bottom + 1) ctx.fillText(String(Number(v.toPrecision(6))).replace("-", "\u2212"), INSET.left - 5, y);
    across(Math.round(y) + 0.5);
  }
  if (chart.guide !== undefined) {
    ctx.strokeStyle = C.red;
    ctx.setLineDash([3, 3]);
    across(at.y(chart.guide));
    ctx.setLineDash([]);
  }
  for (const e of S.run.events) {
    ctx.strokeStyle = e.grave ? C.red : C.muted;
    ctx.globalAlpha = 0.35;
    ctx.beginPath();
    ctx.moveTo(at.x(e.time), INSET.top);
    ctx.lineTo(at.x(e.time), bottom);
    ctx.stroke();
    ctx.globalAlpha = 1;
  }
  ctx.beginPath();
  ctx.rect(INSET.left - 2, 0, chart.width - INSET.left, bottom + 1);
  ctx.clip();
  if (S.layers.others) for (const line of chart.others) strokeLine(ctx, at, line, runColour(S, line.run), 1, 0.75);
  for (const line of [...chart.lines].reverse()) strokeLine(ctx, at, line, lineColour(S, C, line), line.main ? 1.8 : 1.2, 1);
}

function lineColour(S, C, line) { return line.limit ? C.red : line.ghost ? C.ghost : line.second ? C.second : runColour(S, S.run.index); }

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
  let low = 0, high = line.x.length - 1;
  if (high < 0 || line.x[0] > t + 1e-6) return NaN;
  while (low < high) { const mid = (low + high + 1) >> 1; if (line.x[mid] <= t + 1e-6) low = mid; else high = mid - 1; }
  return low < line.y.length ? line.y[low] : NaN;
}

function drawChart(S, chart, at) {
  const ctx = chart.canvas.getContext("2d"), C = PALETTES[S.theme], time = S.pointed ?? S.t;
  ctx.setTransform(1, 0, 0, 1, 0, 0);
  ctx.clearRect(0, 0, chart.canvas.width, chart.canvas.height);
  ctx.drawImage(chart.still, 0, 0);
  ctx.setTransform(S.ratio, 0, 0, S.ratio, 0, 0);
  const texts = chart.lines.map((line) => {
    const value = valueAt(line, time), text = chart.none && !Number.isFinite(value) ? chart.none : figure(value, 2);
    // Where a chart has several lines, the words say which is which.
    const words = el("span", {}, `${chart.lines.length > 1 ? line.label + " " : ""}${text}`);
    if (chart.lines.length > 1) words.style.color = lineColour(S, C, line);
    return words;
  });
  const known = chart.lines.some((line) => Number.isFinite(valueAt(line, time)));
  chart.value.replaceChildren(...texts.flatMap((node, k) => (k ? ["  ", node] : [node])), chart.unit && known ? ` ${chart.unit}` : "", chart.peak ? `, peak ${figure(chart.peak, chart.peak < 100 ? 1 : 0)} ${chart.unit}` : "");
  if (!chart.range) return;
  const to = chartScale(S, chart), bottom = chart.height - insetBelow(chart);
  if (chart.live) drawLive(S, ctx, chart, to, at, C);
  const upright = (t, colour, dash) => {
    ctx.strokeStyle = colour;
    ctx.lineWidth = 1;
    ctx.setLineDash(dash);
    ctx.beginPath();
    ctx.moveTo(to.x(t), INSET.top);
    ctx.lineTo(to.x(t), bottom);
    ctx.stroke();
    ctx.setLineDash([]);
  };
  upright(S.t, C.text, []);
  if (S.pointed !== null) upright(S.pointed, C.text, [2, 2]);
  const value = valueAt(chart.lines[0], time);
  if (!(value >= chart.range[0] && value <= chart.range[1])) return;
  ctx.fillStyle = lineColour(S, C, chart.lines[0]);
  ctx.beginPath();
  ctx.arc(to.x(time), to.y(value), 2.8, 0, 7);
  ctx.fill();
}

// Over the speed chart: the speed planned from here on, and that of the chosen road user.
function drawLive(S, ctx, chart, to, at, C) {
  const run = S.run, call = callAt(run, at.i);
  ctx.save();
  ctx.beginPath();
  ctx.rect(INSET.left, 0, chart.width - INSET.left - INSET.right, chart.height);
  ctx.clip();
  if (call >= 0 && S.layers.plan) {
    const part = [run.plan.start[call], run.plan.start[call + 1]];
    strokeLine(ctx, to, { x: run.plan.times.subarray(...part), y: run.plan.speed.subarray(...part), dash: [2, 2] }, runColour(S, run.index), 1.2, 0.8);
  }
  if (S.chosen !== null && S.chosen < run.agents.length) {
    const row = S.chosen * run.n;
    const speeds = Float64Array.from(run.times, (_, i) => (run.cars.valid[row + i] ? run.cars.speed[row + i] : NaN));
    strokeLine(ctx, to, { x: run.times, y: speeds }, C.text, 1.2, 0.8);
  }
  ctx.restore();
}

// The charts of the panel, and the choice of further ones.
function fillCharts(S) {
  const all = chartsOf(S);
  S.charts = all.filter((def) => S.shown.has(def.name)).map((def) => {
    const canvas = el("canvas", { role: "img", "aria-label": `${def.name} over time` }), value = el("span", { class: "value" });
    const head = el("header", def.about ? { title: def.about } : {}, el("span", { class: "name" }, def.name), value);
    const range = rangeOf(def), chart = { ...def, range, canvas, value, box: el("div", { class: "chart" }, head, canvas), still: document.createElement("canvas") };
    const time = (e) => chartScale(S, chart).time(e.clientX - canvas.getBoundingClientRect().left);
    canvas.addEventListener("pointerdown", (e) => { canvas.setPointerCapture(e.pointerId); setPlaying(false); point(null); seek(time(e)); });
    canvas.addEventListener("pointermove", (e) => { if (e.buttons & 1) { setPlaying(false); seek(time(e)); } else if (e.pointerType === "mouse") point(time(e)); });
    canvas.addEventListener("pointerleave", () => point(null));
    return chart;
  });
  S.charts.forEach((chart, k) => { chart.last = k === S.charts.length - 1; chart.box.classList.toggle("last", chart.last); });
  $("charts").replaceChildren(...S.charts.map((c) => c.box));
  $("chart-names").replaceChildren(...all.map((def) => {
    const button = el("button", { type: "button", "aria-pressed": S.shown.has(def.name) }, def.name);
    button.addEventListener("click", () => { if (!S.shown.delete(def.name)) S.shown.add(def.name); refresh(); });
    return button;
  }));
}

function figure(value, digits) {
  return typeof value === "number" && Number.isFinite(value) ? value.toFixed(digits).replace(/^-0(\.0+)?$/, "0$1").replace("-", "\u2212") : "\u2013";
}
