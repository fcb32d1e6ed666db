// Running and past operations, switchovers, and the nodes that need a look.

import { byId, clock, direction, make, many, now, slow, span } from "./words.js";

const SHOWN = 8;
const BY = { server: "runs here", other: "run from a command line", nobody: "nobody runs it" };

export class Operations {
  constructor(actions) {
    this.all = new Map();
    this.switchovers = [];
    this.actions = actions;  // what buttons do: undo, retry, cancel, carryOn
    this.acting = false;
    byId("running").addEventListener("click", (event) => this.#pressed(event));
    byId("past").addEventListener("click", (event) => this.#pressed(event));
    setInterval(() => this.#showRunning(), 1000);  // durations go on
  }

  load(operations, switchovers) {
    this.all = new Map();
    this.switchovers = switchovers;
    this.change(operations);
    this.#showSwitchovers();
  }

  change(operations) {
    for (const each of operations) this.all.set(each.id, each);
    this.#showRunning();
    this.#showPast();
  }

  arrived(switchovers) {
    this.switchovers = [...switchovers.toReversed(), ...this.switchovers].slice(0, 100);
    this.#showSwitchovers();
  }

  allow(acting) {
    this.acting = acting;
    this.#showRunning();
    this.#showPast();
  }

  // Stuck nodes one by one, for each waits for something else; the others in a line of their kind.
  trouble(stuck, failed, silent) {
    const lines = stuck.slice(0, SHOWN).map((node) => make("li", {}, make("strong", {}, node.host),
      ` stuck in ${node.mode} for ${span(now() - node.since_s)}, waits for ${node.blocker || "?"}`));
    if (stuck.length > SHOWN) lines.push(make("li", {}, `and ${stuck.length - SHOWN} more that are stuck`));
    if (failed.length) lines.push(named(failed, "in cloud without VMs"));
    if (silent.length) lines.push(named(silent, "without an answer"));
    fill(byId("trouble"), lines, "li", "Nothing is stuck, everyone answers.");
  }

  #newest() {
    return [...this.all.values()].sort((a, b) => b.created_s - a.created_s);
  }

  #showRunning() {
    const running = this.#newest().filter((each) => each.verdict === undefined);
    const shown = running.map((each) => this.#card(each));
    // a button that has the keyboard keeps it
    const focused = document.activeElement?.dataset.key;
    fill(byId("running"), shown, "p", "No operation is running.");
    if (focused) byId("running").querySelector(`[data-key="${focused}"]`)?.focus();
  }

  #card(each) {
    const state = each.called_off ? "called off" : `${each.doing}, stage ${each.stage} of ${each.stages}`;
    const left = each.left_s === undefined || each.left_s < 1 ? "" : `, about ${span(each.left_s)} left`;
    const waits = each.slowest ?? [];
    const rows = waits.map((slow) => make("li", slow.stuck ? { class: "stuck-line" } : {},
      make("strong", {}, slow.host),
      ` ${span(now() - slow.asked_s)} in ${slow.mode ?? "?"}${slow.stuck ? ", stuck" : ""}: ${slow.waits || "…"}`));
    return make("article", { class: "operation" },
      make("h3", {}, `${many(each.nodes, "node")} ${direction(each.to)}`,
        make("span", { class: "quiet" }, ` ${each.who}${each.reason ? `: ${each.reason}` : ""}`)),
      make("progress", { max: each.nodes, value: each.ended, "aria-label": `${each.ended} of ${each.nodes} have ended` }),
      make("p", {}, `${each.ended} of ${each.nodes} have ended${left}. `, make("span", { class: "quiet" },
        `${state}; ${BY[each.run_by]}; begun ${clock(each.created_s)}`)),
      counted(each),
      ...(each.trouble ? [make("p", { class: "error" }, each.trouble)] : []),
      ...(rows.length ? [make("p", { class: "quiet" }, "Longest on their way, and what they wait for:"),
        make("ul", { class: "slowest" }, ...rows)] : []),
      this.#buttons(each, each.called_off ? [] : ["cancel"], each.run_by === "nobody" ? ["carryOn"] : []));
  }

  #showPast() {
    const past = this.#newest().filter((each) => each.verdict !== undefined).slice(0, SHOWN);
    const lines = past.map((each) => {
      const took = each.median_s === undefined ? ""
        : `; a node took ${span(each.median_s)}${slow(each)}`;
      const good = (each.counts.done ?? 0) + (each.counts.already ?? 0);
      return make("li", {},
        make("span", { class: `verdict ${each.verdict === "all good" ? "good" : "bad"}` }, each.verdict),
        ` ${many(each.nodes, "node")} ${direction(each.to)}, ${clock(each.created_s)} `,
        make("span", { class: "quiet" }, `${each.who}${each.reason ? `: ${each.reason}` : ""}${took}`),
        ...(good === each.nodes ? [] : [counted(each)]),
        this.#buttons(each, ["undo"], good === each.nodes ? [] : ["retry"]));
    });
    fill(byId("past"), lines, "li", "None yet.");
  }

  #showSwitchovers() {
    const lines = this.switchovers.slice(0, SHOWN).map((each) => make("li", {},
      make("strong", {}, each.host), ` to ${each.to}, ${clock(each.at_s)}`,
      ...(each.took_s === undefined ? [] : [make("span", { class: "quiet" }, ` after ${span(each.took_s)}`)])));
    fill(byId("switchovers"), lines, "li", "None seen yet.");
  }

  #buttons(each, ...kinds) {
    const words = { cancel: "Call off", undo: "Undo …", retry: "Retry …", carryOn: "Carry on" };
    const box = make("div", { class: "small-buttons" });
    if (!this.acting) return box;
    for (const kind of kinds.flat()) {
      const button = make("button", { type: "button", "aria-label": `${words[kind]} ${each.id}` }, words[kind]);
      Object.assign(button.dataset, { kind, id: each.id, key: `${kind}-${each.id}` });
      box.append(button);
    }
    return box;
  }

  #pressed(event) {
    const { kind, id } = event.target.dataset;
    if (kind) this.actions[kind](this.all.get(id));
  }
}

function counted(each) {
  const bad = new Set(["refused", "failed", "stuck", "unreachable"]);
  const items = Object.entries(each.counts).map(([standing, n]) =>
    make("li", bad.has(standing) ? { class: "bad" } : {}, `${n} ${standing}`));
  return make("ul", { class: "counts" }, ...items);
}

function named(nodes, what) {
  const names = nodes.slice(0, SHOWN).map((node) => node.host).join(", ");
  const more = nodes.length > SHOWN ? `, and ${nodes.length - SHOWN} more` : "";
  return make("li", {}, make("strong", {}, `${nodes.length} ${what}:`), ` ${names}${more}`);
}

function fill(box, items, tag, none) {
  box.replaceChildren(...(items.length ? items : [make(tag, { class: "none" }, none)]));
}
