// The confirmation: shows what an order would mean, and begins exactly what was shown.

import { ask, operator } from "./api.js";
import { byId, direction, make, many, slow, span, verb } from "./words.js";

const USUAL_RAMP = { cloud: "1,5%,100%", HLT: "100%" };  // as the server has it where nobody says otherwise

const AGAIN_MS = 500;

export class Planning {
  constructor(onBegun) {
    this.onBegun = onBegun;
    this.order = null;
    this.plan = null;
    this.turn = 0;
    this.dialog = byId("plan-dialog");
    byId("plan-form").addEventListener("submit", (event) => this.#begin(event));
    for (const id of ["ramp", "keep"]) byId(id).addEventListener("input", () => this.#changed());
  }

  // Opens the confirmation of `order`: `{ to, hosts }`, `{ undo }` or `{ retry }`.
  open(order, to) {
    this.order = order;
    this.to = to;
    byId("plan-hosts").textContent = "";
    byId("reason").value = "";
    byId("keep").value = "0";
    byId("ramp").value = USUAL_RAMP[to] ?? USUAL_RAMP.cloud;
    for (const each of this.dialog.querySelectorAll(".to-cloud")) each.hidden = to !== "cloud";
    this.#title(order.hosts?.length);
    this.dialog.showModal();
    byId("reason").focus();
    this.#look();
  }

  #title(n) {
    const nodes = n === undefined ? "nodes" : many(n, "node");
    const what = this.order.undo ? "Undo: bring" : this.order.retry ? "Retry: bring" : "Bring";
    byId("plan-title").textContent = `${what} ${nodes} ${direction(this.to)}`;
    byId("go").textContent = `${verb(this.to)} ${nodes} now`;
  }

  #changed() {
    this.#forget();
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.#look(), AGAIN_MS);
  }

  #forget() {
    this.plan = null;
    byId("go").disabled = true;
  }

  async #look() {
    this.#forget();
    const turn = ++this.turn;
    byId("plan-error").textContent = "";
    byId("plan").replaceChildren(make("p", { class: "quiet" }, "looks at the nodes …"));
    const keep = this.to === "cloud" ? Number(byId("keep").value) || 0 : 0;
    try {
      const form = { ...this.order, who: operator.who(), ramp: byId("ramp").value, keep };
      const plan = await ask("POST", "/plans", form);
      if (turn !== this.turn || !this.dialog.open) return;
      this.#show(plan);
    } catch (error) {
      if (turn !== this.turn) return;
      byId("plan").replaceChildren();
      byId("plan-error").textContent = error.message;
    }
  }

  #show(plan) {
    this.plan = plan;
    this.#title(plan.nodes);
    byId("plan-hosts").textContent = plan.hosts;
    byId("plan").replaceChildren(...summary(plan), stages(plan), ...leftOut(plan));
    byId("go").disabled = false;
  }

  async #begin(event) {
    event.preventDefault();
    if (!this.plan) return;
    const { id } = this.plan;
    byId("go").disabled = true;
    byId("plan-error").textContent = "";
    try {
      const form = { who: operator.who(), reason: byId("reason").value };
      const operation = await ask("POST", `/plans/${id}/begin`, form);
      this.dialog.close();
      this.onBegun(operation);
    } catch (error) {
      byId("plan-error").textContent = error.message;
      byId("go").disabled = error.status === 410;
    }
  }
}

function summary(plan) {
  const sum = (name) => plan.stages.reduce((all, stage) => all + (stage[name] ?? 0), 0);
  const last = plan.stages.at(-1);
  const hlt = (nodes, cores) =>
    `${nodes} of ${plan.farm_nodes} nodes (${Math.round((100 * nodes) / plan.farm_nodes)} %), ${many(cores, "core")}`;
  const before = plan.median_s === undefined ? ""
    : `; a node took ${span(plan.median_s)} before${slow(plan)}`;
  const time = plan.expected_s === undefined
    ? `nobody knows: no earlier operation to judge by; each node has ${span(plan.limit_s)}`
    : `about ${span(plan.expected_s)}${before}`;
  const facts = [["HLT now", hlt(plan.hlt_before, plan.cores_before)],
    ["HLT afterwards", hlt(last.hlt_after, last.cores_after)]];
  if (plan.to === "cloud") {
    const unknown = sum("jobs_unknown");
    facts.push(["Jobs that must end", `${sum("jobs")}${unknown ? `, and those of ${many(unknown, "node")} unknown` : ""}`]);
  }
  facts.push(["Expected time", time]);
  if (sum("already")) facts.push(["There already", `${many(sum("already"), "node")}, or on the way`]);
  if (sum("silent")) facts.push(["No answer", `${many(sum("silent"), "node")}; each is tried for ${span(plan.limit_s)}`]);
  return [make("dl", {}, ...facts.flatMap(([name, value]) => [make("dt", {}, name), make("dd", {}, value)]))];
}

function stages(plan) {
  const head = ["Stage", "Nodes", "Jobs", "Expected", "HLT after", "Cores", "Which"];
  const rows = plan.stages.map((stage, place) => {
    const jobs = stage.jobs_unknown ? `${stage.jobs} + ?` : stage.jobs;
    const expected = stage.expected_s === undefined ? "?" : span(stage.expected_s);
    const values = [place + 1, stage.nodes, jobs, expected, stage.hlt_after, stage.cores_after, stage.hosts];
    return make("tr", {}, ...values.map((value) => make("td", {}, String(value))));
  });
  return make("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Stages" },
    make("table", {}, make("thead", {}, make("tr", {}, ...head.map((word) => make("th", { scope: "col" }, word)))),
      make("tbody", {}, ...rows)));
}

function leftOut(plan) {
  return plan.left_out.map((each) =>
    make("p", { class: "left-out" }, `${many(each.nodes, "node")} left out, ${each.why}: ${each.hosts}`));
}
