// The farm as cells by appliance. Only cells that have changed are touched, together, before the next frame.

import { GLYPHS, byId, described, make, modeOf } from "./words.js";

export class Grid {
  constructor(onDetail) {
    this.nodes = new Map();  // by host, as the server tells of them
    this.cells = new Map();
    this.cards = new Map();  // by appliance
    this.hosts = [];
    this.dirty = new Set();
    this.current = null;
    this.onDetail = onDetail;
    this.root = byId("grid");
    this.root.addEventListener("pointerover", (event) => this.#detail(event.target.dataset.host));
    this.root.addEventListener("focusin", (event) => this.#focused(event.target));
  }

  // Shows a whole farm. The cells stay when it is the farm that is there.
  load(nodes) {
    const there = (node) => this.nodes.get(node.host)?.appliance === node.appliance;
    const same = nodes.length === this.hosts.length && nodes.every(there);
    if (!same) this.#build(nodes);
    this.change(nodes);
  }

  change(nodes) {
    if (this.dirty.size === 0) requestAnimationFrame(() => this.#paint());
    for (const node of nodes) {
      this.nodes.set(node.host, node);
      this.dirty.add(node.host);
    }
  }

  counts() {
    const counts = {};
    for (const node of this.nodes.values()) counts[modeOf(node)] = (counts[modeOf(node)] ?? 0) + 1;
    return counts;
  }

  ofAppliance(appliance) {
    return this.hosts.filter((host) => this.nodes.get(host).appliance === appliance);
  }

  // Makes a cell the one that the keyboard is at.
  focus(host) {
    this.cells.get(host)?.focus();
  }

  #build(nodes) {
    this.root.replaceChildren();
    for (const map of [this.nodes, this.cells, this.cards]) map.clear();
    this.dirty.clear();
    this.hosts = [];
    for (const node of nodes) {
      const card = this.cards.get(node.appliance) ?? this.#card(node.appliance);
      const cell = make("span", { class: "cell", role: "option", "aria-selected": "false", tabindex: "-1" });
      cell.dataset.host = node.host;
      card.box.append(cell);
      card.hosts.push(node.host);
      this.cells.set(node.host, cell);
    }
    // in the order in which they are seen, which is what arrow keys follow
    for (const card of this.cards.values()) this.hosts.push(...card.hosts);
    this.current = this.hosts[0] ?? null;
    if (this.shown && !this.cells.has(this.shown)) {
      this.shown = null;
      this.onDetail("");
    }
    if (this.current) this.cells.get(this.current).tabIndex = 0;
  }

  #card(appliance) {
    const name = make("button", { type: "button", class: "appliance", title: `select all of ${appliance}` }, appliance);
    name.dataset.appliance = appliance;
    const count = make("span", { class: "in-hlt" });
    const box = make("div", {
      class: "cells", role: "listbox", "aria-multiselectable": "true", "aria-label": `nodes of ${appliance}`,
    });
    this.root.append(make("section", { class: "card" }, make("h3", {}, name, count), box));
    const card = { box, count, hosts: [] };
    this.cards.set(appliance, card);
    return card;
  }

  #paint() {
    const cards = new Set();
    for (const host of this.dirty) {
      const node = this.nodes.get(host);
      this.#paintCell(this.cells.get(host), node);
      cards.add(node.appliance);
    }
    this.dirty.clear();
    for (const appliance of cards) this.#paintCard(this.cards.get(appliance));
    this.root.dispatchEvent(new Event("painted"));
  }

  #paintCell(cell, node) {
    const mode = modeOf(node);
    if (cell.dataset.mode !== mode || cell.classList.contains("stuck") !== Boolean(node.stuck)) {
      cell.dataset.mode = mode;
      cell.classList.toggle("stuck", Boolean(node.stuck));
      cell.textContent = node.stuck ? "!" : GLYPHS[mode];
    }
    cell.classList.toggle("held", Boolean(node.held));
    const label = `${node.host}, ${mode}${node.stuck ? ", stuck" : ""}${node.held ? ", on hold" : ""}`;
    if (cell.getAttribute("aria-label") !== label) cell.setAttribute("aria-label", label);
    if (node.host === this.shown) this.#detail(node.host);
  }

  #paintCard(card) {
    const inHlt = card.hosts.filter((host) => this.nodes.get(host).mode === "HLT").length;
    const words = `${inHlt} of ${card.hosts.length} in HLT`;
    if (card.count.textContent !== words) card.count.textContent = words;
  }

  #focused(cell) {
    if (!cell.dataset.host) return;
    if (this.current) this.cells.get(this.current).tabIndex = -1;
    this.current = cell.dataset.host;
    cell.tabIndex = 0;
    this.#detail(this.current);
  }

  #detail(host) {
    if (!host) return;
    this.shown = host;
    this.onDetail(described(this.nodes.get(host)));
  }
}
