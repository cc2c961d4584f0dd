// The integer network of charlm/portable/network.py, unpacked from the data of a page.
/**
 * @typedef {{values: Int16Array, bits: number}} Weights a matrix, by rows
 * @typedef {{W: Weights, b: Int32Array, bits: number}} Projection
 * @typedef {{inputs: Projection, W_hh: Int16Array, gate: Projection | null}} Layer
 * @typedef {{symbol: number, hidden: Int32Array[], memory: Int32Array[]}} Opening
 * @typedef {{cell: string, unit: string, symbols: number[], hiddenSize: number, operandBits: number,
 *   embedding: Weights | null, layers: Layer[], W_hq: Int16Array, b_q: Int32Array, logitBits: number,
 *   boundary: number | null, openings: Opening[], digest: string}} Network
 * @typedef {{cell: string, vocabulary: {unit: string, symbols: number[]}, num_layers: number,
 *   bits: Record<string, number>, boundary: number | null, openings: number[]}} Description
 * @typedef {{description: Description, digest: string, arrays: [string, number, number[]][],
 *   packed: string}} PackedNetwork `arrays`: name, bytes of a number, shape
 */

/** @param {PackedNetwork} data @returns {Promise<Network>} */
async function unpackedNetwork(data) {
  const { description } = data, { bits } = description;
  const packed = Uint8Array.from(atob(data.packed), (c) => c.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
  const whole = new Uint8Array(await new Response(stream).arrayBuffer());
  /** @type {Record<string, Int16Array | Int32Array>} */
  const arrays = {};
  let at = 0;
  for (const [name, width, shape] of data.arrays) {
    // First the lowest bytes of all numbers, then the next ones.
    const length = shape.reduce((product, size) => product * size);
    const values = width === 2 ? new Int16Array(length) : new Int32Array(length);
    for (let byte = 0; byte < width; byte++) {
      for (let i = 0; i < length; i++) values[i] |= whole[at++] << (8 * byte);
    }
    arrays[name] = values;
  }
  /** @param {string} name */
  const matrix = (name) => /** @type {Int16Array} */ (arrays[name]);
  /** @param {string} name */
  const bias = (name) => /** @type {Int32Array} */ (arrays[name]);
  /** @param {string} name @param {string} letter @returns {Projection} */
  const projection = (name, letter) => ({
    W: { values: matrix(`${name}.W_x${letter}`), bits: bits[`${name}.W_x${letter}`] },
    b: bias(`${name}.b_${letter}`),
    bits: bits[`${name}.b_${letter}`],
  });
  const hiddenSize = matrix("W_hq").length / bias("b_q").length;
  /** @param {string} name */
  const states = (name) => Array.from({ length: description.num_layers }, (_, layer) =>
    bias(name).slice(layer * hiddenSize, (layer + 1) * hiddenSize));
  return {
    cell: description.cell,
    ...description.vocabulary,
    hiddenSize,
    operandBits: description.cell === "relu" ? 9 : 12,
    embedding: arrays.embedding ? { values: matrix("embedding"), bits: bits.embedding } : null,
    layers: Array.from({ length: description.num_layers }, (_, number) => ({
      inputs: projection(`layers.${number}`, "h"),
      W_hh: matrix(`layers.${number}.W_hh`),
      gate: description.cell === "mogrifier" ? projection(`layers.${number}`, "g") : null,
    })),
    W_hq: matrix("W_hq"),
    b_q: bias("b_q"),
    logitBits: bits.logits,
    boundary: description.boundary,
    openings: description.openings.map((symbol, number) => ({
      symbol,
      hidden: states(`openings.${number}.hidden`),
      memory: states(`openings.${number}.memory`),
    })),
    digest: data.digest,
  };
}

/** Each symbol's id, and the symbol of each id. @param {Network} network */
function alphabet(network) {
  const isText = network.unit === "character";
  const symbols = isText ? [0xfffd, ...network.symbols] : network.symbols;
  return { symbols, unknown: isText ? 0 : -1, ids: new Map(network.symbols.map((symbol, n) => [symbol, n + Number(isText)])) };
}
