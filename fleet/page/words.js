// Small pieces of text and of the page.

export const GLYPHS = { HLT: "H", activatingCloud: "↗", cloud: "C", deactivatingCloud: "↙", "no answer": "?" };

let ahead = 0;  // of the server's clock before ours, in seconds

export const setClock = (serverSeconds) => { ahead = serverSeconds - Date.now() / 1000; };
export const now = () => Date.now() / 1000 + ahead;

export const modeOf = (node) => node.mode ?? "no answer";

export const verb = (to) => (to === "cloud" ? "Exclude" : "Include");
export const direction = (to) => (to === "cloud" ? "to cloud" : "back to HLT");
export const many = (n, word) => `${n} ${word}${n === 1 ? "" : "s"}`;

export function span(seconds) {
  const s = Math.max(0, Math.round(seconds));
  if (s < 100) return `${s} s`;
  if (s < 6000) return `${Math.round(s / 60)} min`;
  if (s < 172800) return `${Math.round(s / 3600)} h`;
  return `${Math.round(s / 86400)} d`;
}

export const slow = (each) => (each.slow_s === undefined ? "" : `, one in twenty over ${span(each.slow_s)}`);

export const clock = (seconds) => new Date(seconds * 1000).toLocaleTimeString([], { hour12: false });

// Returns a new element: `make("li", { class: "a", title: "b" }, "text", child)`.
export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

export const byId = (id) => document.getElementById(id);

export function described(node) {
  const words = [node.host, node.appliance];
  if (node.mode === null) words.push(`no answer: ${node.silent}`);
  else words.push(node.since_s === undefined ? node.mode : `${node.mode} for ${span(now() - node.since_s)}`);
  if (node.stuck) words.push("stuck");
  if (node.blocker) words.push(`waits for ${node.blocker}`);
  else if (node.jobs) words.push(many(node.jobs, "job"));
  if (node.mode === "cloud" && node.vms && node.vms !== "up") words.push(`VMs ${node.vms}`);
  if (node.old) words.push("speaks hltd's URLs only");
  if (node.held) words.push(`on hold, ${node.held}`);
  if (node.operation) words.push(node.operation);
  return words.join(" · ");
}
