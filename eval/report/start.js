// Ties the parts together.

function change(name, event) {
  $(name).addEventListener(event, () => {
    F[name] = name === "column" ? Number($(name).value) : $(name).value;
    F.limit = STEP;
    list();
  });
}

// A cell of a table of groups: the scenes of that group, those first in which that planner did worst.
function pick(button) {
  const { family, tag, planner, pair, find } = button.dataset;
  if (pair !== undefined) {
    [$("first").value, $("second").value] = pair.split(",");
    different();
    $("apart").scrollIntoView();
    return;
  }
  Object.assign(F, { ...ANEW, find: find ?? "", outcome: find === undefined ? "" : "failed", sort: planner ?? "" });
  if (family !== undefined) F.family = String(D.families.indexOf(family));
  if (tag !== undefined) F.tag = String(D.tags.indexOf(tag));
  fill();
  list();
  $("all").scrollIntoView();
}

function bindList() {
  for (const name of ["family", "tag", "outcome", "column"]) change(name, "change");
  change("find", "input");
  $("clear").addEventListener("click", () => {
    Object.assign(F, ANEW);
    fill();
    list();
    $("find").focus();
  });
  $("more").addEventListener("click", () => { F.limit += STEP; list(); });
  $("every").addEventListener("click", () => { F.limit = Infinity; list(); });
  // Paper has no button for more.
  addEventListener("beforeprint", () => { F.kept = F.limit; F.limit = Infinity; F.paper = true; list(); });
  addEventListener("afterprint", () => { F.limit = F.kept; F.paper = false; list(); });
  addEventListener("hashchange", () => { if (location.hash.includes("=")) { recall(); list(); } });
  recall();
  list();
  if (location.hash.includes("=")) $("all").scrollIntoView();
}

function start() {
  D = JSON.parse($("data").textContent);
  bindTheme();
  bindCopy();
  bindSorting();
  for (const button of document.querySelectorAll("button.pick")) button.addEventListener("click", () => pick(button));
  if ($("first")) {
    for (const name of ["first", "second"]) $(name).addEventListener("change", different);
    different();
  }
  // Results without a scenario have no list.
  if ($("scenes")) bindList();
  addEventListener("keydown", (e) => {
    if (e.ctrlKey || e.metaKey || e.altKey || /^(INPUT|SELECT|TEXTAREA)$/.test(e.target.tagName)) return;
    if (e.key === "d") $("theme").click();
    if (e.key === "/" && $("find")) { e.preventDefault(); $("find").focus(); }
  });
  // For programs.
  window.drive = { shown: () => fitting().map((s) => D.scenes[s][0]), filters: () => ({ ...F }) };
}

start();
