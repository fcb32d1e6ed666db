// The page: loads the farm, keeps it fresh, and lets those act who have the token.

import { ask, listen, operator } from "./api.js";
import { Grid } from "./grid.js";
import { Operations } from "./operations.js";
import { Planning } from "./planning.js";
import { Selection } from "./selection.js";
import { GLYPHS, byId, make, many, setClock } from "./words.js";

const SAY_EVERY_MS = 5000;
const AGAIN_MS = 3000;

const grid = new Grid((words) => { byId("detail").textContent = words; });
const selection = new Selection(grid, showSelection);
const planning = new Planning(() => selection.set([]));
const operations = new Operations({
  undo: (each) => planning.open({ undo: each.id }, each.to === "cloud" ? "HLT" : "cloud"),
  retry: (each) => planning.open({ retry: each.id }, each.to),
  cancel: (each) => {
    const words = `Call off ${each.id}? Nobody more is asked; nodes that are on their way go on.`;
    if (window.confirm(words)) act(`/operations/${each.id}/cancel`);
  },
  carryOn: (each) => act(`/operations/${each.id}/carry-on`),
});
let line = false;

async function load() {
  let farm;
  try {
    farm = await ask("GET", "/farm");
  } catch {
    showLine(false);
    setTimeout(load, AGAIN_MS);
    return;
  }
  setClock(farm.time_s);
  paintModes(farm.modes);
  grid.load(farm.nodes);
  selection.renew();
  operations.load(farm.operations, farm.switchovers);
  byId("total").textContent = many(farm.nodes.length, "node");
  byId("unlock").hidden = !farm.may_act;
  listen(farm.event, {
    nodes: (nodes) => grid.change(nodes),
    operations: (changed) => operations.change(changed),
    switchovers: (arrived) => operations.arrived(arrived),
    line: showLine,
    lost: load,
  });
}

// Colours come from the server, which has them from the one table of modes.
function paintModes(modes) {
  if (byId("legend").children.length) return;
  for (const mode of modes) {
    document.documentElement.style.setProperty(`--${mode.name}`, mode.colour);
    document.documentElement.style.setProperty(`--on-${mode.name}`, readable(mode.colour));
  }
  const entries = [...modes, { name: "no answer", meaning: "does not answer" }];
  byId("legend").append(...entries.map(({ name, meaning }) => {
    const cell = make("span", { class: "cell", "aria-hidden": "true" }, GLYPHS[name]);
    cell.dataset.mode = name;
    return make("li", { title: meaning }, cell, ` ${name} `, make("b", { "data-count": name }, "0"));
  }));
  const stuck = make("span", { class: "cell stuck", "aria-hidden": "true" }, "!");
  const held = make("span", { class: "cell held", "aria-hidden": "true" });
  byId("legend").append(
    make("li", { title: "waits longer than it should" }, stuck, " stuck ", make("b", { "data-count": "stuck" }, "0")),
    make("li", { title: "no operation may take it" }, held, " on hold ", make("b", { "data-count": "held" }, "0")));
}

// Black or white, whichever is easier to read on a colour.
function readable(colour) {
  const [r, g, b] = [1, 3, 5].map((at) => (parseInt(colour.slice(at, at + 2), 16) / 255) ** 2.2);
  const light = 0.2126 * r + 0.7152 * g + 0.0722 * b;
  return 1.05 / (light + 0.05) > (light + 0.05) / 0.05 ? "#fff" : "#000";
}

function showCounts() {
  const nodes = [...grid.nodes.values()];
  const stuck = nodes.filter((node) => node.stuck);
  const silent = nodes.filter((node) => node.mode === null);
  const counts = { ...grid.counts(), stuck: stuck.length, held: nodes.filter((node) => node.held).length };
  for (const each of document.querySelectorAll("[data-count]")) {
    const words = String(counts[each.dataset.count] ?? 0);
    if (each.textContent !== words) each.textContent = words;
  }
  const failed = nodes.filter((node) => node.mode === "cloud" && node.vms === "failed");
  operations.trouble(stuck, failed, silent);
  say(counts);
}

// Screen readers hear of changes now and then, not of each.
function say(counts) {
  if (say.timer) return;
  say.timer = setTimeout(() => {
    say.timer = null;
    showLine(line);
  }, SAY_EVERY_MS);
  say.words = Object.entries(counts).filter(([, n]) => n).map(([name, n]) => `${n} ${name}`).join(", ");
}

function showLine(up) {
  line = up;
  document.body.classList.toggle("offline", !up);
  const words = up ? "live" : "no connection; what is shown is old, tries again …";
  byId("line").replaceChildren(words, ...(up && say.words ? [make("span", { class: "unseen" }, `: ${say.words}`)] : []));
}

function showSelection(hosts) {
  byId("chosen").textContent = hosts.size ? `${many(hosts.size, "node")} selected` : "nothing selected";
  for (const id of ["exclude", "include", "clear"]) byId(id).disabled = hosts.size === 0;
}

// Acting

function allow(may) {
  document.body.classList.toggle("may-act", may);
  byId("tools").hidden = !may;
  byId("unlock").textContent = may ? `${operator.who()}: stop operating` : "Operate …";
  selection.allow(may);
  operations.allow(may);
}

async function act(path) {
  byId("tools-error").textContent = "";
  try {
    await ask("POST", path);
  } catch (error) {
    byId("tools-error").textContent = error.message;
    if (error.status === 401) lock();
  }
}

function lock() {
  operator.forget();
  allow(false);
}

async function unlock(event) {
  event.preventDefault();
  operator.set(byId("token").value, byId("who").value);
  try {
    await ask("GET", "/access");
    byId("token").value = "";
    byId("token-dialog").close();
    allow(true);
  } catch (error) {
    operator.forget();
    byId("token-error").textContent = error.message;
  }
}

async function pick(event) {
  event.preventDefault();
  byId("tools-error").textContent = "";
  try {
    const found = await ask("GET", `/hosts?set=${encodeURIComponent(byId("set").value)}`);
    selection.set(found.hosts);
    grid.cells.get(found.hosts[0])?.scrollIntoView({ block: "nearest" });
  } catch (error) {
    byId("tools-error").textContent = error.message;
  }
}

byId("unlock").addEventListener("click", () => {
  if (operator.token()) return lock();
  byId("token-error").textContent = "";
  byId("who").value = operator.who();
  byId("token-dialog").showModal();
  return undefined;
});
byId("token-form").addEventListener("submit", unlock);
byId("tools").addEventListener("submit", pick);
byId("clear").addEventListener("click", () => selection.set([]));
byId("exclude").addEventListener("click", () => planning.open({ to: "cloud", hosts: [...selection.hosts] }, "cloud"));
byId("include").addEventListener("click", () => planning.open({ to: "HLT", hosts: [...selection.hosts] }, "HLT"));
for (const button of document.querySelectorAll("dialog .close")) {
  button.addEventListener("click", () => button.closest("dialog").close());
}
grid.root.addEventListener("painted", showCounts);
if (operator.token()) ask("GET", "/access").then(() => allow(true), lock);
load();
