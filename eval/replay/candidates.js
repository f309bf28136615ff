// What the planner considered at this moment: one column a candidate, one row a score. Pointing at a column shows
// its candidate on the map, a click keeps it there.

// The rows: what ranks the candidates, then every score under the planner's own name for it.
function candidateRows(run) {
  const { score, probability, terms, names } = run.candidates, width = names.length;
  const rows = names.map((name, s) => ({ name: name.replaceAll("_", " "), value: (k) => terms[k * width + s] }));
  if (run.branching) rows.unshift({ name: "probability", value: (k) => probability[k] });
  if (!names.includes("score") && !names.includes("total") && score.length && !run.branching) rows.unshift({ name: "score", value: (k) => score[k] });
  return rows;
}

function fillCandidates(S) {
  const { start, xy } = S.run.candidates;
  S.candidate = S.pinned = null;
  S.table = { call: -2, cells: [], heads: [] };
  $("candidates").hidden = !xy.length;
  if (!xy.length) return;
  let most = 0;
  for (let m = 0; m + 1 < start.length; m++) most = Math.max(most, start[m + 1] - start[m]);
  const rows = candidateRows(S.run), numbers = Array.from({ length: most }, (_, k) => k);
  const over = (k) => ({ onpointerenter: () => showCandidate(S, k), onpointerleave: () => showCandidate(S, null) });
  const heads = numbers.map((k) => el("button", { type: "button", "aria-pressed": "false", title: "Show on the map; click to keep it shown", onclick: () => pinCandidate(S, k), onfocus: () => showCandidate(S, k), onblur: () => showCandidate(S, null) }, el("i", { class: "swatch" }), String(k + 1)));
  const cells = rows.map(() => numbers.map((k) => el("td", { class: "number", ...over(k), onclick: () => pinCandidate(S, k) })));
  const head = el("tr", {}, el("th", {}), ...heads.map((node, k) => el("th", { class: "number", ...over(k) }, node)));
  const body = rows.map(({ name }, r) => el("tr", {}, el("td", { title: name }, name), ...cells[r]));
  const table = el("table", { class: "plain" }, el("thead", {}, head), el("tbody", {}, ...body));
  table.style.minWidth = `${104 + 32 * most}px`;
  $("candidate-table").replaceChildren(table);
  S.table = { call: -2, cells, heads, rows };
}

// Only what changed since the last frame: the call, or which candidate is shown.
function updateCandidates(S, at) {
  const { run, table } = S;
  if (!run.candidates.xy.length || !$("candidates").open) return;
  const call = callAt(run, at.i), shown = shownCandidate(S);
  if (call === table.call && shown === table.shown && S.theme === table.theme) return;
  Object.assign(table, { call, shown, theme: S.theme });
  const { start, score, range, chosen } = run.candidates, known = call >= 0 && call + 1 < start.length;
  const from = known ? start[call] : 0, count = known ? start[call + 1] - from : 0, C = PALETTES[S.theme];
  table.heads.forEach((node, k) => {
    node.disabled = k >= count;
    node.setAttribute("aria-pressed", String(S.pinned === k));
    node.firstChild.style.background = k < count ? scoreColour(C, range, score[from + k]) : "transparent";
  });
  table.cells.forEach((row, r) => row.forEach((cell, k) => {
    cell.textContent = k < count ? shortFigure(table.rows[r].value(from + k)) : "";
    cell.classList.toggle("shown", k < count && k === shown);
    cell.classList.toggle("chosen", k < count && k === chosen[call]);
  }));
  $("candidate-note").textContent = count ? (chosen[call] >= 0 ? `Number ${chosen[call] + 1}, in bold, was chosen.` : "Of these none was chosen as it stands.") : "No candidates were kept here.";
}

// In the room of five characters.
function shortFigure(value) {
  const size = Math.abs(value);
  if (size > 1e37) return value < 0 ? "\u2212\u221e" : "\u221e"; // logs hold no infinity, but the largest number there is
  return size >= 1e4 ? `${value < 0 ? "\u2212" : ""}${size.toExponential(0).replace("+", "")}` : figure(value, size >= 100 ? 0 : size >= 10 ? 1 : 2);
}

function shownCandidate(S) { return S.candidate ?? S.pinned; }

function showCandidate(S, k) { S.candidate = k; redraw(); }

function pinCandidate(S, k) { S.pinned = S.pinned === k ? null : k; redraw(); }

// Over everything that is planned: the candidate that is pointed at, a dot a second.
function drawShownCandidate(P, S) {
  const { ctx, run, call, C } = P, { start, xy, points, ahead } = run.candidates, k = shownCandidate(S);
  if (run !== S.run || k === null || call < 0 || call + 1 >= start.length || start[call] + k >= start[call + 1]) return;
  const px = 1 / P.view.scale, total = xy.length / 2, from = (start[call] + k) * points;
  tracePoints(ctx, xy, total, from, from + points);
  ctx.strokeStyle = C.casing;
  ctx.lineWidth = Math.max(0.7, 6 * px);
  ctx.stroke();
  ctx.strokeStyle = ctx.fillStyle = C.text;
  ctx.lineWidth = Math.max(0.35, 3 * px);
  ctx.stroke();
  for (let p = 0, next = 1; p < points; p++) {
    if (ahead[p] < next - 1e-6) continue;
    next += 1;
    ctx.beginPath();
    ctx.arc(xy[from + p], xy[total + from + p], Math.max(0.45, 3.4 * px), 0, 7);
    ctx.fill();
  }
}
