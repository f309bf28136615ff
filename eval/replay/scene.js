// Runs and maps as the page uses them: plain objects over the decoded arrays, and poses between samples.

function wrap(angle) {
  return angle - 2 * Math.PI * Math.round(angle / (2 * Math.PI));
}

function openRun(page, entry, index) {
  const get = (name) => page.array(entry.prefix + "." + name);
  const times = get("times");
  const n = times.length;
  const motion = (name) => ({
    xy: get(name + ".xy"), heading: get(name + ".heading"), known: get(name + ".known"), speed: get(name + ".speed"),
    length: get(name + ".heading").length,
  });
  const run = {
    ...entry, index, times, n,
    end: n ? times[n - 1] : 0,
    ego: { ...motion("ego"), acceleration: get("ego.acceleration"), steering: get("ego.steering"), yawRate: get("ego.yaw_rate") },
    expert: motion("expert"),
    logged: motion("logged"),
    cars: {
      x: get("agents.x"), y: get("agents.y"), heading: get("agents.heading"), speed: get("agents.speed"),
      valid: get("agents.valid"), size: get("agents.size"), height: get("agents.height"), seen: get("agents.seen"),
    },
    plan: {
      step: get("plan.step"), latency: get("plan.latency"), start: get("plan.start"), times: get("plan.times"),
      xy: get("plan.xy"), heading: get("plan.heading"), speed: get("plan.speed"),
    },
    candidates: {
      start: get("candidates.start"), xy: get("candidates.xy"), score: get("candidates.score"),
      probability: get("candidates.probability"), shared: get("candidates.shared"), ahead: get("candidates.ahead"),
      terms: get("candidates.terms"), chosen: get("candidates.chosen"), names: entry.terms,
      points: page.arrays[entry.prefix + ".candidates.xy"][1][2],
    },
    heat: entry.heat && { ...entry.heat, times: get("heat.times"), pose: get("heat.pose"), values: get("heat.values"), pictures: new Map() },
    lateral: get("lateral"),
    signals: get("signals"),
    route: get("route"),
    values: new Map(entry.series.map((s) => [s.name, get("series." + s.name)])),
    clocks: new Map(entry.series.map((s) => [s.name, s.clock])),
  };
  for (const { known, speed } of [run.ego, run.expert, run.logged]) leaveGaps(speed, known);
  leaveGaps(run.lateral, run.ego.known);
  run.size = {
    length: entry.vehicle.length || 4.8, width: entry.vehicle.width || 1.9,
    ahead: entry.vehicle.rear_axle_to_center ?? 1.3, wheelbase: entry.vehicle.wheelbase || 2.8,
  };
  run.candidates.range = rangeOfValues(run.candidates.score);
  run.branching = run.candidates.probability.some(Number.isFinite);
  run.spread = [0, 1].map((k) => { const r = rangeOfValues(run.ego.xy.subarray(k * n, (k + 1) * n)); return r ? r[1] - r[0] : 0; });
  run.hides = Boolean(run.cars.seen && run.cars.seen.some((seen, k) => !seen && run.cars.valid[k]));
  run.accelerations = agentAccelerations(run);
  run.callTimes = Float64Array.from(run.plan.step, (s) => times[Math.min(Math.max(s, 0), n - 1)] ?? 0);
  run.label = String(entry.planner.name ?? "planner");
  return run;
}

// The page's data holds values through gaps, which packs well; what is not known is not shown.
function leaveGaps(values, known) {
  if (values) for (let i = 0; i < values.length; i++) if (!known[i]) values[i] = NaN;
}

function rangeOfValues(values) {
  let low = Infinity, high = -Infinity;
  for (const v of values) if (Number.isFinite(v)) { low = Math.min(low, v); high = Math.max(high, v); }
  return low > high ? null : [low, high];
}

// Central differences of the speeds, NaN at gaps: what lights the brake lights.
function agentAccelerations(run) {
  const { speed, valid } = run.cars, n = run.n, out = new Float32Array(speed.length).fill(NaN);
  for (let k = 0; k < speed.length; k++) {
    const i = k % n, from = i > 0 && valid[k - 1] ? 1 : 0, to = i + 1 < n && valid[k + 1] ? 1 : 0;
    if (valid[k] && from + to) out[k] = (speed[k + to] - speed[k - from]) / (run.times[i + to] - run.times[i - from]);
  }
  return out;
}

// The sample at or before t, and how far t lies on the way to the next one.
function sampleAt(run, t) {
  const times = run.times;
  let low = 0, high = run.n - 1;
  while (low < high) {
    const mid = (low + high + 1) >> 1;
    if (times[mid] <= t + 1e-6) low = mid; else high = mid - 1;
  }
  if (low >= run.n - 1) return { i: Math.max(run.n - 1, 0), w: 0 };
  const w = Math.min(Math.max((t - times[low]) / (times[low + 1] - times[low]), 0), 1);
  return { i: low, w: w < 1e-6 ? 0 : w };
}

function mix(values, row, { i, w }) {
  return w ? values[row + i] * (1 - w) + values[row + i + 1] * w : values[row + i];
}

// A pose of the ego, its expert or its logged self; null where it is not known.
function poseOf(track, at) {
  if (at.i >= track.length || !track.known[at.i]) return null;
  const whole = at.w && at.i + 1 < track.length && track.known[at.i + 1] ? at : { i: at.i, w: 0 };
  return {
    x: mix(track.xy, 0, whole), y: mix(track.xy, track.length, whole), heading: wrap(mix(track.heading, 0, whole)),
    speed: track.speed ? mix(track.speed, 0, whole) : NaN,
  };
}

function agentAt(run, a, at) {
  const row = a * run.n;
  if (!run.cars.valid[row + at.i]) return null;
  const whole = at.w && run.cars.valid[row + at.i + 1] ? at : { i: at.i, w: 0 };
  return {
    index: a, x: mix(run.cars.x, row, whole), y: mix(run.cars.y, row, whole),
    heading: wrap(mix(run.cars.heading, row, whole)), speed: mix(run.cars.speed, row, whole),
    length: run.cars.size[2 * a], width: run.cars.size[2 * a + 1], acceleration: run.accelerations[row + at.i],
    hidden: Boolean(run.cars.seen && !run.cars.seen[row + at.i]),
  };
}

function centreOf(run, pose) {
  return { ...pose, x: pose.x + run.size.ahead * Math.cos(pose.heading), y: pose.y + run.size.ahead * Math.sin(pose.heading), length: run.size.length, width: run.size.width };
}

// The planner call whose plan is being driven at sample i, -1 before the first.
function callAt(run, i) {
  let call = -1;
  const step = run.plan.step;
  let low = 0, high = step.length - 1;
  while (low <= high) {
    const mid = (low + high) >> 1;
    if (step[mid] <= i) { call = mid; low = mid + 1; } else high = mid - 1;
  }
  return call;
}

// Polylines `name` with their starts, as a list of [from, to) and a way to add one to a path.
function openLines(page, name) {
  const flat = page.array(name), start = page.array(name + "_start");
  const total = flat.length / 2;
  return {
    count: start.length - 1,
    trace(path, line, backwards = false, go = false) {
      const from = start[line], to = start[line + 1];
      for (let k = 0; k < to - from; k++) {
        const p = backwards ? to - 1 - k : from + k;
        if (k === 0 && !go) path.moveTo(flat[p], flat[total + p]); else path.lineTo(flat[p], flat[total + p]);
      }
    },
    points(line) {
      const out = [];
      for (let p = start[line]; p < start[line + 1]; p++) out.push([flat[p], flat[total + p]]);
      return out;
    },
  };
}

const [BICYCLE, SIDEWALK, PARKING, SHOULDER] = [2, 3, 4, 5], ARROW_EVERY = 35;

// Paths of a map, ready to be filled and stroked in metres.
function openMap(page, entry) {
  const get = (name) => page.array(entry.prefix + "." + name);
  const left = openLines(page, entry.prefix + ".left"), right = openLines(page, entry.prefix + ".right");
  const centre = openLines(page, entry.prefix + ".points"), area = openLines(page, entry.prefix + ".area");
  const kind = get("kind"), areaKind = get("area_kind"), leftMarking = get("left_marking"), rightMarking = get("right_marking");
  const map = { road: new Path2D(), path: new Path2D(), walk: new Path2D(), parking: new Path2D(), arrows: new Path2D(), bounds: new Path2D(), lines: {}, areas: {}, occluders: [] };
  for (let i = 0; i < left.count; i++) {
    const fill = kind[i] === BICYCLE ? map.path : kind[i] === SIDEWALK ? map.walk : kind[i] === PARKING || kind[i] === SHOULDER ? map.parking : map.road;
    left.trace(fill, i);
    right.trace(fill, i, true, true);
    fill.closePath();
    if (kind[i] === 0) { laneArrows(map.arrows, centre.points(i)); left.trace(map.bounds, i); right.trace(map.bounds, i); }
    for (const [side, marking] of [[left, leftMarking[i]], [right, rightMarking[i]]]) {
      if (marking) side.trace((map.lines[marking] ??= new Path2D()), i);
    }
  }
  for (let i = 0; i < area.count; i++) area.trace((map.areas[areaKind[i]] ??= new Path2D()), i);
  map.bars = new Path2D();
  for (let i = 0; i < area.count; i++) {
    if (areaKind[i] === 4) crosswalkBars(map.bars, area.points(i));
    if (areaKind[i] === 6) map.occluders.push(area.points(i));
  }
  const stop = get("stop"), count = stop.length / 4, signal = get("stop_signal");
  map.stops = Array.from({ length: count }, (_, i) => ({
    ax: stop[i], ay: stop[count + i], bx: stop[2 * count + i], by: stop[3 * count + i], signal: signal[i],
  }));
  return map;
}

// An arrow on the ground every few metres: which way a lane goes.
function laneArrows(path, points) {
  let next = ARROW_EVERY / 2, done = 0;
  for (let k = 0; k + 1 < points.length; k++) {
    const [ax, ay] = points[k], [bx, by] = points[k + 1], size = Math.hypot(bx - ax, by - ay);
    const c = (bx - ax) / size, s = (by - ay) / size;
    for (; size > 0 && next <= done + size; next += ARROW_EVERY) {
      const x = ax + (next - done) * c, y = ay + (next - done) * s;
      const shape = [[1.5, 0], [0.1, 0.55], [0.1, 0.13], [-1.5, 0.13], [-1.5, -0.13], [0.1, -0.13], [0.1, -0.55]];
      shape.forEach(([u, v], n) => (n ? path.lineTo(x + u * c - v * s, y + u * s + v * c) : path.moveTo(x + u * c - v * s, y + u * s + v * c)));
      path.closePath();
    }
    done += size;
  }
}

// Bars of half a metre across a crosswalk, along its longest side.
function crosswalkBars(path, ring) {
  let best = 0, ux = 1, uy = 0;
  for (let k = 0; k + 1 < ring.length; k++) {
    const dx = ring[k + 1][0] - ring[k][0], dy = ring[k + 1][1] - ring[k][1], size = Math.hypot(dx, dy);
    if (size > best) { best = size; ux = dx / size; uy = dy / size; }
  }
  const along = ring.map(([x, y]) => x * ux + y * uy), across = ring.map(([x, y]) => y * ux - x * uy);
  const a0 = Math.min(...along), a1 = Math.max(...along), c0 = Math.min(...across), c1 = Math.max(...across);
  for (let s = a0 + 0.25; s + 0.5 <= a1 && s < a0 + 100; s += 1) {
    const at = (u, v) => [u * ux - v * uy, u * uy + v * ux];
    [[s, c0], [s + 0.5, c0], [s + 0.5, c1], [s, c1]].forEach(([u, v], k) => (k ? path.lineTo(...at(u, v)) : path.moveTo(...at(u, v))));
    path.closePath();
  }
}
