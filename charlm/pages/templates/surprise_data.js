// The columns of the characters, and what follows from them.
/**
 * @typedef {{size: number, predictedFrom: number, steps: number, measures: Record<string, number[]>,
 *   widths: [string, number][], numLikeliest: number, symbols: string[], shown: string[], unknown: number[],
 *   expected: string[], columns: string}} PackedSurprise
 * @typedef {Uint8Array | Uint16Array | Uint32Array} Column
 */
class SurpriseData {
  /** @param {PackedSurprise} packed @param {Record<string, Column>} columns */
  constructor(packed, columns) {
    this.size = packed.size;
    this.predictedFrom = packed.predictedFrom;
    this.numLikeliest = packed.numLikeliest;
    this.symbols = packed.symbols;
    this.newline = packed.symbols.indexOf("\n");
    this.graphemes = new Intl.Segmenter("en", { granularity: "grapheme" });
    this.measures = packed.measures;
    /** What the colours show: a key of `measures`. */
    this.measure = "bits";
    this.characters = columns.characters;
    this.ranks = columns.ranks;
    this._packed = packed;
    this._unknown = new Set(packed.unknown);
    this._columns = columns;
    this._restore();
    const starts = [0];
    for (let i = 0; i < this.size - 1; i++) if (this.characters[i] === this.newline) starts.push(i + 1);
    this.lineStarts = Uint32Array.from(starts);
  }

  /** @returns {Promise<SurpriseData>} */
  static async read() {
    /** @type {PackedSurprise} */
    const packed = JSON.parse(byId("surprise").textContent || "");
    const bytes = Uint8Array.from(atob(packed.columns), (c) => c.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
    const whole = await new Response(stream).arrayBuffer();
    /** @type {Record<string, Column>} */
    const columns = {};
    let at = 0;
    for (const [name, width] of packed.widths) {
      const kind = width === 1 ? Uint8Array : width === 2 ? Uint16Array : Uint32Array;
      const rows = name === "likeliest" || name === "shares" ? packed.numLikeliest : 1;
      const length = packed.size * width * rows;
      columns[name] = new kind(whole.slice(at, at + length));
      at += length;
    }
    return new SurpriseData(packed, columns);
  }

  /** Of shares and bits, the page holds differences, which deflate better. */
  _restore() {
    const { size, numLikeliest, ranks } = this, { bits, shares } = this._columns;
    for (let i = size; i < size * numLikeliest; i++) shares[i] += shares[i - size];
    for (let i = 0; i < size; i++) {
      if (ranks[i] && ranks[i] <= numLikeliest) bits[i] += shares[(ranks[i] - 1) * size + i];
    }
  }

  /** @param {number} level */
  _asBits(level) {
    return (level / this._packed.steps) ** 2;
  }

  /** @param {number} i */
  bits(i) {
    return this._asBits(this._columns.bits[i]);
  }

  /** @param {number} i @returns {boolean} whether it has at least the bits that the page can hold */
  isHighest(i) {
    return this._columns.bits[i] === 255;
  }

  /** @param {number} i */
  entropy(i) {
    return this._asBits(this._columns.entropies[i]);
  }

  /** @param {number} i @returns {[string, number][]} the likeliest symbols, with their probabilities */
  likeliest(i) {
    const { likeliest, shares } = this._columns;
    return Array.from({ length: this.numLikeliest }, (_, n) => {
      const at = n * this.size + i;
      return [this._packed.expected[likeliest[at]], 2 ** -this._asBits(shares[at])];
    });
  }

  /** @param {number} i @returns {string} */
  symbol(i) {
    return this.symbols[this.characters[i]];
  }

  /** @param {number} i @returns {string} the symbol as the page shows it */
  shown(i) {
    return this._packed.shown[this.characters[i]];
  }

  /** @param {number} i @returns {boolean} */
  isUnknown(i) {
    return this._unknown.has(this.characters[i]);
  }

  /** @param {number} i @returns {number} the level of colour */
  level(i) {
    if (i < this.predictedFrom) return 0;
    const value = this.measure === "rank" ? this.ranks[i] : this.measure === "bits" ? this.bits(i) : this.entropy(i);
    let found = 0;
    for (const from of this.measures[this.measure]) if (value >= from) found++;
    return found;
  }

  /** @param {number} start @param {number} end @returns {number} the highest level of a cluster */
  levelOf(start, end) {
    let highest = 0;
    for (let i = start; i < end; i++) highest = Math.max(highest, this.level(i));
    return highest;
  }

  /** @param {number} i @returns {number} the number of the line, from 0 on */
  lineOf(i) {
    return lastNotAfter(this.lineStarts.length, (n) => this.lineStarts[n], i);
  }

  /** @param {number} i */
  placeOf(i) {
    const line = this.lineOf(i), column = i - this.lineStarts[line] + 1;
    return `line ${(line + 1).toLocaleString("en")}, column ${column.toLocaleString("en")}`;
  }
}

/** @param {number} count @param {(n: number) => number} startOf @param {number} i */
function lastNotAfter(count, startOf, i) {
  let low = 0, high = count - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (startOf(middle) <= i) low = middle;
    else high = middle - 1;
  }
  return low;
}
