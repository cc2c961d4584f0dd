// Text of an integer network: the same as that of `charlm generate --portable`.
/**
 * @typedef {{temperature?: number, greedy?: boolean, top_k?: number | null, top_p?: number, min_p?: number}} Sampling
 */

/** Marsaglia's xorshift128, seeded with MurmurHash3's finalizer. */
class RandomBits {
  /** @param {bigint} seed below 2^63 */
  constructor(seed) {
    const low = Number(seed & 0xffffffffn), high = Number(seed >> 32n);
    this.words = [1, 2, 3, 4].map((n) => RandomBits.mixed(low + RandomBits.mixed(high) + n * 0x9e3779b9));
  }

  /** @param {number} number */
  static mixed(number) {
    number = Math.imul((number |= 0) ^ (number >>> 16), 0x85ebca6b);
    number = Math.imul(number ^ (number >>> 13), 0xc2b2ae35);
    return (number ^ (number >>> 16)) >>> 0;
  }

  /** @returns {number} 24 random bits */
  bits() {
    const [first, ...rest] = this.words, mixed = first ^ (first << 11), last = rest[2];
    this.words = [...rest, (last ^ (last >>> 19) ^ mixed ^ (mixed >>> 8)) >>> 0];
    return this.words[3] >>> 8;
  }
}

/** log2(e) / temperature with 20 bits, halves to even. @param {number} temperature */
function sharpnessOf(temperature) {
  const exact = LOG2_E / temperature, floor = Math.floor(exact);
  const isUp = exact - floor === 0.5 ? floor % 2 === 1 : exact - floor > 0.5;
  return isUp ? floor + 1 : floor;
}

/**
 * Set the frequencies that the settings exclude to 0; of equals the first stay.
 * @param {Float64Array} frequencies @param {Sampling} settings
 */
function restrict(frequencies, { top_k = null, top_p = 1, min_p = 0 }) {
  if (top_k === null && top_p >= 1 && min_p <= 0) return;
  const order = Array.from(frequencies.keys()).sort((a, b) => frequencies[b] - frequencies[a] || a - b);
  const largest = frequencies[order[0]], share = Math.floor(top_p * TOTAL), least = Math.floor(min_p * TOTAL) * largest;
  let before = 0;
  order.forEach((symbol, rank) => {
    const frequency = frequencies[symbol];
    const isKept = (top_k === null || rank < top_k) && (top_p >= 1 || before < share) && frequency * TOTAL >= least;
    if (rank && !isKept) frequencies[symbol] = 0;
    before += frequency;
  });
}

/** Return the id to go on with. @param {Steps} steps @param {number} unknown @param {RandomBits} random @param {Sampling} settings */
function chosenId(steps, unknown, random, settings) {
  const frequencies = steps.frequencies.slice();
  if (unknown >= 0) frequencies[unknown] = 0;
  if (isGreedy(settings)) return frequencies.indexOf(frequencies.reduce((a, b) => Math.max(a, b)));
  restrict(frequencies, settings);
  const target = Math.floor((random.bits() * frequencies.reduce((a, b) => a + b)) / TOTAL);
  let end = 0;
  return frequencies.findIndex((frequency) => (end += frequency) > target);
}

/** @param {Sampling} settings */
const isGreedy = ({ greedy = false, temperature = 1 }) => greedy || temperature === 0;

/** The state after a text, from which it continues. */
class Writer {
  /** @param {Engine} engine @param {bigint} seed @param {Sampling} settings */
  constructor(engine, seed, settings) {
    this.alphabet = alphabet(engine.network);
    this.steps = new Steps(engine, isGreedy(settings) ? LOG2_E : sharpnessOf(settings.temperature ?? 1));
    this.random = new RandomBits(seed);
    this.settings = settings;
    this.openings = engine.network.openings;
    this.opening = this.openings.length ? Number(seed % BigInt(this.openings.length)) : -1;
  }

  /** Begin a text that has no prefix. */
  begin() {
    if (this.opening >= 0) this.steps.begin(this.openings[this.opening]);
  }

  /** Return the next id, and read it. */
  next() {
    const id = chosenId(this.steps, this.alphabet.unknown, this.random, this.settings);
    this.steps.read(id);
    return id;
  }
}

/** The code points of a text, or its bytes in UTF-8. @param {string} text @param {string} unit */
function symbolsOf(text, unit) {
  return unit === "byte" ? [...new TextEncoder().encode(text)] : Array.from(text, (one) => one.codePointAt(0) || 0);
}
