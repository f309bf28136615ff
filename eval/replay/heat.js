// What the planner drew on the ground, a field or a risk: a raster per call, under the road users.

const HEAT_LASTS = 0.5;

// The raster of the call at or before t, -1 where there is none or it is stale.
function heatAt(run, t) {
  const times = run.heat ? run.heat.times : [];
  let found = -1;
  for (let k = 0; k < times.length && times[k] <= t + 1e-4; k++) found = k;
  return found >= 0 && t - times[found] < HEAT_LASTS ? found : -1;
}

function heatColour(C, f) { return [...C.heat, Math.round(225 * Math.sqrt(f))]; }

function heatPicture(heat, C, k) {
  const key = `${C.ground}${k}`;
  if (heat.pictures.has(key)) return heat.pictures.get(key);
  const { rows, columns } = heat, canvas = new OffscreenCanvas(columns, rows), ctx = canvas.getContext("2d");
  const image = ctx.createImageData(columns, rows), codes = heat.values.subarray(k * rows * columns, (k + 1) * rows * columns);
  codes.forEach((code, n) => image.data.set(heatColour(C, code / 255), 4 * n));
  ctx.putImageData(image, 0, 0);
  if (heat.pictures.size > 400) heat.pictures.clear();
  heat.pictures.set(key, canvas);
  return canvas;
}

function drawHeat(P, S) {
  const { ctx, C, run } = P, k = heatAt(run, S.t);
  if (k < 0) return;
  const { heat } = run, n = heat.times.length;
  ctx.save();
  ctx.translate(heat.pose[k], heat.pose[n + k]);
  ctx.rotate(heat.pose[2 * n + k]);
  ctx.imageSmoothingEnabled = true;
  // The first row lies on the right: with y up, the picture's first row is drawn lowest.
  ctx.drawImage(heatPicture(heat, C, k), 0, 0, heat.columns * heat.cell, heat.rows * heat.cell);
  ctx.restore();
}

function heatState(run, t) {
  const k = heatAt(run, t);
  if (k < 0) return null;
  const { heat } = run, n = heat.times.length, size = heat.rows * heat.columns, own = heat.values.subarray(k * size, (k + 1) * size);
  return {
    time: heat.times[k], x: heat.pose[k] + run.offset[0], y: heat.pose[n + k] + run.offset[1], heading: heat.pose[2 * n + k],
    rows: heat.rows, columns: heat.columns, cell: heat.cell, greatest: (Math.max(...own) / 255) * heat.high,
  };
}
