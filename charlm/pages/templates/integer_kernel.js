// Products of a step in WebAssembly (integer_kernel.c): the integers of `multiply`, with SIMD.
/** Sets sums to what a matrix gives for an operand. @typedef {(operand: Int16Array, sums: Int32Array) => void} Product */
const PAGE_BYTES = 2 ** 16, LANES = 8, COLUMNS_AT_ONCE = 4;

/** The next multiple of a divisor. @param {number} number @param {number} divisor */
const padded = (number, divisor) => Math.ceil(number / divisor) * divisor;

/** A memory that holds the matrices of one network, and what multiplies with them. */
class Kernel {
  /** @param {WebAssembly.Module} module */
  constructor(module) {
    this.memory = new WebAssembly.Memory({ initial: 1 });
    this.end = PAGE_BYTES; // the first page is the module's own
    const { exports } = new WebAssembly.Instance(module, { env: { memory: this.memory } });
    this.multiply = /** @type {(...addressesAndSizes: number[]) => void} */ (exports.multiply);
  }

  /** Reserve zeros; return their address. @param {number} bytes */
  reserve(bytes) {
    const address = this.end;
    this.end += padded(bytes, 16);
    const missing = this.end - this.memory.buffer.byteLength;
    if (missing > 0) this.memory.grow(Math.ceil(missing / PAGE_BYTES));
    return address;
  }

  /**
   * Copy a matrix, whose columns are contiguous, and what is added to its products.
   * @param {Int16Array} W @param {number} rows @param {Int32Array | null} base @returns {Product}
   */
  product(W, rows, base) {
    const columns = W.length / rows, size = padded(rows, LANES), width = padded(columns, COLUMNS_AT_ONCE);
    const operandAt = this.reserve(2 * size), baseAt = this.reserve(4 * width), sumsAt = this.reserve(4 * width);
    const matrixAt = this.reserve(2 * size * width), matrix = new Int16Array(this.memory.buffer, matrixAt, size * width);
    for (let column = 0; column < columns; column++) matrix.set(W.subarray(column * rows, (column + 1) * rows), column * size);
    if (base) new Int32Array(this.memory.buffer, baseAt, columns).set(base);
    return (operand, sums) => {
      // The buffer is another one after the memory has grown.
      new Int16Array(this.memory.buffer, operandAt, rows).set(operand);
      this.multiply(operandAt, size, matrixAt, width, baseAt, sumsAt);
      sums.set(new Int32Array(this.memory.buffer, sumsAt, columns));
    };
  }
}

/** Return an engine with the kernel, or without it where it cannot run. @param {Network} network */
async function startedEngine(network) {
  try {
    const code = Uint8Array.from(atob(KERNEL_CODE), (c) => c.charCodeAt(0));
    return new Engine(network, new Kernel(await WebAssembly.compile(code)));
  } catch {
    // No WebAssembly, no SIMD, a policy that forbids it, or too little memory.
    return new Engine(network);
  }
}
