// @ts-check
// The texts that were written from one beginning. They are a tree, of which the leaves are kept.
/** @typedef {{probability: number, likeliest: [string, number][]}} Mark A generated character. */
/** @typedef {(Mark | null)[]} Marks By unit of the text; null for what a person has written. */
/** @typedef {{text: string, marks: Marks}} Branch */
/** @typedef {[number, number, string, (0 | 1 | (number | string)[])[]]} PackedBranch */
const MOST_BRANCHES = 100;

/** Return the length of what two texts begin with, in whole characters. @param {string} one @param {string} other */
function commonBeginning(one, other) {
  const least = Math.min(one.length, other.length);
  let length = 0;
  while (length < least && one[length] === other[length]) length++;
  const isDivided = length > 0 && /[\ud800-\udbff]/.test(one[length - 1]);
  return isDivided ? length - 1 : length;
}

/** Return the length of what the rests of two texts end with. @param {string} one @param {string} other @param {number} start */
function commonEnd(one, other, start) {
  const least = Math.min(one.length, other.length) - start;
  let length = 0;
  while (length < least && one[one.length - 1 - length] === other[other.length - 1 - length]) length++;
  return length;
}

/** The character at a place, or nothing at the end. @param {string} text @param {number} place */
const characterAt = (text, place) => (place < text.length ? String.fromCodePoint(text.codePointAt(place) ?? 0) : "");

class Branches {
  constructor() {
    /** Oldest first; none is the beginning of another. @type {Branch[]} */
    this.kept = [];
  }

  /** Keep a text with generated characters, unless another one continues it. @param {Branch} branch */
  remember({ text, marks }) {
    if (!marks.some(Boolean) || this.kept.some((one) => one.text.startsWith(text))) return;
    const others = this.kept.filter((one) => !text.startsWith(one.text));
    this.kept = [...others, { text, marks: marks.slice() }].slice(-MOST_BRANCHES);
  }

  /** Return the places of a text where others part from it, in order. @param {string} text @returns {number[]} */
  places(text) {
    const found = this._others(text).map((one) => commonBeginning(one.text, text));
    return [...new Set(found)].sort((a, b) => a - b);
  }

  /** Return the branches from a place: one for each next character, among them `now`. @param {Branch} now @param {number} place */
  at(now, place) {
    const found = new Map(this._others(now.text)
      .filter((one) => commonBeginning(one.text, now.text) === place)
      .map((one) => [characterAt(one.text, place), one]));
    found.set(characterAt(now.text, place), now);
    return [...found].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, branch]) => branch);
  }

  /** @param {string} text */
  _others(text) {
    return this.kept.filter((one) => !text.startsWith(one.text));
  }
}

/** Write each branch as what differs from the one before. @param {Branch[]} branches @returns {PackedBranch[]} */
function packed(branches) {
  let last = "";
  return branches.map(({ text, marks }) => {
    const start = commonBeginning(last, text), end = commonEnd(last, text, start);
    last = text;
    const own = marks.slice(start, marks.length - end);
    return [start, end, text.slice(start, text.length - end), own.map((mark, i) => packedMark(mark, own[i - 1]))];
  });
}

/** @param {Mark | null} mark @param {Mark | null} [before] @returns {0 | 1 | (number | string)[]} */
function packedMark(mark, before) {
  if (!mark) return 0;
  if (mark === before) return 1; // the other half of a pair of surrogates
  const rounded = (/** @type {number} */ share) => Number(share.toPrecision(3));
  return [rounded(mark.probability), ...mark.likeliest.flatMap(([symbol, share]) => [symbol, rounded(share)])];
}

/** Read what `packed` has written; throws what a damaged one causes. @param {PackedBranch[]} branches @returns {Branch[]} */
function unpacked(branches) {
  /** @type {Branch} */
  let last = { text: "", marks: [] };
  return branches.map(([start, end, own, ownMarks]) => {
    /** @type {Marks} */
    const marks = [];
    for (const mark of ownMarks) marks.push(mark === 0 ? null : mark === 1 ? marks[marks.length - 1] : unpackedMark(mark));
    if (marks.length !== own.length) throw new RangeError("marks");
    const stop = last.text.length - end;
    last = {
      text: last.text.slice(0, start) + own + last.text.slice(stop),
      marks: [...last.marks.slice(0, start), ...marks, ...last.marks.slice(stop)],
    };
    return last;
  });
}

/** @param {(number | string)[]} mark @returns {Mark} */
function unpackedMark([probability, ...rest]) {
  /** @type {[string, number][]} */
  const likeliest = [];
  for (let i = 0; i < rest.length; i += 2) likeliest.push([String(rest[i]), Number(rest[i + 1])]);
  return { probability: Number(probability), likeliest };
}
