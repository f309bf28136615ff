// Colours told apart by all eyes (after Okabe and Ito); what matters also differs in shape, dash or word.

const PALETTES = {
  light: {
    ground: "#e6eae4", road: "#bfc5cc", path: "#cfd8c6", walk: "#d9dad8", parking: "#b3bac2", edge: "#8d969f", paint: "#ffffff", arrow: "#d9dee3",
    occluder: "#c9b9a3", wall: "#8f7c64", shade: "rgba(60,50,40,.25)", text: "#1b1f24", muted: "#57616d", ghost: "#2f3840", second: "#0072b2",
    route: "#e0b000", grid: "#d8ddd9", outline: "#1b1f24", glass: "rgba(255,255,255,.8)", panel: "#ffffff", line: "#d5dae1", unseen: "rgba(40,48,60,.20)", heat: [190, 40, 110],
    red: "#c8321a", yellow: "#e0a800", green: "#00936b", unknown: "#7a848f", brake: "#e0001b", casing: "rgba(255,255,255,.7)",
    scale: [[226, 178, 76], [112, 176, 122], [30, 120, 160], [20, 40, 110]],
  },
  dark: {
    ground: "#1a2127", road: "#333c45", path: "#323e37", walk: "#282f34", parking: "#3b454e", edge: "#58636e", paint: "#b4bec8", arrow: "#46515b",
    occluder: "#4a4036", wall: "#7b6a56", shade: "rgba(0,0,0,.45)", text: "#e4e8ed", muted: "#98a3af", ghost: "#c9d2da", second: "#6cb8ea",
    route: "#c9a92c", grid: "#262e35", outline: "#05070a", glass: "rgba(8,12,16,.65)", panel: "#161b21", line: "#2b333c", unseen: "rgba(0,0,0,.5)", heat: [255, 110, 170],
    red: "#ff6a4d", yellow: "#f0c93a", green: "#2fc796", unknown: "#98a3af", brake: "#ff4d5e", casing: "rgba(8,12,16,.7)",
    scale: [[52, 74, 140], [44, 140, 160], [120, 200, 140], [250, 240, 150]],
  },
};
const RUN_COLOURS = {
  light: ["#c8500a", "#6a35b0", "#007f5c", "#b8326f", "#7a6200", "#0f7589", "#8a4b20", "#3f4fc4"],
  dark: ["#f07a26", "#b48cf2", "#2fc796", "#ef7fb0", "#d6b941", "#49c4d8", "#c98b5e", "#8e9bff"],
};
const CONTROLLER_COLOURS = { log: "#7d8793", IDM: "#3c8fc9", MOBIL: "#56b4e9", control: "#cc79a7", trajectory: "#b59b00" };
const KIND_COLOURS = {
  vehicle: "#3c8fc9", truck: "#2f6fa8", bus: "#5f6fc0", motorcycle: "#56b4e9", bicycle: "#cc79a7", pedestrian: "#e69f00",
  static: "#f3e9d8", unknown: "#7d8793",
};
const VULNERABLE = new Set(["pedestrian", "bicycle"]);
const SPEEDS = [[68, 1, 84], [49, 104, 142], [53, 183, 121], [253, 231, 37]];

function runColour(S, i) { return RUN_COLOURS[S.theme][i % RUN_COLOURS[S.theme].length]; }

function between(stops, f) {
  const last = stops.length - 1, g = Math.min(Math.max(f, 0), 1) * last, k = Math.min(Math.floor(g), last - 1), w = g - k;
  return `rgb(${stops[k].map((c, n) => Math.round(c + w * (stops[k + 1][n] - c))).join(",")})`;
}

function speedColour(v) { return between(SPEEDS, v / 20); }

// Of a candidate: pale where it is poor, strong where it is good.
function scoreColour(C, range, score) {
  if (!range || !Number.isFinite(score)) return C.muted;
  return between(C.scale, range[1] - range[0] < 1e-9 ? 1 : (score - range[0]) / (range[1] - range[0]));
}

function agentColour(S, about, speed) {
  if (S.colour === "speed") return speedColour(speed);
  if (S.colour === "kind") return KIND_COLOURS[about.kind] || KIND_COLOURS.unknown;
  if (VULNERABLE.has(about.kind) || about.kind === "static") return KIND_COLOURS[about.kind];
  return CONTROLLER_COLOURS[about.controller] || CONTROLLER_COLOURS.trajectory;
}

function agentRole(S, about) {
  const special = S.colour === "kind" || VULNERABLE.has(about.kind) || about.kind === "static";
  if (special) return about.kind;
  return about.controller === "log" ? "replayed from the log" : `driven by ${about.controller}`;
}
