// The legend is also where layers are switched: what it explains can be shown or hidden there.

function legendEntries(S) {
  const run = S.run, rows = [], others = isSplit(S) ? [] : sameScene(S).filter((r) => r !== run);
  const block = (colour) => (ctx) => { ctx.fillStyle = colour; ctx.fillRect(3, 1, 18, 10); };
  const line = (colour, dash, width) => (ctx, C) => { ctx.strokeStyle = typeof colour === "string" ? colour : colour(C); ctx.lineWidth = width; ctx.setLineDash(dash); ctx.beginPath(); ctx.moveTo(1, 6); ctx.lineTo(23, 6); ctx.stroke(); };
  const add = (key, text, paint, more = {}) => rows.push({ key, text, paint, ...more });
  const own = runColour(S, run.index);
  if (isSplit(S)) for (const r of shownRuns(S)) add(null, r.label, block(runColour(S, r.index))); else add(null, `ego: ${run.label}`, block(own));
  if (run.plan.times.length) add("plan", "plan, a dot a second", (ctx, C) => { line(own, [], 3)(ctx, C); ctx.fillStyle = own; for (const x of [5, 12, 19]) { ctx.beginPath(); ctx.arc(x, 6, 3, 0, 7); ctx.fill(); } });
  if (run.candidates.xy.length) {
    add("candidates", run.branching ? "branches, with probability" : "candidates", (ctx, C) => {
      [0, 0.5, 1].forEach((f, k) => { ctx.strokeStyle = between(C.scale, f); ctx.lineWidth = 1.8; ctx.beginPath(); ctx.moveTo(1, 6); ctx.quadraticCurveTo(12, 6, 23, [10, 6, 2][k]); ctx.stroke(); });
    }, { scale: run.candidates.range });
  }
  for (const { key, name, dash } of referencesOf(run)) add(key, name, line((C) => C.ghost, dash, 1.6));
  if (run.route.length) add("route", "route, and the goal's ring", (ctx, C) => { ctx.globalAlpha = 0.5; line(C.route, [], 6)(ctx, C); });
  if (S.maps[run.map]?.dark) add("shadow", "shadow", (ctx) => { ctx.fillStyle = "rgba(16,20,40,.62)"; ctx.fillRect(3, 1, 18, 10); });
  add("trails", "ways driven, and ahead", (ctx, C) => { line(own, [], 1.6)(ctx, C); ctx.fillStyle = C.panel; ctx.fillRect(13, 0, 2, 12); ctx.fillRect(18, 0, 2, 12); });
  if (others.length) add("others", `other runs: ${others.map((r) => nameOfRun(S, r).split(" \u2013 ").pop()).join(", ")}`, (ctx) => { ctx.strokeStyle = runColour(S, others[0].index); ctx.lineWidth = 2; ctx.strokeRect(4, 2, 16, 8); });
  if (run.heat) add("heat", String(run.heat.name), heatPaint(22), { scale: [0, run.heat.high], bar: heatPaint(70), of: "" });
  if (run.hides) add("hidden", "out of the ego's sight", (ctx, C) => { ctx.fillStyle = C.unseen; ctx.fillRect(1, 0, 22, 12); ctx.strokeStyle = CONTROLLER_COLOURS.IDM; ctx.lineWidth = 1.6; ctx.setLineDash([3, 2]); ctx.strokeRect(4, 2, 16, 8); });
  if (run.events.some((e) => e.kind === "collision" || e.kind === "off_road")) add("events", "collision (C), off the road (R)", (ctx, C) => { ctx.strokeStyle = ctx.fillStyle = C.red; ctx.lineWidth = 1.6; ctx.beginPath(); ctx.arc(12, 6, 5, 0, 7); ctx.stroke(); ctx.font = `700 8px ${FONT}`; ctx.textAlign = "center"; ctx.textBaseline = "middle"; ctx.fillText("C", 12, 6.5); ctx.textAlign = "left"; ctx.textBaseline = "alphabetic"; });
  if (run.agents.length) add("names", "names of road users", (ctx, C) => { ctx.fillStyle = C.text; ctx.font = `600 10px ${FONT}`; ctx.fillText("a7", 6, 10); });
  return rows;
}

// What the colours of road users say.
function roleEntries(S) {
  if (S.colour === "speed") return [{ text: "0 to 20 m/s and above", paint: (ctx) => { for (let x = 0; x < 18; x++) { ctx.fillStyle = speedColour((x / 17) * 20); ctx.fillRect(3 + x, 1, 1.5, 10); } } }];
  const seen = new Map();
  for (const about of S.run.agents) {
    const name = agentRole(S, about);
    seen.set(name, { about, count: (seen.get(name)?.count || 0) + 1 });
  }
  return [...seen].sort().map(([name, { about, count }]) => ({
    text: `${name} (${count})`,
    paint: (ctx, C) => {
      ctx.fillStyle = agentColour(S, about, 0);
      if (about.kind === "pedestrian") { ctx.beginPath(); ctx.arc(12, 6, 4.5, 0, 7); ctx.fill(); } else if (about.kind === "bicycle") ctx.fillRect(3, 4, 18, 4); else if (about.kind === "static") { ctx.strokeStyle = C.text; ctx.fillRect(9, 3, 6, 6); ctx.strokeRect(9, 3, 6, 6); } else ctx.fillRect(3, 1, 18, 10);
    },
  }));
}

function swatch(S, paint, width = 24) {
  const canvas = el("canvas", { "aria-hidden": "true" });
  canvas.width = width * S.ratio;
  canvas.height = 12 * S.ratio;
  canvas.style.width = `${width}px`;
  const ctx = canvas.getContext("2d");
  ctx.scale(S.ratio, S.ratio);
  paint(ctx, PALETTES[S.theme]);
  return canvas;
}

function scalePaint(width) {
  return (ctx, C) => { for (let x = 0; x < width; x++) { ctx.fillStyle = between(C.scale, x / (width - 1)); ctx.fillRect(x, 2, 1.2, 8); } };
}

function heatPaint(width) {
  return (ctx, C) => { for (let x = 0; x < width; x++) { const [r, g, b, a] = heatColour(C, x / (width - 1)); ctx.fillStyle = `rgba(${r},${g},${b},${a / 255})`; ctx.fillRect(x + 1, 2, 1, 8); } };
}

function fillLegend(S) {
  const rows = legendEntries(S).map(({ key, text, paint, scale, bar = scalePaint(70), of = "score " }) => {
    const words = [swatch(S, paint), el("span", {}, text)];
    const row = key === null ? el("div", {}, ...words) : el("button", { type: "button", "aria-pressed": S.layers[key], onclick: () => { S.layers[key] = !S.layers[key]; refresh(); } }, ...words);
    if (!scale || !S.layers[key]) return [row];
    const [low, high] = scale;
    return [row, el("div", { class: "scale" }, el("span", {}, of + figure(low, 2)), swatch(S, bar, 70), el("span", {}, figure(high, 2)))];
  });
  const roles = roleEntries(S).map(({ text, paint }) => el("div", {}, swatch(S, paint), el("span", {}, text)));
  $("legend-rows").replaceChildren(...rows.flat());
  $("roles").replaceChildren(...roles);
  $("colour-row").hidden = !S.run.agents.length;
}
