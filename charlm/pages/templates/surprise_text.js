// The text on the page: only blocks near the visible part are drawn.
/** @typedef {{start: number, end: number, element: HTMLElement, isDrawn: boolean}} Block */
const PRINTED_CHARACTERS = 100000;

class SurpriseText {
  /** @param {SurpriseData} data @param {HTMLElement} element */
  constructor(data, element) {
    this._data = data;
    this.element = element;
    /** First character of the cluster that the keys have chosen; -1 for none. */
    this.here = -1;
    this._match = { start: -1, length: 0 };
    /** @type {Block[]} */
    this._blocks = blocksOf(data).map(([start, end]) => {
      const block = document.createElement("div");
      block.className = "block";
      block.style.height = `${estimatedHeight(data, start, end, element.clientWidth)}px`;
      return { start, end, element: block, isDrawn: false };
    });
    element.replaceChildren(...this._blocks.map((block) => block.element));
    element.setAttribute("aria-busy", "false");
    const blockOf = new Map(this._blocks.map((block) => [/** @type {Element} */ (block.element), block]));
    this._observer = new IntersectionObserver((entries) => {
      for (const entry of entries) {
        const block = blockOf.get(entry.target);
        if (block && entry.isIntersecting) this._draw(block);
        else if (block) this._clear(block);
      }
    }, { rootMargin: "1000px" });
    this._observe();
    addEventListener("beforeprint", () => this._beginPrint());
    addEventListener("afterprint", () => this._endPrint());
  }

  _observe() {
    for (const block of this._blocks) {
      this._observer.unobserve(block.element);
      this._observer.observe(block.element);
    }
  }

  /** @param {Block} block */
  _draw(block) {
    if (block.isDrawn) return;
    const { characters, newline } = this._data, lines = document.createDocumentFragment();
    for (let start = block.start; start < block.end;) {
      let end = start;
      while (end < block.end && characters[end++] !== newline);
      lines.append(this._line(start, end));
      start = end;
    }
    block.element.replaceChildren(lines);
    block.element.style.height = "";
    block.isDrawn = true;
    this._mark();
  }

  /** @param {number} start @param {number} end */
  _line(start, end) {
    const line = document.createElement("div");
    line.className = "line";
    line.dir = "auto";
    const found = clustersOf(this._data, start, end);
    found.forEach(([at, label, isCode], n) => {
      const span = document.createElement("span");
      span.dataset.at = String(at);
      span.dataset.end = String(n + 1 < found.length ? found[n + 1][0] : end);
      span.textContent = label;
      if (isCode) span.dataset.kind = this._data.characters[at] === this._data.newline ? "end" : "code";
      this._colour(span);
      line.append(span);
    });
    return line;
  }

  /** @param {HTMLElement} span */
  _colour(span) {
    const start = Number(span.dataset.at), end = Number(span.dataset.end), match = this._match;
    let isUnknown = false;
    for (let i = start; i < end; i++) isUnknown ||= this._data.isUnknown(i);
    span.className = `l${this._data.levelOf(start, end)} ${span.dataset.kind || ""}`;
    span.classList.toggle("unknown", isUnknown);
    span.classList.toggle("found", start < match.start + match.length && end > match.start);
  }

  /** Colour what is drawn, after the measure or the match has changed. */
  recolour() {
    for (const span of this.element.querySelectorAll("[data-at]")) this._colour(/** @type {HTMLElement} */ (span));
    this._mark();
  }

  /** @param {Block} block */
  _clear(block) {
    if (!block.isDrawn) return;
    block.element.style.height = `${block.element.getBoundingClientRect().height}px`;
    block.element.replaceChildren();
    block.isDrawn = false;
  }

  /** @param {number} i @returns {Block} */
  _blockAt(i) {
    return this._blocks[lastNotAfter(this._blocks.length, (n) => this._blocks[n].start, i)];
  }

  /** Return the element of a character, drawn if need be. @param {number} i @returns {HTMLElement | null} */
  spanAt(i) {
    const block = this._blockAt(i);
    this._draw(block);
    let found = null;
    for (const span of block.element.querySelectorAll("[data-at]")) {
      if (Number(/** @type {HTMLElement} */ (span).dataset.at) > i) break;
      found = /** @type {HTMLElement} */ (span);
    }
    return found;
  }

  _mark() {
    for (const old of this.element.querySelectorAll(".here")) old.classList.remove("here");
    if (this.here >= 0 && this._blockAt(this.here).isDrawn) this.spanAt(this.here)?.classList.add("here");
  }

  /** Choose the cluster of a character, and scroll to it. @param {number} i @returns {HTMLElement | null} */
  choose(i) {
    const span = this.spanAt(i);
    if (!span) return null;
    this.here = Number(span.dataset.at);
    this._mark();
    const box = span.getBoundingClientRect();
    const panel = matchMedia("(max-width: 50rem)").matches ? innerHeight * 0.45 : 30;
    if (box.top < 30 || box.bottom > innerHeight - panel) span.scrollIntoView({ block: "center" });
    return span;
  }

  /** Mark what a search has found; a length of 0 marks nothing. @param {number} start @param {number} length */
  markMatch(start, length) {
    this._match = { start, length };
    this.recolour();
  }

  _beginPrint() {
    const isLong = this._data.size > PRINTED_CHARACTERS, rest = byId("rest");
    for (const block of this._blocks) {
      if (block.end <= PRINTED_CHARACTERS) this._draw(block);
      else block.element.hidden = isLong;
    }
    rest.hidden = !isLong;
    rest.textContent = `The first ${PRINTED_CHARACTERS.toLocaleString("en")} characters are printed.`;
  }

  _endPrint() {
    byId("rest").hidden = true;
    for (const block of this._blocks) block.element.hidden = false;
    this._observe();
  }
}
