// The link to a moment: #t=7.3&run=1&view=split, and what else differs from how the page opens.

function fragment() {
  const parts = [`t=${Number(S.t.toFixed(2))}`];
  if (S.runs.length > 1) parts.push(`run=${S.run.index}`);
  if (isSplit(S)) parts.push("view=split");
  if (isSplit(S) && S.beside.length > 1) parts.push(`runs=${S.beside.join(",")}`);
  if (S.headingUp) parts.push("up=1");
  if (S.zoomed) parts.push(`scale=${Number(S.view.scale.toFixed(3))}`);
  if (!S.follow) parts.push(`at=${(S.view.x + S.run.offset[0]).toFixed(2)},${(S.view.y + S.run.offset[1]).toFixed(2)}`);
  return parts.join("&");
}

// Reads the address; theme, fit and selftest serve programs.
function applyFragment() {
  const wanted = new URLSearchParams(location.hash.slice(1)), number = (key) => (wanted.get(key) && Number.isFinite(Number(wanted.get(key))) ? Number(wanted.get(key)) : null);
  if (wanted.has("theme")) setTheme(wanted.get("theme"));
  if (number("run") !== null) setRun(number("run"));
  S.beside = (wanted.get("runs") || "").split(",").filter(Boolean).map(Number);
  if (wanted.has("view")) setSplit(wanted.get("view") === "split");
  if (number("scale") !== null) { S.zoomed = true; S.view.scale = Math.min(Math.max(number("scale"), 0.05), 200); }
  if (number("t") !== null) { setPlaying(false); seek(number("t")); }
  if (wanted.has("up")) setHeadingUp(wanted.get("up") === "1");
  const place = (wanted.get("at") || "").split(",").map(Number);
  if (place.length === 2 && place.every(Number.isFinite)) {
    setFollow(false);
    [S.view.x, S.view.y] = [place[0] - S.run.offset[0], place[1] - S.run.offset[1]];
  }
  if (wanted.has("fit")) fit();
  if (wanted.has("selftest")) {
    $("selftest")?.remove();
    render();
    document.body.append(el("pre", { id: "selftest" }, JSON.stringify(state())));
  }
  redraw();
}

// The address follows what is shown, so that a reload and a copied address lead back here.
let lastAddress = 0;
function keepAddress() {
  clearTimeout(lastAddress);
  lastAddress = setTimeout(() => {
    if (S.playing || location.protocol === "about:") return;
    try { history.replaceState(null, "", `#${fragment()}`); } catch { /* a frame without an address of its own */ }
  }, 400);
}

async function copyLink() {
  const text = `${location.href.split("#")[0]}#${fragment()}`;
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    const box = el("textarea", { readonly: "" });
    box.value = text;
    document.body.append(box);
    box.select();
    const done = document.execCommand("copy");
    box.remove();
    if (!done) { toast(text); return text; }
  }
  toast(`link to ${S.t.toFixed(1)} s copied`);
  return text;
}

let toastEnd = 0;
function toast(text) {
  $("toast").textContent = text;
  $("toast").hidden = false;
  clearTimeout(toastEnd);
  toastEnd = setTimeout(() => { $("toast").hidden = true; }, 2200);
}
