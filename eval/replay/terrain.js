// A terrain as the ground of a view: shaded relief, and the shadow that moves over it.

const LUNAR = { light: [[196, 192, 184], [250, 248, 243]], dark: [[58, 62, 68], [134, 138, 144]] };

// The map's entry with its pictures; it has no lanes, so whatever asks for those finds none.
function openTerrain(page, entry) {
  const get = (name) => page.array(entry.prefix + "." + name), shape = (name) => page.arrays[entry.prefix + "." + name][1];
  const [rows, columns] = shape("shade"), dark = entry.dark_times.length ? get("dark") : null, size = dark ? shape("dark") : [0, 0, 0];
  return {
    ...entry, rows, columns, shade: get("shade"), height: get("height"), dark, size, reliefs: {}, veils: new Map(),
    stops: [], occluders: [], areas: {}, terrain: true,
  };
}

// Row 0 lies in the south: a picture's first row is its last.
function pictureOf(columns, rows, colourOf) {
  const canvas = document.createElement("canvas");
  canvas.width = columns;
  canvas.height = rows;
  const ctx = canvas.getContext("2d"), image = ctx.createImageData(columns, rows);
  for (let r = 0; r < rows; r++) {
    for (let c = 0; c < columns; c++) image.data.set(colourOf(r * columns + c), 4 * ((rows - 1 - r) * columns + c));
  }
  ctx.putImageData(image, 0, 0);
  return canvas;
}

// Low ground is darker and high ground lighter, both shaded.
function reliefOf(map, theme) {
  return (map.reliefs[theme] ??= pictureOf(map.columns, map.rows, (i) => {
    const [low, high] = LUNAR[theme], f = map.height[i] / 255, shade = 0.35 + (0.65 * map.shade[i]) / 180;
    return [...low.map((v, k) => Math.min((v + f * (high[k] - v)) * Math.min(shade, 1.08), 255)), 255];
  }));
}

function veilOf(map, k) {
  if (!map.veils.has(k)) {
    const [, rows, columns] = map.size, at = k * rows * columns;
    map.veils.set(k, pictureOf(columns, rows, (i) => [16, 20, 40, 0.62 * map.dark[at + i]]));
  }
  return map.veils.get(k);
}

// A picture whose cells lie about the grid's points.
function layPicture(ctx, picture, [x, y], cell) {
  ctx.save();
  ctx.translate(x - cell / 2, y - cell / 2);
  ctx.scale(1, -1);
  ctx.imageSmoothingEnabled = true;
  ctx.drawImage(picture, 0, -picture.height * cell, picture.width * cell, picture.height * cell);
  ctx.restore();
}

function drawTerrain(P, theme, time) {
  const { ctx, map, C } = P, px = 1 / P.view.scale;
  layPicture(ctx, reliefOf(map, theme), map.corner, map.cell);
  if (map.dark && P.layers.shadow) {
    const times = map.dark_times;
    let k = 0;
    while (k < times.length - 1 && times[k + 1] <= time) k++;
    const next = Math.min(k + 1, times.length - 1), w = next > k ? Math.min(Math.max((time - times[k]) / (times[next] - times[k]), 0), 1) : 0;
    for (const [frame, alpha] of [[k, 1 - w], [next, w]]) {
      if (alpha < 1e-3) continue;
      ctx.globalAlpha = alpha;
      layPicture(ctx, veilOf(map, frame), map.corner, map.dark_cell);
      ctx.globalAlpha = 1;
    }
  }
  ctx.strokeStyle = C.edge;
  ctx.lineWidth = 1.5 * px;
  ctx.strokeRect(map.corner[0], map.corner[1], (map.columns - 1) * map.cell, (map.rows - 1) * map.cell);
}

// The charts that only a rover fills: its load under the limit, its charge, its tilt.
function roverCharts(run, chart, ofSeries) {
  if (!run.values.has("power_peak")) return [];
  const line = (name, about) => ({ x: run.times, y: run.values.get(name) || [], ...about });
  return [
    chart("Power", "W", (r) => ofSeries(r, "power_peak"), {
      low: 0, about: "the largest load of each step, what was allowed, and what sun and generator gave", label: "load",
      lines: [line("power_limit", { limit: true, dash: [5, 3], label: "limit" }), line("supply", { second: true, label: "supply" })],
    }),
    chart("Battery", "kJ", (r) => ({ x: r.times, y: Float64Array.from(r.values.get("battery") || [], (v) => v / 1000) })),
    chart("Tilt", "°", (r) => ({ x: r.times, y: Float64Array.from(r.values.get("tilt") || [], (v) => (v * 180) / Math.PI) }), { low: 0, guide: (run.rover.max_slope * 180) / Math.PI }),
  ];
}

const ROVER_TILES = ["speed", "power", "allowed", "battery", "planning", "plan"];

// Texts of a rover's tiles, and whether the load is over what is allowed.
function roverTexts(run, i, call, status) {
  const at = (name) => run.values.get(name)?.[i] ?? NaN;
  return {
    over: at("power_peak") > 1.03 * at("power_limit"),
    texts: [
      `${figure(run.ego.speed[i], 2)} m/s`, `${figure(at("power_peak"), 1)} W`, `${figure(at("power_limit"), 1)} W`, `${figure(at("battery") / 1000, 1)} kJ`,
      call < 0 ? "\u2013" : `${figure(1000 * run.plan.latency[call], 2)} ms`, status,
    ],
  };
}
