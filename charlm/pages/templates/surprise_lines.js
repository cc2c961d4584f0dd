// How the text divides into blocks of lines, and a line into what a person sees as one character.
const BLOCK_CHARACTERS = 1000, BLOCK_LINES = 60;

/** @param {SurpriseData} data @returns {[number, number][]} starts and ends of the blocks */
function blocksOf(data) {
  const joins = data.symbols.map((symbol) => /^[\p{M}\p{Cf}\p{EMod}]$/u.test(symbol));
  /** @type {[number, number][]} */
  const found = [];
  for (let start = 0; start < data.size;) {
    const end = endOfBlock(data, joins, start);
    found.push([start, end]);
    start = end;
  }
  return found;
}

/** @param {SurpriseData} data @param {boolean[]} joins @param {number} start @returns {number} */
function endOfBlock(data, joins, start) {
  const { characters, size } = data;
  let end = Math.min(size, start + BLOCK_CHARACTERS), lines = 0, lastLine = -1;
  for (let i = start; i < end; i++) {
    if (characters[i] !== data.newline) continue;
    lastLine = i + 1;
    if (++lines === BLOCK_LINES) return lastLine;
  }
  if (end === size) return end;
  if (lastLine > 0) return lastLine;
  while (end > start + 1 && (joins[characters[end]] || data.symbol(end - 1) === "\u200d")) end--;
  return end;
}

/** @param {SurpriseData} data @param {number} start @param {number} end @param {number} width in pixels */
function estimatedHeight(data, start, end, width) {
  const perLine = Math.max(20, width / 9.7);
  let rows = 0, length = 0;
  for (let i = start; i < end; i++) {
    length++;
    if (data.characters[i] === data.newline || i === end - 1) {
      rows += Math.ceil(length / perLine);
      length = 0;
    }
  }
  return rows * 25.6;
}

/**
 * Return the clusters of a line: first index, what is shown, and whether that is a code.
 * @param {SurpriseData} data @param {number} start @param {number} end
 */
function clustersOf(data, start, end) {
  /** @type {[number, string, boolean][]} */
  const found = [];
  let run = "", from = start;
  const flush = () => {
    let at = from;
    for (const { segment } of data.graphemes.segment(run)) {
      found.push([at, segment, false]);
      at += [...segment].length;
    }
    run = "";
  };
  for (let i = start; i < end; i++) {
    const symbol = data.symbol(i), label = data.shown(i);
    if (symbol === label) {
      if (!run) from = i;
      run += symbol;
    } else {
      flush();
      found.push([i, label, true]);
    }
  }
  flush();
  return found;
}
