// Files of `charlm compress`, decompressed: charlm/portable/{range_coder,symbols,compressed_file}.py.
const FULL_RANGE = 2 ** 48 - 1, SMALL_RANGE = 2 ** 40, MAX_BLOCK_SYMBOLS = 2 ** 19, DIGITS = 128;
const STORED = 2, CODED_WINDOWS = 1;

/** Decode intervals of [0, 2^24) from bytes; bytes after the end count as zeros. */
class RangeDecoder {
  /** @param {Uint8Array} data */
  constructor(data) {
    this.data = data;
    this.place = 0;
    this.range = FULL_RANGE;
    this.code = 0;
    while (this.place < 6) this.code = this.code * 256 + (data[this.place++] || 0);
  }

  /** Return a number in the interval of the next symbol. */
  target() {
    return Math.min(Math.floor(this.code / Math.floor(this.range / TOTAL)), TOTAL - 1);
  }

  /** Take a symbol off, by its interval. @param {number} begin @param {number} size */
  decode(begin, size) {
    const step = Math.floor(this.range / TOTAL);
    this.code -= step * begin;
    this.range = step * size;
    while (this.range < SMALL_RANGE) {
      this.code = (this.code * 256 + (this.data[this.place++] || 0)) % 2 ** 48;
      this.range *= 256;
    }
  }
}

/** Yield the symbols of a block. @param {Steps} steps @param {Uint8Array} data @param {number} count */
function* decodedSymbols(steps, data, count) {
  const { symbols, unknown } = alphabet(steps.engine.network), decoder = new RangeDecoder(data), digit = TOTAL / DIGITS;
  for (; count > 0; count--) {
    const target = decoder.target();
    let id = 0, begin = 0;
    while (begin + steps.frequencies[id] <= target) begin += steps.frequencies[id++];
    decoder.decode(begin, steps.frequencies[id]);
    let symbol = symbols[id];
    if (id === unknown) {
      symbol = 0;
      for (let n = 0; n < 3; n++) {
        const value = Math.floor(decoder.target() / digit);
        decoder.decode(value * digit, digit);
        symbol = symbol * DIGITS + value;
      }
      if (symbol > 0x10ffff) throw new Error("the file is damaged");
    }
    steps.read(id);
    yield symbol;
  }
}

/** Return the CRC-32 of bytes. @param {Uint8Array[]} parts */
function checksum(...parts) {
  let sum = -1;
  for (const part of parts) {
    for (const byte of part) {
      sum ^= byte;
      for (let bit = 0; bit < 8; bit++) sum = (sum >>> 1) ^ (0xedb88320 & -(sum & 1));
    }
  }
  return ~sum >>> 0;
}

/** Append a symbol's bytes: those of UTF-8, or the raw byte that a surrogate stands for. @param {number[]} bytes @param {number} symbol */
function appendUtf8(bytes, symbol) {
  if (symbol < 0x80) bytes.push(symbol);
  else if (symbol < 0x800) bytes.push(0xc0 | (symbol >> 6), 0x80 | (symbol & 63));
  else if (symbol >= 0xdc80 && symbol < 0xdd00) bytes.push(symbol - 0xdc00);
  else if (symbol >= 0xd800 && symbol < 0xe000) throw new Error("the file is damaged");
  else if (symbol < 0x10000) bytes.push(0xe0 | (symbol >> 12), 0x80 | ((symbol >> 6) & 63), 0x80 | (symbol & 63));
  else bytes.push(0xf0 | (symbol >> 18), 0x80 | ((symbol >> 12) & 63), 0x80 | ((symbol >> 6) & 63), 0x80 | (symbol & 63));
}

/**
 * Decompress a file; yields the number of symbols so far after every hundred, and returns the pieces of
 * the original and the first 16 bytes of its SHA-256. Throws an Error for another model, and for damage.
 * @param {Engine} engine @param {Uint8Array} file
 */
function* decompressed(engine, file) {
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  const hex = (/** @type {Uint8Array} */ bytes) => Array.from(bytes, (one) => one.toString(16).padStart(2, "0")).join("");
  if (hex(file.subarray(0, 4)) !== "89434c4d") throw new Error("charlm did not compress it");
  if (file.length < 22) throw new Error("it is cut short");
  if (file[4] !== 1) throw new Error(`it has format ${file[4]}, and this page reads format 1`);
  if (file[5] > 1) throw new Error("it is damaged");
  if (hex(file.subarray(6, 22)) !== engine.network.digest) throw new Error("another model compressed it");
  if (file[5]) throw new Error("it contains a model; decompress it with charlm");
  let steps = new Steps(engine), total = 0;
  const isText = engine.network.unit === "character";
  /** @type {Uint8Array<ArrayBuffer>[]} */
  const pieces = [];
  for (let at = 22; ;) {
    if (at + 13 > file.length) throw new Error("it is cut short");
    const count = view.getUint32(at, true), size = view.getUint32(at + 4, true), kind = file[at + 8];
    const head = file.subarray(at, at + 9), data = file.subarray(at + 13, at + 13 + size);
    if (data.length < size) throw new Error("it is cut short");
    if (count > MAX_BLOCK_SYMBOLS || kind > STORED || checksum(head, data) !== view.getUint32(at + 9, true)) {
      throw new Error("it is damaged");
    }
    at += 13 + size;
    if (!count) {
      if (file.length !== at + 16) throw new Error("it is damaged at its end");
      return { pieces, digest: hex(file.subarray(at)) };
    }
    if (kind === STORED) {
      pieces.push(data.slice());
      steps = new Steps(engine);
      total += count;
      yield total;
      continue;
    }
    /** @type {number[]} */
    const bytes = [];
    for (const symbol of decodedSymbols(steps, data, count)) {
      if (!isText) bytes.push(symbol);
      else {
        if (symbol === 10 && kind === CODED_WINDOWS) bytes.push(13);
        appendUtf8(bytes, symbol);
      }
      if (++total % 100 === 0) yield total;
    }
    pieces.push(Uint8Array.from(bytes));
  }
}
