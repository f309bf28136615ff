// Mouse, touch and pen on the stage: pan, zoom, pinch, point at road users and at the ego's way.

function paneUnder(px, py) {
  const panes = panesOf(S, S.width, S.height);
  return panes.find((P) => px >= P.left && px < P.left + P.width && py >= P.top && py < P.top + P.height) || panes.find((P) => P.focus);
}

function zoom(factor, px, py) {
  const P = px === undefined ? null : paneUnder(px, py), before = P && toWorld(P, px, py);
  const scale = Math.min(Math.max(S.view.scale * factor, 0.05), 200);
  S.view.scale = scale;
  S.zoomed = true;
  if (P && !S.follow) {
    const after = toWorld({ ...P, view: { ...P.view, scale } }, px, py);
    S.view.x += before[0] - after[0];
    S.view.y += before[1] - after[1];
  }
  redraw();
}

// From following to a place of its own, without a jump.
function letGo(P) {
  if (S.follow && P) { S.view.x = P.view.x; S.view.y = P.view.y; }
  setFollow(false);
}

function agentUnder(P, px, py) {
  const [x, y] = toWorld(P, px, py);
  let best = null, nearest = Infinity;
  for (let a = 0; a < P.run.agents.length; a++) {
    const p = agentAt(P.run, a, P.at);
    if (!p) continue;
    const away = Math.hypot(p.x - x, p.y - y);
    if (away < Math.max(p.length / 2, 8 / P.view.scale) && away < nearest) { nearest = away; best = a; }
  }
  return best;
}

// The time at which the ego is, was or will be under the pointer; null where its way is not.
function timeUnder(P, px, py) {
  const [x, y] = toWorld(P, px, py), { xy, known, length } = P.run.ego, now = P.run.times[P.at.i];
  let best = null, nearest = 7 / P.view.scale;
  for (let i = 0; i < length; i++) {
    // Of several passes, or a stop, the one next to the present time.
    const away = Math.hypot(xy[i] - x, xy[length + i] - y);
    if (!known[i] || away > 7 / P.view.scale) continue;
    if (away < nearest - 0.05 || (away < nearest + 0.05 && best !== null && Math.abs(P.run.times[i] - now) < Math.abs(best - now))) { nearest = Math.min(away, nearest); best = P.run.times[i]; }
  }
  return best;
}

function showTip(P, px, py) {
  const tip = $("tip"), p = S.hover === null ? null : agentAt(P.run, S.hover, P.at);
  const lines = [];
  if (p) {
    const about = P.run.agents[S.hover], ego = poseOf(P.run.ego, P.at);
    lines.push(`${about.kind} ${about.id}${p.hidden ? ", hidden from the ego" : ""}`);
    if (about.kind !== "static") lines.push(agentRole({ ...S, colour: "role" }, { ...about, kind: "" }));
    lines.push(`${figure(p.speed, 1)} m/s, ${figure(ego ? Math.hypot(p.x - ego.x, p.y - ego.y) : NaN, 1)} m away`, `${figure(p.length, 2)} \u00d7 ${figure(p.width, 2)} m`);
  } else if (S.pointed !== null) lines.push(`ego at ${S.pointed.toFixed(1)} s, click to go there`);
  tip.hidden = !lines.length;
  tip.textContent = lines.join("\n");
  tip.style.left = `${Math.max(Math.min(px + 14, S.width - tip.offsetWidth - 6), 6)}px`;
  tip.style.top = `${Math.max(Math.min(py + 14, S.height - tip.offsetHeight - 6), 6)}px`;
}

function bindStage() {
  const canvas = $("map"), held = new Map();
  let moved = 0, spread = 0;
  const place = (e) => { const box = canvas.getBoundingClientRect(); return [e.clientX - box.left, e.clientY - box.top]; };
  const gap = () => { const [a, b] = [...held.values()]; return Math.hypot(a[0] - b[0], a[1] - b[1]); };
  canvas.addEventListener("pointerdown", (e) => {
    canvas.setPointerCapture(e.pointerId);
    held.set(e.pointerId, place(e));
    moved = held.size > 1 ? 99 : 0;
    if (held.size === 2) spread = gap();
  });
  canvas.addEventListener("pointermove", (e) => {
    const now = place(e), was = held.get(e.pointerId), P = paneUnder(...(was || now));
    if (!was) {
      const found = P.focus ? agentUnder(P, ...now) : null;
      if (found !== S.hover) { S.hover = found; redraw(); }
      point(found === null && P.focus ? timeUnder(P, ...now) : null);
      showTip(P, ...now);
      return;
    }
    held.set(e.pointerId, now);
    if (held.size === 2) { const wide = gap(); if (spread > 0) zoom(wide / spread, ...now); spread = wide; return; }
    moved += Math.hypot(now[0] - was[0], now[1] - was[1]);
    if (moved < 4) return;
    letGo(P);
    const view = { ...P, view: { ...P.view, x: S.view.x, y: S.view.y } }, a = toWorld(view, ...was), b = toWorld(view, ...now);
    S.view.x += a[0] - b[0];
    S.view.y += a[1] - b[1];
    $("tip").hidden = true;
    redraw();
  });
  const release = (e) => {
    if (!held.delete(e.pointerId) || e.type !== "pointerup" || moved >= 4) return;
    const P = paneUnder(...place(e)), time = P.focus ? timeUnder(P, ...place(e)) : null;
    if (!P.focus) { setRun(P.run.index); return; }
    S.chosen = agentUnder(P, ...place(e));
    if (S.chosen === null && time !== null) { setPlaying(false); point(null); seek(time); }
    redraw();
  };
  canvas.addEventListener("pointerup", release);
  canvas.addEventListener("pointercancel", release);
  canvas.addEventListener("pointerleave", () => { S.hover = null; $("tip").hidden = true; point(null); redraw(); });
  canvas.addEventListener("wheel", (e) => { e.preventDefault(); zoom(Math.exp(-e.deltaY * 0.0015), ...place(e)); }, { passive: false });
  canvas.addEventListener("dblclick", () => setFollow(true));
}
