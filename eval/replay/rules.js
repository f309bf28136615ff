// The strip under the map: how robustly each rule was kept over time, and by what it was decided at the cursor.

const RULE_HALF = 1; // a robustness of so many units takes half of the height; one without end all of it

// The rules that a run was judged by, with their series.
function rulesOf(run) {
  const books = Object.values(run.scores).filter((s) => s && typeof s === "object" && s.rules && typeof s.rules === "object");
  return books.flatMap((book) => Object.entries(book.rules)).map(([name, about]) => ({
    name, about: about || {}, line: { x: run.times, y: run.values.get(`rule.${name}`) || [] }, deciding: { x: run.times, y: run.values.get(`rule.${name}.predicate`) || [] },
  })).filter((rule) => rule.line.y.length);
}

function ruleHeight(value) { return Number.isFinite(value) ? value / (Math.abs(value) + RULE_HALF) : Math.sign(value); }

function fillRules(S) {
  const rules = rulesOf(S.run), broken = rules.filter((r) => r.about.broken_at !== null && r.about.broken_at !== undefined);
  $("rules").hidden = !rules.length;
  $("rules-told").textContent = broken.length ? `${broken.length} of ${rules.length} broken` : `all ${rules.length} kept`;
  S.rules = rules.map((rule) => {
    const canvas = el("canvas", { role: "img", "aria-label": `robustness of ${rule.name} over time` }), said = el("span", { class: "said" });
    const at = rule.about.broken_at, name = el("button", { type: "button", class: "rule-name", title: rule.about.text || rule.name }, rule.name.replaceAll("_", " "));
    if (Number.isFinite(at)) { name.classList.add("bad"); name.title += ` (broken at ${at.toFixed(1)} s)`; name.addEventListener("click", () => { setPlaying(false); seek(at); }); }
    const row = { ...rule, canvas, said, still: document.createElement("canvas"), box: el("div", { class: "rule" }, name, canvas, said) };
    const time = (e) => { const box = canvas.getBoundingClientRect(); return Math.min(Math.max((e.clientX - box.left) / box.width, 0), 1) * S.end; };
    canvas.addEventListener("pointerdown", (e) => { canvas.setPointerCapture(e.pointerId); setPlaying(false); point(null); seek(time(e)); });
    canvas.addEventListener("pointermove", (e) => { if (e.buttons & 1) { setPlaying(false); seek(time(e)); } else if (e.pointerType === "mouse") point(time(e)); });
    canvas.addEventListener("pointerleave", () => point(null));
    return row;
  });
  $("rule-rows").replaceChildren(...S.rules.map((r) => r.box));
}

// Above the middle line kept, below it broken; both by how much.
function paintRule(S, row) {
  const C = PALETTES[S.theme], { width, height } = row.canvas.getBoundingClientRect(), ctx = row.still.getContext("2d");
  row.width = Math.max(width, 30);
  row.height = Math.max(height, 10);
  for (const canvas of [row.canvas, row.still]) { canvas.width = Math.round(row.width * S.ratio); canvas.height = Math.round(row.height * S.ratio); }
  ctx.setTransform(S.ratio, 0, 0, S.ratio, 0, 0);
  const end = Math.max(S.end, 1e-3), middle = row.height / 2, { x, y } = row.line, count = Math.min(x.length, y.length);
  for (let i = 0; i < count; i++) {
    if (Number.isNaN(y[i])) continue;
    const from = (x[i] / end) * row.width, to = ((i + 1 < count ? x[i + 1] : x[i] + (x[i] - (x[i - 1] ?? 0))) / end) * row.width;
    const up = ruleHeight(y[i]) * middle;
    // However little a rule was broken, it is seen.
    const least = y[i] < 0 ? 4 : 1;
    ctx.globalAlpha = Number.isFinite(y[i]) || y[i] < 0 ? 0.9 : 0.18;
    ctx.fillStyle = y[i] < 0 ? C.red : C.green;
    const tall = Math.max(Math.abs(up), least);
    ctx.fillRect(from, y[i] < 0 ? middle : middle - tall, Math.max(to - from, 1), tall);
  }
  ctx.globalAlpha = 1;
  ctx.fillStyle = C.line;
  ctx.fillRect(0, middle - 0.5, row.width, 1);
}

function drawRules(S) {
  if ($("rules").hidden) return;
  const C = PALETTES[S.theme], time = S.pointed ?? S.t, end = Math.max(S.end, 1e-3);
  for (const row of S.rules) {
    const ctx = row.canvas.getContext("2d"), value = valueAt(row.line, time), code = valueAt(row.deciding, time);
    ctx.setTransform(1, 0, 0, 1, 0, 0);
    ctx.clearRect(0, 0, row.canvas.width, row.canvas.height);
    ctx.drawImage(row.still, 0, 0);
    ctx.setTransform(S.ratio, 0, 0, S.ratio, 0, 0);
    ctx.fillStyle = C.text;
    ctx.fillRect((time / end) * row.width - 0.5, 0, 1, row.height);
    const predicate = code >= 0 ? (row.about.predicates || [])[code] || "" : "", unit = row.about.unit ? ` ${row.about.unit}` : "";
    const number = Number.isNaN(value) ? "n/a" : Number.isFinite(value) ? `${figure(value, 2)}${unit}` : value > 0 ? "kept" : "broken";
    row.said.textContent = predicate ? `${number}   ${predicate}` : number;
    row.said.title = row.said.textContent;
    row.said.classList.toggle("bad", value < 0);
  }
}
