// Which nodes are selected: by click, by drag, by appliance, by keyboard. Nothing is selectable until one may act.

const DRAG_PIXELS = 5;

export class Selection {
  constructor(grid, onChange) {
    this.grid = grid;
    this.hosts = new Set();
    this.allowed = false;
    this.onChange = onChange;
    this.last = null;
    this.drag = null;
    const root = grid.root;
    root.addEventListener("pointerdown", (event) => this.#down(event));
    root.addEventListener("pointermove", (event) => this.#move(event));
    root.addEventListener("pointerup", () => this.#up());
    root.addEventListener("pointercancel", () => this.#up());
    root.addEventListener("click", (event) => this.#click(event));
    root.addEventListener("keydown", (event) => this.#key(event));
    document.addEventListener("keydown", (event) => {
      if (event.key === "Escape" && !document.querySelector("dialog[open]")) this.set([]);
    });
  }

  allow(allowed) {
    this.allowed = allowed;
    if (!allowed) this.set([]);
  }

  set(hosts) {
    this.#show(new Set(hosts));
  }

  // After a farm was loaded: who is gone is not selected any more, and cells that are new show who is.
  renew() {
    const still = [...this.hosts].filter((host) => this.grid.cells.has(host));
    this.hosts = new Set();
    this.#show(new Set(still));
    if (!this.grid.cells.has(this.last)) this.last = null;
  }

  // Takes `hosts` in, or out when all of them are in.
  toggle(hosts) {
    const after = new Set(this.hosts);
    const take = hosts.some((host) => !after.has(host));
    for (const host of hosts) take ? after.add(host) : after.delete(host);
    this.#show(after);
  }

  #show(after) {
    if (!this.allowed && after.size) return;
    for (const host of this.hosts) if (!after.has(host)) this.#mark(host, false);
    for (const host of after) if (!this.hosts.has(host)) this.#mark(host, true);
    this.hosts = after;
    this.onChange(this.hosts);
  }

  #mark(host, selected) {
    this.grid.cells.get(host)?.setAttribute("aria-selected", String(selected));
  }

  #click(event) {
    if (this.dragged) {
      this.dragged = false;
      return;
    }
    const { host, appliance } = event.target.dataset;
    if (appliance) this.toggle(this.grid.ofAppliance(appliance));
    if (!host) return;
    if (event.shiftKey && this.last) this.set([...this.hosts, ...this.#between(this.last, host)]);
    else this.toggle([host]);
    this.last = host;
  }

  #between(one, other) {
    const [from, to] = [this.grid.hosts.indexOf(one), this.grid.hosts.indexOf(other)].sort((a, b) => a - b);
    return this.grid.hosts.slice(from, to + 1);
  }

  #down(event) {
    this.dragged = false;
    if (!this.allowed || event.button !== 0 || event.pointerType === "touch") return;
    const keep = event.shiftKey || event.ctrlKey || event.metaKey ? [...this.hosts] : [];
    this.drag = { x: event.pageX, y: event.pageY, keep, boxes: null, band: null };
  }

  #move(event) {
    const drag = this.drag;
    if (!drag) return;
    if (!drag.band) {
      if (Math.hypot(event.pageX - drag.x, event.pageY - drag.y) < DRAG_PIXELS) return;
      this.grid.root.setPointerCapture(event.pointerId);
      drag.boxes = this.#boxes();
      drag.band = document.createElement("div");
      drag.band.className = "band";
      document.body.append(drag.band);
    }
    event.preventDefault();
    const [left, right] = [drag.x, event.pageX].sort((a, b) => a - b);
    const [top, bottom] = [drag.y, event.pageY].sort((a, b) => a - b);
    Object.assign(drag.band.style, {
      left: `${left}px`, top: `${top}px`, width: `${right - left}px`, height: `${bottom - top}px`,
    });
    const inside = drag.boxes.filter((box) =>
      box.left < right && box.right > left && box.top < bottom && box.bottom > top);
    this.set([...drag.keep, ...inside.map((box) => box.host)]);
  }

  #up() {
    if (this.drag?.band) {
      this.drag.band.remove();
      this.dragged = true;  // the click that follows is none
    }
    this.drag = null;
  }

  // Where each cell is on the page, looked up once for a drag.
  #boxes() {
    return this.grid.hosts.map((host) => {
      const box = this.grid.cells.get(host).getBoundingClientRect();
      const [x, y] = [window.scrollX, window.scrollY];
      return { host, left: box.left + x, right: box.right + x, top: box.top + y, bottom: box.bottom + y };
    });
  }

  #key(event) {
    const host = event.target.dataset.host;
    if (!host || event.ctrlKey || event.metaKey || event.altKey) return;
    const to = this.#target(host, event.key);
    if (to) {
      if (event.shiftKey) this.set([...this.hosts, host, to]);
      this.grid.focus(to);
    } else if (event.key === " " || event.key === "Enter") {
      this.toggle([host]);
      this.last = host;
    } else if (event.key === "a" || event.key === "A") {
      this.toggle(this.grid.ofAppliance(this.grid.nodes.get(host).appliance));
    } else {
      return;
    }
    event.preventDefault();
  }

  // The node to which a key leads: along the order, or to the cell above or below.
  #target(host, key) {
    const { hosts } = this.grid;
    const place = hosts.indexOf(host);
    if (key === "ArrowRight") return hosts[place + 1];
    if (key === "ArrowLeft") return hosts[place - 1];
    if (key === "Home") return hosts[0];
    if (key === "End") return hosts.at(-1);
    if (key !== "ArrowDown" && key !== "ArrowUp") return undefined;
    const boxes = this.#boxes();
    const here = boxes[place];
    const sign = key === "ArrowDown" ? 1 : -1;
    const far = (box) => sign * (box.top - here.top) + Math.abs(box.left - here.left) / 1000;
    const next = boxes.filter((box) => sign * (box.top - here.top) > 1 && Math.abs(box.left - here.left) < 12);
    return next.sort((a, b) => far(a) - far(b))[0]?.host;
  }
}
