// Colours a passage by the values of the chosen unit.
/**
 * @typedef {{characters: string[], units: [number, string, number][], largest: number[],
 *   steps: number, values: string}} Passage
 */
{
  /** @type {Passage} */
  const data = JSON.parse(byId("activations").textContent || "");
  const values = new Int8Array(Uint8Array.from(atob(data.values), (c) => c.charCodeAt(0)).buffer);
  const size = data.characters.length;
  const text = byId("text"), status = byId("status");
  const state = /** @type {HTMLSelectElement} */ (byId("state"));
  const number = /** @type {HTMLInputElement} */ (byId("unit"));
  /** What units follow, if any follows something. */
  const feature = /** @type {HTMLSelectElement | null} */ (document.getElementById("feature"));
  /** First unit of each layer's H and C. @type {number[]} */
  const firsts = [];
  data.units.forEach(([layer, kind, place], index) => {
    if (place !== 1) return;
    state.add(new Option(`${kind} of layer ${layer}`, String(firsts.length)));
    firsts.push(index);
  });
  const spans = data.characters.map((character) => {
    const span = document.createElement("span");
    span.textContent = character;
    if (character.length > 2) span.dataset.kind = "code"; // of an invisible character
    return span;
  });
  text.append(...spans);

  /** @param {number} index */
  function colour(index) {
    const [layer, kind, place] = data.units[index];
    const of = firsts.findLastIndex((first) => first <= index);
    state.value = String(of);
    number.max = String((firsts[of + 1] ?? data.units.length) - firsts[of]);
    number.value = String(place);
    if (feature && feature.value !== String(index)) feature.value = String(index);
    if (feature && feature.selectedIndex < 0) feature.value = "";
    for (let i = 0; i < size; i++) {
      const value = values[index * size + i] / data.steps;
      const level = Math.min(4, Math.floor(Math.abs(value) * 5));
      spans[i].className = level ? (value < 0 ? "n" : "p") + level : "";
    }
    const largest = data.largest[index].toFixed(2);
    status.textContent = `${kind}${place} of layer ${layer}; full colour is ±${largest}`;
    for (const button of buttons) button.setAttribute("aria-pressed", String(Number(button.dataset.unit) === index));
  }
  const buttons = /** @type {HTMLButtonElement[]} */ ([...document.querySelectorAll("button[data-unit]")]);
  for (const button of buttons) {
    button.addEventListener("click", () => {
      colour(Number(button.dataset.unit));
      text.scrollIntoView({ block: "nearest" });
    });
  }
  function choose() {
    const place = Math.round(Number(number.value));
    const first = firsts[Number(state.value)];
    const count = (firsts[Number(state.value) + 1] ?? data.units.length) - first;
    if (place >= 1) colour(first + Math.min(place, count) - 1);
  }
  feature?.addEventListener("change", () => {
    if (feature.value) colour(Number(feature.value));
  });
  state.addEventListener("change", choose);
  number.addEventListener("change", choose);
  colour(buttons.length ? Number(buttons[0].dataset.unit) : 0);
}
