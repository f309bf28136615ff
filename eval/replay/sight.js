// What the ego cannot see, shaded. The rule is that of drive.sim.sight: the sensor stands over the middle of
// the ego's box; buildings, and the boxes of road users at least as tall as the sensor, stand in the way.

const LOWEST_SENSOR = 1.8, FAR = 300;

function drawUnseen(P) {
  const { run, at, ctx, C } = P, pose = poseOf(run.ego, at);
  if (!pose || !run.hides) return;
  const eye = centreOf(run, pose), sensor = Math.max(run.vehicle.height || 0, LOWEST_SENSOR), rings = P.map ? [...P.map.occluders] : [];
  for (let a = 0; a < run.agents.length; a++) {
    if (!(run.cars.height[a] >= sensor)) continue;
    const p = agentAt(run, a, at);
    if (p) rings.push(cornersOf(p));
  }
  const shade = new Path2D();
  let any = false;
  for (const ring of rings) any = castShadow(shade, ring, eye) || any;
  const reach = Number(String(run.visibility || "").split(":")[1]);
  if (reach > 0) {
    // Beyond the sensor's range nothing is seen either: a ring around, wound like the shadows.
    shade.moveTo(eye.x + 2000, eye.y);
    shade.arc(eye.x, eye.y, 2000, 0, 2 * Math.PI);
    shade.moveTo(eye.x + reach, eye.y);
    shade.arc(eye.x, eye.y, reach, 0, -2 * Math.PI, true);
    any = true;
  }
  if (!any) return;
  ctx.fillStyle = C.unseen;
  ctx.fill(shade);
  if (P.map && P.map.areas[6]) drawBuildings(P, P.map.areas[6], 1 / P.view.scale);
}

function cornersOf(p) {
  const c = Math.cos(p.heading), s = Math.sin(p.heading), l = p.length / 2, w = p.width / 2;
  return [[l, w], [-l, w], [-l, -w], [l, -w]].map(([u, v]) => [p.x + u * c - v * s, p.y + u * s + v * c]);
}

// Behind each edge the quadrangle that it hides, all wound the same way: overlaps then fill once.
function castShadow(path, ring, eye) {
  if (ring.length < 3 || contains(ring, eye.x, eye.y)) return false;
  const away = ([x, y]) => { const d = Math.hypot(x - eye.x, y - eye.y) || 1; return [x + ((x - eye.x) / d) * FAR, y + ((y - eye.y) / d) * FAR]; };
  const near = Math.min(...ring.map(([x, y]) => Math.hypot(x - eye.x, y - eye.y)));
  if (near > FAR) return false;
  for (let k = 0; k < ring.length; k++) {
    let a = ring[k], b = ring[(k + 1) % ring.length];
    const turn = (a[0] - eye.x) * (b[1] - eye.y) - (a[1] - eye.y) * (b[0] - eye.x);
    if (Math.abs(turn) < 1e-9) continue;
    if (turn < 0) [a, b] = [b, a];
    [a, away(a), away(b), b].forEach(([x, y], n) => (n ? path.lineTo(x, y) : path.moveTo(x, y)));
    path.closePath();
  }
  return true;
}

function contains(ring, x, y) {
  let inside = false;
  for (let i = 0, j = ring.length - 1; i < ring.length; j = i++) {
    const [ax, ay] = ring[i], [bx, by] = ring[j];
    if (ay > y !== by > y && x < ((bx - ax) * (y - ay)) / (by - ay) + ax) inside = !inside;
  }
  return inside;
}
