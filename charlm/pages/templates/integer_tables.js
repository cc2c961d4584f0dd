// The tables of charlm/portable/tables.py, by the same integer arithmetic: σ, tanh and 2^−x.
const STEP_BITS = 9, HALF = 16 << STEP_BITS, VALUE_BITS = 15, POWER_STEP_BITS = 12, POWER_BITS = 28;

/** @returns {{sigmoid: Int32Array, tanh: Int32Array, power: Int32Array}} */
function integerTables() {
  const PRECISION = 128n, ONE = 1n << PRECISION;

  /** The square root, rounded down. @param {bigint} number */
  function root(number) {
    let guess = 1n << (PRECISION + 1n);
    for (;;) {
      const better = (guess + number / guess) >> 1n;
      if (better >= guess) return guess;
      guess = better;
    }
  }
  /** e^(−1/divisor) by its power series. @param {bigint} divisor */
  function exponential(divisor) {
    let total = 0n, term = ONE;
    for (let number = 1n; term; number++) {
      total += number % 2n ? term : -term;
      term /= divisor * number;
    }
    return total;
  }
  /** base⁰, base¹, …; as multiples of 1 / ONE. @param {bigint} base @param {number} count */
  function powers(base, count) {
    const found = [ONE];
    while (found.length < count) found.push((found[found.length - 1] * base) >> PRECISION);
    return found;
  }
  /** The nearest multiple of 2^−bits. @param {bigint} above @param {bigint} below @param {number} [bits] */
  const rounded = (above, below, bits = VALUE_BITS) => Number(((above << BigInt(bits + 1)) / below + 1n) >> 1n);

  const sigmoid = new Int32Array(2 * HALF), tanh = new Int32Array(2 * HALF);
  powers(exponential(1n << BigInt(STEP_BITS)), HALF + 1).forEach((power, row) => {
    if (row < HALF) sigmoid[HALF + row] = rounded(ONE, ONE + power);
    sigmoid[HALF - row] = rounded(row ? power : ONE, ONE + power);
  });
  powers(exponential(1n << BigInt(STEP_BITS - 1)), HALF + 1).forEach((power, row) => {
    const value = rounded(ONE - power, ONE + power);
    if (row < HALF) tanh[HALF + row] = value;
    tanh[HALF - row] = -value;
  });
  let base = ONE >> 1n;
  for (let n = 0; n < POWER_STEP_BITS; n++) base = root(base << PRECISION);
  const power = Int32Array.from(powers(base, 1 << POWER_STEP_BITS), (one) => rounded(one, ONE, POWER_BITS));
  return { sigmoid, tanh, power };
}

/** @type {ReturnType<typeof integerTables> | null} */
let computedTables = null;
/** The tables, computed once. */
const tablesOfFormat = () => (computedTables ??= integerTables());
