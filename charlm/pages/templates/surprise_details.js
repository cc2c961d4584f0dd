// The figures of a character beside the text, and the legend above it.

/** @param {number} share */
const percent = (share) => (share >= 0.0995 ? `${(100 * share).toFixed(0)} %`
  : share >= 0.0001 ? `${(100 * share).toPrecision(2)} %` : "< 0.01 %");

/** @param {string} label */
const named = (label) => (label === " " ? "space" : label === "\t" ? "tab" : label);

/** @param {SurpriseData} data @param {number} i @returns {string} */
function figuresOf(data, i) {
  const bits = data.bits(i);
  const figures = i < data.predictedFrom ? "The first character is not predicted."
    : `${bits.toFixed(2)}${data.isHighest(i) ? " or more" : ""} bits, probability ${percent(2 ** -bits)}, `
      + `rank ${data.ranks[i]}, entropy ${data.entropy(i).toFixed(2)} bits`;
  if (!data.isUnknown(i)) return figures;
  return `${figures}; unknown to the model: the figures are those of any unknown character`;
}

/** Show the figures of a cluster, and return them as a sentence. @param {SurpriseData} data @param {HTMLElement} span */
function showDetails(data, span) {
  const start = Number(span.dataset.at), end = Number(span.dataset.end);
  const details = byId("details"), spoken = [];
  details.replaceChildren();
  for (let i = start; i < Math.min(end, start + 8); i++) {
    const code = data.symbol(i).codePointAt(0) || 0;
    const heading = document.createElement("h2"), symbol = document.createElement("bdi");
    symbol.textContent = named(data.shown(i));
    heading.append(symbol, ` U+${code.toString(16).toUpperCase().padStart(4, "0")}`);
    const figures = document.createElement("p"), place = document.createElement("p");
    figures.textContent = figuresOf(data, i);
    place.className = "soft";
    place.textContent = data.placeOf(i);
    details.append(heading, figures, place);
    if (i >= data.predictedFrom) details.append(alternatives(data, i));
    spoken.push(`${symbol.textContent}: ${figures.textContent}`);
  }
  return spoken.join("; ");
}

/** @param {SurpriseData} data @param {number} i @returns {HTMLTableElement} */
function alternatives(data, i) {
  const table = document.createElement("table"), caption = table.createCaption();
  caption.textContent = "likeliest here";
  caption.className = "spoken";
  for (const [label, share] of data.likeliest(i)) {
    const row = table.insertRow(), name = document.createElement("bdi"), bar = document.createElement("div");
    name.textContent = named(label);
    row.insertCell().append(name);
    row.insertCell().textContent = percent(share);
    bar.style.width = `${100 * share}%`;
    const cell = row.insertCell();
    cell.className = "bar";
    cell.append(bar);
  }
  return table;
}

/** @param {SurpriseData} data */
function showLegend(data) {
  /** @type {Record<string, string>} */
  const meanings = { bits: "−log₂ of the probability", rank: "1 is the likeliest character", entropy: "how unsure the model is, in bits" };
  const levels = data.measures[data.measure];
  byId("measure").textContent = `${data.measure} (${meanings[data.measure]}):`;
  byId("levels").replaceChildren(...levels.flatMap((from, n) => {
    const one = document.createElement("span");
    one.className = `l${n + 1}`;
    one.textContent = `${from}${n + 1 < levels.length ? "" : " or more"}`;
    return [one, " "];
  }));
}
