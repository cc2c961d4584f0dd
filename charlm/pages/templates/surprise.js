// What the keys, the pointer and the controls of the page do.
(async () => {
  const data = await SurpriseData.read(), { size, symbols, characters, lineStarts } = data;
  const text = new SurpriseText(data, byId("text"));
  const status = byId("status"), query = /** @type {HTMLInputElement} */ (byId("search"));

  /** @param {number} i */
  function moveTo(i) {
    const span = text.choose(i);
    if (span) byId("spoken").textContent = showDetails(data, span);
  }

  /** Go to the next or previous surprise: of level 3, or lower if there is none. @param {1 | -1} step */
  function jump(step) {
    const { here } = text;
    for (let least = 3; least > 0; least--) {
      for (let n = 1, i = here; n <= size; n++) {
        i = (i + step + size) % size;
        if (data.level(i) < least) continue;
        status.textContent = `${data.measure} at least ${data.measures[data.measure][least - 1]}`;
        if (here >= 0 && (step > 0 ? i <= here : i >= here)) status.textContent += ", from the other end";
        moveTo(i);
        return;
      }
    }
    status.textContent = "no surprise";
  }

  /** Return where a text stands next, without regard to case; -1 for nowhere. @param {string[]} wanted @param {1 | -1} step */
  function find(wanted, step) {
    const folded = symbols.map((symbol) => symbol.toLowerCase());
    const isFirst = folded.map((symbol) => symbol === wanted[0]);
    const from = text.here < 0 ? (step > 0 ? -1 : 0) : text.here;
    for (let n = 1; n <= size; n++) {
      const i = (((from + step * n) % size) + size) % size;
      if (!isFirst[characters[i]] || i + wanted.length > size) continue;
      if (wanted.every((c, k) => folded[characters[i + k]] === c)) return i;
    }
    return -1;
  }

  /** @param {1 | -1} step */
  function search(step) {
    const wanted = [...query.value].map((c) => c.toLowerCase());
    const start = wanted.length ? find(wanted, step) : -1;
    status.textContent = start >= 0 ? data.placeOf(start) : wanted.length ? "not found" : "";
    if (start >= 0) moveTo(start);
    text.markMatch(start, start >= 0 ? wanted.length : 0);
  }

  /** @param {Event} event @returns {HTMLElement | null} */
  const spanOf = (event) => /** @type {Element} */ (event.target).closest("[data-at]");
  text.element.addEventListener("pointerover", (event) => {
    const span = spanOf(event);
    if (span) showDetails(data, span);
  });
  text.element.addEventListener("click", (event) => {
    const span = spanOf(event);
    if (span) moveTo(Number(span.dataset.at));
  });
  text.element.addEventListener("focus", () => {
    if (text.here < 0 && !text.element.matches(":active")) moveTo(0);
  });
  text.element.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    const { here } = text, line = data.lineOf(Math.max(0, here)), column = here - lineStarts[line];
    /** @param {number} n */
    const inLine = (n) => moveTo(Math.min(lineStarts[n] + column, (lineStarts[n + 1] || size) - 1));
    /** @type {Record<string, () => void>} */
    const actions = {
      ArrowRight: () => moveTo(Math.min(size - 1, Number(text.spanAt(here)?.dataset.end ?? 0))),
      ArrowLeft: () => moveTo(Math.max(0, here - 1)),
      ArrowDown: () => inLine(Math.min(lineStarts.length - 1, line + 1)),
      ArrowUp: () => inLine(Math.max(0, line - 1)),
      n: () => jump(1),
      p: () => jump(-1),
      "/": () => query.focus(),
    };
    const action = actions[event.key];
    if (!action) return;
    event.preventDefault();
    action();
  });
  byId("next").addEventListener("click", () => jump(1));
  byId("previous").addEventListener("click", () => jump(-1));
  query.addEventListener("keydown", (event) => {
    if (event.key === "Enter") search(event.shiftKey ? -1 : 1);
  });
  query.addEventListener("input", () => {
    if (!query.value) search(1);
  });
  for (const radio of document.querySelectorAll("[name=measure]")) {
    radio.addEventListener("change", () => {
      data.measure = /** @type {HTMLInputElement} */ (radio).value;
      showLegend(data);
      text.recolour();
    });
  }
  showLegend(data);
})().catch((error) => {
  const text = byId("text");
  text.textContent = `This browser cannot show the text (${error}); open the page in a newer one.`;
  text.setAttribute("aria-busy", "false");
});
