// Events: letters over the time slider, the list beside the map, and the way from one to the next.

const EVENT_KINDS = {
  collision: ["C", "collision"], off_road: ["R", "off the road"], low_time_to_collision: ["T", "low time to collision"],
  hard_braking: ["B", "hard braking"], status: ["P", "plan status"], planner_error: ["F", "planner failed"],
  planner_timeout: ["F", "planner timed out"], simulator_error: ["F", "simulator failed"], story: ["S", "story"],
};

function eventLetter(e) { return (EVENT_KINDS[e.kind] || ["\u2022"])[0]; }

function eventName(e) { return (EVENT_KINDS[e.kind] || [0, e.kind.replaceAll("_", " ")])[1]; }

function eventText(e) { return [eventName(e), e.text].filter(Boolean).join(": "); }

function eventClass(e) { return e.kind === "status" || e.kind === "story" ? "plan" : e.grave && (e.kind === "low_time_to_collision" || e.kind === "hard_braking") ? "warn" : "bad"; }

function nextEvent(direction) {
  const times = S.run.events.map((e) => e.time).filter((t) => (t - S.t) * direction > 1e-3);
  if (!times.length) { toast(direction > 0 ? "no later event" : "no earlier event"); return; }
  setPlaying(false);
  seek(direction > 0 ? Math.min(...times) : Math.max(...times));
}

function fillEvents(S) {
  const events = S.run.events, go = (e) => { setPlaying(false); seek(e.time); };
  const rows = events.map((e) => el("button", { type: "button", onclick: () => go(e) }, el("i", { class: `letter ${eventClass(e)}` }, eventLetter(e)), el("time", {}, `${e.time.toFixed(1)} s`), el("span", {}, eventText(e))));
  $("events").replaceChildren(el("h2", {}, "Events"), ...(rows.length ? rows : [el("p", { class: "muted" }, "Nothing happened in this run.")]));
  const ticks = events.map((e) => {
    const tick = el("button", { type: "button", class: `tick ${eventClass(e)}`, "aria-label": `${eventText(e)}, at ${e.time.toFixed(1)} s`, onclick: () => go(e) }, el("i", { class: "letter" }, eventLetter(e)));
    tick.style.left = `${(100 * e.time) / Math.max(S.end, 1e-3)}%`;
    const show = () => showTick(tick, `${e.time.toFixed(1)} s  ${eventText(e)}`), hide = () => { $("tick-tip").hidden = true; };
    for (const [kind, action] of [["pointerenter", show], ["focus", show], ["pointerleave", hide], ["blur", hide]]) tick.addEventListener(kind, action);
    return tick;
  });
  $("ticks").replaceChildren(...ticks);
  $("line").classList.toggle("eventful", events.length > 0);
  $("before").disabled = $("after").disabled = !events.length;
  S.eventRows = rows;
  spaceTicks(S);
}

function showTick(tick, text) {
  const tip = $("tick-tip"), line = $("line").getBoundingClientRect();
  tip.textContent = text;
  tip.hidden = false;
  const half = tip.offsetWidth / 2, middle = tick.getBoundingClientRect().left + tick.offsetWidth / 2;
  tip.style.left = `${Math.min(Math.max(middle, half + 6), innerWidth - half - 6) - line.left}px`;
}

// Letters that would cover an earlier one of the same or more weight stay away; their line stays.
function spaceTicks(S) {
  const width = $("ticks").clientWidth || 1, ticks = [...$("ticks").children], weight = { bad: 0, warn: 1, plan: 2 }, taken = [];
  const order = S.run.events.map((e, k) => [weight[eventClass(e)], e.time, k]).sort((a, b) => a[0] - b[0] || a[1] - b[1]);
  for (const [, time, k] of order) {
    const x = (width * time) / Math.max(S.end, 1e-3), free = taken.every((other) => Math.abs(other - x) >= 17);
    ticks[k].classList.toggle("bare", !free);
    if (free) taken.push(x);
  }
}

// The last event before now is marked in the list.
function markEvent(S) {
  let now = -1;
  S.run.events.forEach((e, k) => { if (e.time <= S.t + 1e-3) now = k; });
  (S.eventRows || []).forEach((row, k) => row.classList.toggle("now", k === now));
}

// Collisions and leaving the road, where they happened, once they have: a letter in a ring beside the ego.
function drawEvents(P) {
  const { ctx, run, C } = P, taken = [];
  for (const e of run.events) {
    if ((e.kind !== "collision" && e.kind !== "off_road") || e.time > run.times[P.at.i] + 1e-3) continue;
    const pose = poseOf(run.ego, sampleAt(run, e.time));
    if (!pose) continue;
    const centre = centreOf(run, pose), [x, y] = toScreen(P, centre.x, centre.y);
    if (taken.some(([u, v]) => Math.hypot(u - x, v - y) < 12)) continue;
    taken.push([x, y]);
    ctx.strokeStyle = C.red;
    ctx.fillStyle = C.panel;
    ctx.lineWidth = 2;
    const out = Math.max(16, 0.7 * run.size.length * P.view.scale), [u, v] = [x, y - out];
    ctx.beginPath();
    ctx.moveTo(x, y);
    ctx.lineTo(u, v + 8);
    ctx.stroke();
    ctx.beginPath();
    ctx.arc(u, v, 8, 0, 7);
    ctx.fill();
    ctx.stroke();
    ctx.fillStyle = C.red;
    ctx.font = `700 11px ${FONT}`;
    ctx.textAlign = "center";
    ctx.textBaseline = "middle";
    ctx.fillText(eventLetter(e), u, v + 0.5);
  }
}
