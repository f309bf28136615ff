// The present view as one picture with its caption: what the PNG button saves, and the frames of a film.

const CAPTION = 46, STRIP = 50;

function picture(S, width, height, ratio) {
  const canvas = document.createElement("canvas"), C = PALETTES[S.theme], stage = height - CAPTION - STRIP;
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  const ctx = canvas.getContext("2d"), scale = S.view.scale, state = { hover: S.hover, pointed: S.pointed };
  // As much of the scene as the page shows, whatever the size of the picture.
  S.view.scale *= Math.min(width / S.width, stage / S.height);
  S.hover = S.pointed = null;
  drawStage(S, { ctx, width, height: stage, ratio, y: CAPTION });
  S.view.scale = scale;
  Object.assign(S, state);
  ctx.setTransform(ratio, 0, 0, ratio, 0, 0);
  drawCaption(S, ctx, C, width);
  drawStrip(S, ctx, C, width, height);
  return canvas;
}

function drawCaption(S, ctx, C, width) {
  const run = S.run;
  ctx.fillStyle = C.panel;
  ctx.fillRect(0, 0, width, CAPTION);
  ctx.textBaseline = "alphabetic";
  ctx.textAlign = "right";
  ctx.font = `600 20px ${FONT}`;
  ctx.fillStyle = C.text;
  const clock = `${S.t.toFixed(1)} s`;
  ctx.fillText(clock, width - 16, 30);
  let right = width - 16 - Math.max(ctx.measureText(clock).width, 70) - 18;
  if (!isSplit(S)) {
    ctx.font = `600 13px ${FONT}`;
    for (const [name, entry] of Object.entries(run.scores)) {
      const text = `${name} ${figure(scoreOf(entry), 3)}`;
      ctx.fillText(text, right, 29);
      right -= ctx.measureText(text).width + 16;
    }
  }
  ctx.textAlign = "left";
  const room = Math.max(right - 16, 60), at = sampleAt(run, S.t), call = callAt(run, at.i), status = call < 0 ? "" : run.status[call] || "ok";
  const line = isSplit(S) ? shownRuns(S).map((r) => r.label).join(" \u00b7 ") : `${run.label}   ${figure(run.ego.speed[at.i], 1)} m/s   ${status && status !== "ok" ? `plan ${status}` : ""}`;
  ctx.font = `650 15px ${FONT}`;
  ctx.fillText(clipped(ctx, String(run.scenario.id ?? "run"), room), 16, 20);
  ctx.font = `12px ${FONT}`;
  ctx.fillStyle = C.muted;
  ctx.fillText(clipped(ctx, line, room), 16, 37);
}

// The time line with its events, and as much of the legend as has room.
function drawStrip(S, ctx, C, width, height) {
  const top = height - STRIP, left = 16, span = width - 32, end = Math.max(S.end, 1e-3), y = top + 14;
  ctx.fillStyle = C.panel;
  ctx.fillRect(0, top, width, STRIP);
  ctx.fillStyle = C.line;
  ctx.fillRect(left, y - 2, span, 4);
  ctx.fillStyle = runColour(S, S.run.index);
  ctx.fillRect(left, y - 2, (span * S.t) / end, 4);
  for (const e of S.run.events) {
    ctx.fillStyle = e.kind === "status" ? C.second : C.red;
    ctx.fillRect(left + (span * e.time) / end - 1, y - 7, 2, 14);
  }
  ctx.fillStyle = C.text;
  ctx.beginPath();
  ctx.arc(left + (span * S.t) / end, y, 6, 0, 7);
  ctx.fill();
  let x = left;
  ctx.font = `11px ${FONT}`;
  ctx.textBaseline = "middle";
  ctx.textAlign = "left";
  const shown = [...legendEntries(S).filter((row) => row.key === null || (S.layers[row.key] && row.key !== "names")), ...roleEntries(S)];
  for (const { text, paint, scale } of shown) {
    const words = scale ? `${text}, score ${figure(scale[0], 2)} to ${figure(scale[1], 2)}` : text, need = 30 + ctx.measureText(words).width + 16;
    if (x + need > width) break;
    ctx.save();
    ctx.translate(x, top + 29);
    paint(ctx, C);
    ctx.restore();
    ctx.fillStyle = C.muted;
    ctx.fillText(words, x + 30, top + 35.5);
    x += need;
  }
}

function clipped(ctx, text, room) {
  if (ctx.measureText(text).width <= room) return text;
  let n = text.length;
  while (n > 1 && ctx.measureText(text.slice(0, n) + "\u2026").width > room) n--;
  return text.slice(0, n) + "\u2026";
}

// A frame of a film: the picture at a time, as base64 of a file of the given type.
function filmFrame(S, t, width, height, type) {
  S.t = Math.min(Math.max(t, 0), S.end);
  return picture(S, width, height, 1).toDataURL(type, 0.93).split(",")[1];
}

function savePicture(S) {
  const name = `${String(S.run.scenario.id ?? "run")}-${isSplit(S) ? "split" : S.run.label}-${S.t.toFixed(1)}s`.replace(/[^\w.-]+/g, "_");
  picture(S, Math.max(S.width, 480), S.height + CAPTION + STRIP, Math.max(S.ratio, 2)).toBlob((blob) => {
    const link = el("a", { download: `${name}.png`, href: URL.createObjectURL(blob) });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
    toast(`saved ${name}.png`);
  }, "image/png");
}
