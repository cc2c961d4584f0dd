// @ts-check
// What is drawn: the colours behind the text, the likeliest characters, and the branches.
const LEVELS = [0.5, 0.2, 0.05, 0.01], PREVIEW = 60;

/** @param {string} symbol */
const visible = (symbol) => symbol.replaceAll("\n", "↵").replaceAll("\t", "⇥").replace(/^ $/, "␣");

/** @param {string} tag @param {string} className @param {string} content */
function element(tag, className, content) {
  const made = document.createElement(tag);
  made.className = className;
  made.textContent = content;
  return made;
}

/**
 * The mirror of the text: an element for each line, and in it a span for each generated character,
 * and for others that are copied or where branches begin. Only lines that have changed are drawn.
 */
class Mirror {
  /** @param {HTMLElement} root */
  constructor(root) {
    this._root = root;
    /** What is drawn of each line. @type {string[]} */
    this._keys = [];
    /** Where each line begins. @type {number[]} */
    this._starts = [];
  }

  /** @param {Branch} branch @param {number[][]} copied @param {number[]} forks */
  draw({ text, marks }, copied, forks) {
    const classes = classesOf(marks, copied, forks), decoder = new TextDecoder("latin1");
    /** @type {string[]} */
    const keys = [];
    this._starts = [];
    for (let start = 0, end; start <= text.length; start = end + 1) {
      end = text.indexOf("\n", start);
      if (end < 0) end = text.length;
      this._starts.push(start);
      keys.push(text.slice(start, end + 1) + "\0" + decoder.decode(classes.subarray(start, end + 1)));
    }
    const old = this._keys, least = Math.min(old.length, keys.length);
    let first = 0, last = 0;
    while (first < least && old[first] === keys[first]) first++;
    while (last < least - first && old[old.length - 1 - last] === keys[keys.length - 1 - last]) last++;
    const lines = [...this._root.children];
    const drawn = keys.slice(first, keys.length - last).map((_, number) => {
      const start = this._starts[first + number], next = this._starts[first + number + 1] ?? text.length;
      return drawnLine(text.slice(start, next), marks.slice(start, next), classes.subarray(start, next));
    });
    for (const line of lines.slice(first, old.length - last)) line.remove();
    this._root.insertBefore(fragmentOf(drawn), lines[old.length - last] ?? null);
    this._keys = keys;
  }

  /** The span of a generated character. @param {number} place */
  spanAt(place) {
    const number = this._starts.findLastIndex((start) => start <= place);
    return this._root.children[number]?.querySelector(`[data-place="${place - this._starts[number]}"]`);
  }

  /** The place of the character that an element shows; -1 for none. @param {Element} shown */
  placeOf(shown) {
    const { place } = /** @type {HTMLElement} */ (shown).dataset;
    const number = place === undefined ? -1 : [...this._root.children].indexOf(/** @type {Element} */ (shown.parentElement));
    return number < 0 ? -1 : this._starts[number] + Number(place);
  }
}

const COPIED = 8, FORK = 16, CONTINUED = 32;

/** Return what is to be seen of each unit: its level, from 1 on, and what else. @param {Marks} marks @param {number[][]} copied @param {number[]} forks */
function classesOf(marks, copied, forks) {
  const classes = new Uint8Array(marks.length);
  marks.forEach((mark, i) => {
    if (!mark) return;
    const level = LEVELS.findIndex((least) => mark.probability >= least);
    classes[i] = ((level < 0 ? LEVELS.length : level) + 1) | (i && mark === marks[i - 1] ? CONTINUED : 0);
  });
  for (const [start, end] of copied) for (let i = start; i < end; i++) classes[i] |= COPIED;
  for (const place of forks) if (place < classes.length) classes[place] |= FORK;
  return classes;
}

/** Return a line as elements. @param {string} line @param {Marks} marks @param {Uint8Array} classes */
function drawnLine(line, marks, classes) {
  const drawn = element("div", "", "");
  for (let start = 0, end; start < line.length; start = end) {
    const isMarked = marks[start] !== null, own = classes[start];
    end = start + 1;
    if (isMarked) while (classes[end] & CONTINUED) end++; // a pair of surrogates
    else while (end < line.length && classes[end] === (own & COPIED)) end++;
    const names = [isMarked && `p${own & 7}`, own & COPIED && "copied", own & FORK && "fork"].filter(Boolean);
    const content = line.slice(start, end).replace("\n", "");
    if (!names.length) {
      drawn.append(content);
      continue;
    }
    const span = element("span", names.join(" "), content || "\u200b");
    if (isMarked) span.dataset.place = String(start);
    drawn.append(span);
  }
  drawn.append("\u200b"); // so that an empty line takes its height
  return drawn;
}

/** @param {Node[]} nodes */
function fragmentOf(nodes) {
  const fragment = document.createDocumentFragment();
  fragment.append(...nodes);
  return fragment;
}

/** Return the list of the likeliest characters. @param {Mark} mark @param {(symbol: string) => void} choose */
function likeliestList(mark, choose) {
  const list = document.createElement("ol");
  for (const [symbol, probability] of mark.likeliest) {
    const choice = /** @type {HTMLButtonElement} */ (element("button", "", visible(symbol)));
    choice.type = "button";
    choice.ariaLabel = `Continue with ${symbol === "\n" ? "a newline" : symbol === " " ? "a space" : symbol}`;
    choice.addEventListener("click", () => choose(symbol));
    const meter = document.createElement("meter");
    meter.value = probability;
    meter.ariaHidden = "true";
    const item = document.createElement("li");
    item.append(choice, meter, element("span", "", `${(100 * probability).toFixed(1)} %`));
    list.append(item);
  }
  return list;
}

/** Return buttons with the beginnings of branches. @param {Branch[]} branches @param {number} now @param {number} place @param {(number: number) => void} go */
function branchButtons(branches, now, place, go) {
  return branches.map(({ text }, number) => {
    const beginning = visible(text.slice(place, place + PREVIEW)) || "(the text ends here)";
    const item = document.createElement("li"), choice = element("button", "mono", beginning);
    /** @type {HTMLButtonElement} */ (choice).type = "button";
    if (number === now) choice.ariaCurrent = "true";
    choice.addEventListener("click", () => go(number));
    item.append(choice);
    return item;
  });
}
