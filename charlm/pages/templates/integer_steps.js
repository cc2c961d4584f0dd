// A step of an integer network: the same numbers as those of charlm/portable/steps.py.
// What a 32-bit integer may not hold is a double, exact below 2^53.
const STATE_BITS = 15, MEMORY_BITS = 16, MAX_MEMORY = 2 ** 30, MAX_RELU_OPERAND = 2 ** 15 - 1;
const TOTAL = 2 ** 24, EXPONENT = 2 ** 20, MAX_SHIFT = 40, LOG2_E = 1512775;
const NUM_GATES = /** @type {Record<string, number>} */ ({ rnn: 1, relu: 1, gru: 3, lstm: 4, mogrifier: 4 });

/** Divide a 32-bit integer by 2^bits, halves up. @param {number} number @param {number} bits */
const shifted = (number, bits) => (bits > 0 ? (number >> bits) + ((number >> (bits - 1)) & 1) : number << -bits);

/** The same of a double. @param {number} number @param {number} bits */
const shiftedDouble = (number, bits) => (bits > 0 ? Math.floor(number * 2 ** -bits + 0.5) : number * 2 ** -bits);

/** @param {Int32Array} table @param {number} sum @param {number} bits */
function lookedUp(table, sum, bits) {
  const row = shifted(sum, bits - STEP_BITS) + HALF;
  return table[row < 0 ? 0 : row < 2 * HALF ? row : 2 * HALF - 1];
}

/** Turn a matrix by rows into one by columns. @param {Int16Array} W @param {number} rows */
function byColumns(W, rows) {
  const columns = W.length / rows, turned = new Int16Array(W.length);
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) turned[column * rows + row] = W[row * columns + column];
  }
  return turned;
}

/**
 * Set sums to base + operand · W, whose columns are contiguous. No sum can pass 2^31.
 * @param {Int16Array} operand @param {Int16Array} W @param {Int32Array | null} base @param {Int32Array} sums
 */
function multiply(operand, W, base, sums) {
  const size = operand.length, whole = size - (size % 4);
  for (let column = 0, at = 0; column < sums.length; column++) {
    let first = base ? base[column] : 0, second = 0, third = 0, fourth = 0, row = 0;
    for (; row < whole; row += 4, at += 4) {
      first = (first + Math.imul(operand[row], W[at])) | 0;
      second = (second + Math.imul(operand[row + 1], W[at + 1])) | 0;
      third = (third + Math.imul(operand[row + 2], W[at + 2])) | 0;
      fourth = (fourth + Math.imul(operand[row + 3], W[at + 3])) | 0;
    }
    for (; row < size; row++, at++) first = (first + Math.imul(operand[row], W[at])) | 0;
    sums[column] = (first + second + third + fourth) | 0;
  }
}

/** The sums of a symbol's input in the lowest layer, computed when they are first needed. */
class SymbolRows {
  /** @param {Projection} projection @param {Weights | null} embedding */
  constructor(projection, embedding) {
    this.projection = projection;
    this.embedding = embedding;
    this.rows = /** @type {Int32Array[]} */ ([]);
  }

  /** @param {number} symbol @param {number} size of the vocabulary */
  of(symbol, size) {
    if (this.rows[symbol]) return this.rows[symbol];
    const { W, b, bits } = this.projection, columns = b.length, sums = new Float64Array(columns);
    const width = this.embedding ? this.embedding.values.length / size : 1;
    for (let n = 0; n < width; n++) {
      const factor = this.embedding ? this.embedding.values[symbol * width + n] : 1;
      const row = (this.embedding ? n : symbol) * columns;
      for (let column = 0; column < columns; column++) sums[column] += factor * W.values[row + column];
    }
    const surplus = W.bits + (this.embedding ? this.embedding.bits : 0) - bits;
    return (this.rows[symbol] = Int32Array.from(sums, (sum, column) => shiftedDouble(sum, surplus) + b[column]));
  }
}

/** What stays the same while a network reads: its weights by columns, and the tables. */
class Engine {
  /** @param {Network} network @param {Kernel | null} kernel null: plain JavaScript multiplies */
  constructor(network, kernel = null) {
    const size = network.hiddenSize, [lowest] = network.layers;
    /** @param {Int16Array} W by rows @param {Int32Array | null} base @returns {Product} */
    const product = (W, base) => {
      const columns = byColumns(W, size);
      return kernel ? kernel.product(columns, size, base) : (operand, sums) => multiply(operand, columns, base, sums);
    };
    this.network = network;
    this.kernel = kernel;
    this.tables = tablesOfFormat();
    this.rows = new SymbolRows(lowest.inputs, network.embedding);
    this.gateRows = lowest.gate && new SymbolRows(lowest.gate, network.embedding);
    this.writeLogits = product(network.W_hq, network.b_q);
    this.layers = network.layers.map(({ inputs, W_hh, gate }, number) => ({
      writeRecurrent: product(W_hh, null),
      writeInputs: number ? product(inputs.W.values, inputs.b) : null,
      writeGate: number && gate ? product(gate.W.values, gate.b) : null,
      bits: inputs.bits,
      gateBits: gate ? gate.bits : 0,
    }));
    this.size = network.b_q.length;
  }
}

/** The state of a network, and its prediction: `frequencies` that sum to 2^24. */
class Steps {
  /** @param {Engine} engine @param {number} [sharpness] log2(e) / temperature, with 20 bits */
  constructor(engine, sharpness = LOG2_E) {
    const { network, size } = engine, units = network.hiddenSize, gates = NUM_GATES[network.cell] * units;
    this.engine = engine;
    this.sharpness = sharpness;
    this.hidden = network.layers.map(() => new Int32Array(units));
    this.memory = network.layers.map(() => new Int32Array(units));
    this.operand = new Int16Array(units);
    this.below = new Int16Array(units);
    this.inputs = new Int32Array(gates);
    this.recurrent = new Int32Array(gates);
    this.gate = new Int32Array(units);
    this.logits = new Int32Array(size);
    // Before the first symbol, all are equally frequent.
    const begin = (/** @type {number} */ symbol) => Math.floor((symbol * TOTAL) / size);
    this.frequencies = Float64Array.from({ length: size }, (_, symbol) => begin(symbol + 1) - begin(symbol));
  }

  /** Set the state to that of an opening, and read its symbol. @param {Opening} opening */
  begin(opening) {
    opening.hidden.forEach((state, layer) => this.hidden[layer].set(state));
    opening.memory.forEach((state, layer) => this.memory[layer].set(state));
    this.read(opening.symbol);
  }

  /** Advance the state by a symbol. @param {number} symbol */
  read(symbol) {
    const { engine } = this, { network } = engine;
    if (symbol === network.boundary) for (const state of [...this.hidden, ...this.memory]) state.fill(0);
    engine.layers.forEach((layer, number) => {
      let gate = number || !engine.gateRows ? null : engine.gateRows.of(symbol, engine.size);
      if (layer.writeGate) layer.writeGate(this.below, (gate = this.gate));
      this.writeOperand(number, gate, this.operand);
      if (layer.writeInputs) layer.writeInputs(this.below, this.inputs);
      const inputs = layer.writeInputs ? this.inputs : engine.rows.of(symbol, engine.size);
      layer.writeRecurrent(this.operand, this.recurrent);
      this.advance(number, inputs);
      this.writeOperand(number, null, this.below);
    });
    engine.writeLogits(this.below, this.logits);
    this.share();
  }

  /** @param {number} number of the layer @param {Int32Array | null} gate @param {Int16Array} operand */
  writeOperand(number, gate, operand) {
    const { network, tables, layers } = this.engine, hidden = this.hidden[number];
    const surplus = STATE_BITS - network.operandBits, { gateBits } = layers[number];
    for (let unit = 0; unit < hidden.length; unit++) {
      if (gate) operand[unit] = shifted(hidden[unit] * lookedUp(tables.sigmoid, gate[unit], gateBits), surplus + VALUE_BITS - 1);
      else operand[unit] = network.cell === "relu" ? hidden[unit] : shifted(hidden[unit], surplus);
    }
  }

  /** Set the hidden state of a layer to that of the cell's equations. @param {number} number @param {Int32Array} inputs */
  advance(number, inputs) {
    const { network, tables: { sigmoid, tanh }, layers } = this.engine, { recurrent } = this;
    const hidden = this.hidden[number], memory = this.memory[number], size = hidden.length, { bits } = layers[number];
    for (let unit = 0; unit < size; unit++) {
      const second = size + unit, third = 2 * size + unit, fourth = 3 * size + unit;
      const sum = (inputs[unit] + recurrent[unit]) | 0;
      if (network.cell === "rnn") hidden[unit] = lookedUp(tanh, sum, bits);
      else if (network.cell === "relu") {
        hidden[unit] = Math.min(Math.max(shifted(sum, bits - network.operandBits), 0), MAX_RELU_OPERAND);
      } else if (network.cell === "gru") {
        const R = lookedUp(sigmoid, sum, bits), Z = lookedUp(sigmoid, (inputs[second] + recurrent[second]) | 0, bits);
        const fromState = shiftedDouble(R * recurrent[third], VALUE_BITS);
        const candidate = lookedUp(tanh, inputs[third] + fromState, bits);
        hidden[unit] = shifted(Z * hidden[unit] + (2 ** VALUE_BITS - Z) * candidate, VALUE_BITS);
      } else {
        const I = lookedUp(sigmoid, sum, bits), F = lookedUp(sigmoid, (inputs[second] + recurrent[second]) | 0, bits);
        const candidate = lookedUp(tanh, (inputs[third] + recurrent[third]) | 0, bits);
        const O = lookedUp(sigmoid, (inputs[fourth] + recurrent[fourth]) | 0, bits);
        const added = shiftedDouble(F * memory[unit] + 2 * I * candidate, VALUE_BITS);
        memory[unit] = Math.min(Math.max(added, -MAX_MEMORY), MAX_MEMORY);
        hidden[unit] = shifted(O * lookedUp(tanh, memory[unit], MEMORY_BITS), VALUE_BITS);
      }
    }
  }

  /** Set the frequencies to each symbol's share of 2^24, from the logits. */
  share() {
    const { logits, frequencies, sharpness } = this, { network, tables } = this.engine, size = logits.length;
    let likeliest = 0, total = 0, rest = TOTAL;
    for (let symbol = 1; symbol < size; symbol++) if (logits[symbol] > logits[likeliest]) likeliest = symbol;
    for (let symbol = 0; symbol < size; symbol++) {
      // A product of 2^53 or more is inexact, but its weight is 0.
      const exponent = Math.floor((logits[likeliest] - logits[symbol]) * sharpness * 2 ** -network.logitBits);
      const whole = Math.floor(exponent / EXPONENT), row = (exponent % EXPONENT) >> (20 - POWER_STEP_BITS);
      frequencies[symbol] = whole < MAX_SHIFT ? Math.floor(tables.power[row] * 2 ** -whole) : 0;
      total += frequencies[symbol];
    }
    for (let symbol = 0; symbol < size; symbol++) {
      frequencies[symbol] = 1 + Math.floor((frequencies[symbol] * (TOTAL - size)) / total);
      rest -= frequencies[symbol];
    }
    frequencies[likeliest] += rest;
  }
}
