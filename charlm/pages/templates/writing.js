// @ts-check
// The page to write with: a text, its branches, what is known of its characters, and the server.
{
  /** @typedef {Branch & {caret: number}} Version */
  const STORED = "charlm-branches";
  const MOST_PROMPT = 20000, MOST_SEARCHED = 100000, MOST_VERSIONS = 200;
  const TYPING_MS = 1000, STORE_MS = 300, SEARCH_MS = 600;
  const FIELDS = ["temperature", "top_p", "seed", "length", "least"];

  /** @param {string} id @returns {HTMLInputElement} */
  const input = (id) => /** @type {HTMLInputElement} */ (byId(id));
  /** @param {string} id @returns {HTMLButtonElement} */
  const button = (id) => /** @type {HTMLButtonElement} */ (byId(id));
  const area = /** @type {HTMLTextAreaElement} */ (byId("text"));
  const model = /** @type {HTMLSelectElement} */ (byId("model"));
  const mirror = new Mirror(byId("mirror"));
  const server = new WritingServer((isLocked) => (byId("locked").hidden = !isLocked));
  const branches = new Branches();

  let text = "";
  /** @type {Marks} */
  let marks = [];
  /** @type {Version[]} */
  let undone = [];
  /** @type {Version[]} */
  let done = [];
  /** Starts and ends of what is copied from the training text. @type {number[][]} */
  let copied = [];
  /** Places where other branches part from the text. @type {number[]} */
  let forks = [];
  let typedAt = 0, shown = -1, leavesOnTab = false, storeTimer = 0, searchTimer = 0, frame = 0;
  /** @type {AbortController | null} */
  let running = null;
  /** @typedef {{id: string, unit: string, defaults: Record<string, number>}} ModelEntry */
  /** @type {ModelEntry[]} */
  let models = [];
  /** Whether a person has changed the settings, which are at first those of the model. */
  let areOwn = false;

  /** @param {string} message */
  const say = (message) => (byId("status").textContent = message);

  // The text, its versions and its branches

  const version = () => ({ text, marks: marks.slice(), caret: area.selectionStart });

  /** Keep the text as it is now, for undo; what was undone is kept as a branch. */
  function keep() {
    done.push(version());
    if (done.length > MOST_VERSIONS) done.shift();
    for (const one of undone) branches.remember(one);
    undone = [];
  }

  /** @param {Version[]} from @param {Version[]} to */
  function restore(from, to) {
    if (running) return;
    const other = from.pop();
    if (!other) return;
    to.push(version());
    typedAt = 0;
    set(other, other.caret);
  }

  /** @param {Branch} branch @param {number} caret */
  function set(branch, caret) {
    forget(commonBeginning(text, branch.text));
    ({ text, marks } = branch);
    area.value = text;
    area.setSelectionRange(caret, caret);
    settle();
  }

  /** Draw and keep what has changed. */
  function settle() {
    forks = branches.places(text);
    draw();
    showBranches();
    clearTimeout(storeTimer);
    storeTimer = setTimeout(store, STORE_MS);
    clearTimeout(searchTimer);
    searchTimer = setTimeout(() => void search(), SEARCH_MS);
  }

  /** Forget what was copied from a place on. @param {number} place */
  const forget = (place) => (copied = copied.filter(([, end]) => end <= place));

  /** Move the marks along with what a person has typed. */
  function typed() {
    const now = area.value;
    const start = commonBeginning(now, text), same = commonEnd(now, text, start);
    const isNew = Date.now() - typedAt > TYPING_MS;
    if (isNew) keepAsTyped(start, text.length - same);
    typedAt = Date.now();
    const added = now.length - same - start;
    forget(start);
    marks = [...marks.slice(0, start), ...Array(added).fill(null), ...marks.slice(text.length - same)];
    text = now;
    settle();
  }

  /** Keep the text before something is typed; as a branch, if generated characters are removed. @param {number} start @param {number} end */
  function keepAsTyped(start, end) {
    keep();
    if (marks.slice(start, end).some(Boolean)) branches.remember({ text, marks });
  }

  /** The place whose branches are shown: the last one before the cursor, or else the first. */
  const forkAtCursor = () => forks.findLast((place) => place <= area.selectionStart) ?? forks[0];

  /** Go to another branch; `step` counts from the present one. @param {number} step */
  function turn(step) {
    const place = forkAtCursor();
    if (running || place === undefined) return;
    const found = branches.at({ text, marks }, place);
    const now = found.findIndex((one) => one.text === text);
    const number = (now + step + found.length) % found.length;
    if (number === now) return;
    keep();
    branches.remember({ text, marks });
    typedAt = 0;
    set({ ...found[number], marks: found[number].marks.slice() }, place);
    say(`branch ${number + 1} of ${found.length} from character ${place + 1}`);
  }

  /** Move the cursor to the place before or after the one that is shown. @param {1 | -1} step */
  function moveToFork(step) {
    const place = forks[forks.indexOf(forkAtCursor()) + step];
    if (place === undefined) return;
    area.setSelectionRange(place, place);
    showBranches();
    say(`${byId("fork").textContent}`);
  }

  // Drawing

  function draw() {
    const place = shown;
    mirror.draw({ text, marks }, copied, running ? [] : forks);
    shown = -1;
    if (!running) show(place);
    button("undo").disabled = !done.length || running !== null;
    button("redo").disabled = !undone.length || running !== null;
    button("continue").disabled = running !== null;
    button("stop").disabled = running === null;
  }

  /** Show the likeliest characters at a place of the text. @param {number} place */
  function show(place) {
    const mark = marks[place];
    if (place === shown || !mark) return;
    byId("mirror").querySelector(".here")?.classList.remove("here");
    mirror.spanAt(place)?.classList.add("here");
    shown = place;
    const isCopied = copied.some(([start, end]) => start <= place && place < end);
    const note = isCopied ? [element("p", "soft", "Within a copy of the training text.")] : [];
    byId("details").replaceChildren(likeliestList(mark, (symbol) => choose(place, symbol)), ...note);
  }

  /** Show the branches of the place at the cursor. */
  function showBranches() {
    const list = byId("branches"), place = forkAtCursor();
    const hadFocus = list.contains(document.activeElement);
    byId("places").hidden = list.hidden = place === undefined;
    if (place === undefined) {
      byId("fork").textContent = "Generated text that is replaced is kept as a branch.";
      return;
    }
    const found = branches.at({ text, marks }, place), number = forks.indexOf(place);
    const now = found.findIndex((one) => one.text === text);
    byId("fork").textContent = `Place ${number + 1} of ${forks.length}, character ${place + 1}: branch ${now + 1} of ${found.length}`;
    button("before").disabled = number === 0;
    button("after").disabled = number === forks.length - 1;
    list.replaceChildren(...branchButtons(found, now, place, (chosen) => turn(chosen - now)));
    if (hadFocus) list.querySelectorAll("button")[now].focus();
  }

  /** Replace the text from a place on by one of its likeliest characters, and continue. @param {number} place @param {string} symbol */
  function choose(place, symbol) {
    const mark = marks[place];
    if (running || !mark) return;
    keep();
    branches.remember({ text, marks });
    const found = mark.likeliest.find(([one]) => one === symbol);
    const own = { probability: found ? found[1] : 0, likeliest: mark.likeliest };
    const chosen = Array(symbol.length).fill(own);
    set({ text: text.slice(0, place) + symbol, marks: [...marks.slice(0, place), ...chosen] }, place + symbol.length);
    area.focus();
    void generate();
  }

  // The server

  /** The model that is chosen. */
  const chosenModel = () => models.find((one) => one.id === model.value) ?? models[0];

  /** The request for a continuation of the text before the cursor. @param {number} caret */
  function body(caret) {
    const seed = input("seed").value, isOfBytes = chosenModel()?.unit === "byte";
    return {
      model: model.value || undefined,
      prompt: wellFormed(text.slice(Math.max(0, caret - MOST_PROMPT), caret)),
      max_tokens: numberOf(input("length"), 300),
      temperature: numberOf(input("temperature"), 1),
      top_p: shareOf(input("top_p")),
      seed: seed === "" ? undefined : numberOf(input("seed"), 0),
      logprobs: isOfBytes ? undefined : 5, // the server gives none for bytes
      unknown: "skip",
      stream: true,
    };
  }

  async function generate() {
    let place = area.selectionStart;
    typedAt = 0;
    forget(place);
    running = new AbortController();
    area.readOnly = true;
    say("…");
    draw();
    try {
      const response = await server.ask("v1/completions", body(place), running.signal);
      for await (const event of server.events(response)) {
        place = insert(place, writtenBy(event.choices[0]));
        say(`seed ${event.seed}${unreadNote([...(event.skipped ?? "")])}`);
      }
    } catch (reason) {
      if (!running.signal.aborted) say(/** @type {Error} */ (reason).message);
      else say("stopped");
    } finally {
      running = null;
      area.readOnly = false;
      present(place);
      settle();
    }
  }

  /** Insert generated characters; return the place after them. @param {number} place @param {Branch} written */
  function insert(place, written) {
    const end = place + written.text.length;
    marks = [...marks.slice(0, place), ...written.marks, ...marks.slice(place)];
    text = text.slice(0, place) + written.text + text.slice(place);
    frame ||= requestAnimationFrame(() => present(end));
    return end;
  }

  /** Show what has been generated, as often as the screen is drawn. @param {number} caret */
  function present(caret) {
    cancelAnimationFrame(frame);
    frame = 0;
    area.value = text;
    area.setSelectionRange(caret, caret);
    draw();
  }

  /** Continue at the cursor. */
  function proceed() {
    if (running) return;
    keep();
    branches.remember({ text, marks });
    void generate();
  }

  /** Ask what is copied from the training text, and mark it. */
  async function search() {
    if (running) return;
    const note = byId("note"), asked = text, start = Math.max(0, text.length - MOST_SEARCHED);
    copied = [];
    note.textContent = "";
    const least = Number(input("least").value) || 30;
    if (!input("marks_copied").checked || text.length < least) return draw();
    try {
      const answer = await server.ask("v1/copied", { model: model.value || undefined, text: wellFormed(text.slice(start)), least });
      const { spans } = await answer.json();
      if (running || text !== asked) return;
      copied = unitsOf(text.slice(start), spans).map((span) => span.map((place) => place + start));
      const share = copied.reduce((sum, [from, to]) => sum + to - from, 0) / text.length;
      note.textContent = spans.length ? `${Math.ceil(100 * share)} % copied` : "nothing copied";
    } catch (reason) {
      note.textContent = /** @type {Error} */ (reason).message;
    }
    draw();
  }

  async function list() {
    try {
      const { data } = await (await server.ask("v1/models")).json();
      models = /** @type {ModelEntry[]} */ (data);
      model.replaceChildren(...models.map((one) => new Option(one.id)));
      byId("models").hidden = models.length < 2;
      followModel();
      if (models.length === 1) say(`model ${models[0].id}`);
    } catch (reason) {
      say(/** @type {Error} */ (reason).message);
    }
  }

  /** Show the unit of the chosen model, and its settings until a person changes them. */
  function followModel() {
    const { unit, defaults } = chosenModel();
    byId("units").textContent = unit === "byte" ? "Bytes" : "Characters";
    if (unit === "byte") byId("details").replaceChildren(element("p", "soft", "This model predicts bytes, and gives no likeliest characters."));
    if (areOwn) return;
    input("length").value = String(Math.min(defaults.max_tokens, Number(input("length").max)));
    for (const id of ["temperature", "top_p"]) input(id).value = String(defaults[id]);
  }

  // What survives a reload, and the link

  const settings = () => Object.fromEntries(FIELDS.map((id) => [id, input(id).value]));

  /** Keep the text and its branches in the browser: the newer half of these, if all are too long. */
  function store() {
    for (let kept = branches.kept; ; kept = kept.slice(Math.ceil(kept.length / 2))) {
      const value = { branches: packed([{ text, marks }, ...kept]), settings: areOwn ? settings() : undefined, marksCopied: input("marks_copied").checked };
      try {
        localStorage.setItem(STORED, JSON.stringify(value));
        return;
      } catch {
        if (kept.length) continue;
        say("this text is too long to be kept by the browser");
        return;
      }
    }
  }

  /** @param {any} kept */
  function recallSettings(kept) {
    areOwn ||= Boolean(kept.settings);
    for (const id of FIELDS) if (typeof kept.settings?.[id] === "string") input(id).value = kept.settings[id];
    if (typeof kept.marksCopied === "boolean") input("marks_copied").checked = kept.marksCopied;
  }

  /** Bring back the text and the branches that the browser has kept. */
  function recall() {
    const kept = JSON.parse(localStorage.getItem(STORED) ?? "{}");
    recallSettings(kept);
    const [now, ...others] = unpacked(kept.branches ?? []);
    for (const one of others) branches.remember(one);
    if (now) set({ text: now.text, marks: now.marks.slice() }, now.text.length);
    else settle();
  }

  /** Take the text of a link; the one before is a branch. @param {any} linked */
  function follow(linked) {
    const own = String(linked.text ?? "");
    branches.remember({ text, marks });
    recallSettings(linked);
    set({ text: own, marks: Array(own.length).fill(null) }, own.length);
  }

  /** Put the text and the settings into the address, and that into the clipboard. */
  async function link() {
    const kept = JSON.stringify({ text, settings: settings() });
    // JSON writes a lone surrogate as an escape, so encoding cannot fail.
    history.replaceState(null, "", "#text=" + encodeURIComponent(kept));
    try {
      await navigator.clipboard.writeText(location.href);
      say("the link is in the clipboard");
    } catch {
      say("the link is in the address bar");
    }
  }

  function begin() {
    if (location.hash.startsWith("#token=")) {
      server.token = decodeURIComponent(location.hash.slice(7));
      history.replaceState(null, "", location.pathname);
    }
    try {
      if (!done.length && !text) recall();
    } catch {
      say("the text that the browser has kept is damaged");
    }
    try {
      if (location.hash.startsWith("#text=") && !running) follow(JSON.parse(decodeURIComponent(location.hash.slice(6))));
    } catch {
      say("the link is damaged");
    }
    void list();
  }

  // Keys and buttons

  area.addEventListener("input", typed);
  area.addEventListener("blur", () => (leavesOnTab = false));
  area.addEventListener("keydown", (event) => {
    const isCommand = event.ctrlKey || event.metaKey, key = event.key.toLowerCase();
    if (event.key === "Escape") {
      leavesOnTab = running === null;
      running?.abort();
      return;
    }
    if (event.key === "Tab" && !event.shiftKey && !isCommand && !event.altKey && !leavesOnTab) {
      event.preventDefault();
      proceed();
    } else if (isCommand && key === "z") {
      event.preventDefault();
      if (event.shiftKey) restore(undone, done);
      else restore(done, undone);
    } else if (isCommand && key === "y") {
      event.preventDefault();
      restore(undone, done);
    } else if (event.altKey && (event.key === "ArrowUp" || event.key === "ArrowDown")) {
      event.preventDefault();
      turn(event.key === "ArrowUp" ? -1 : 1);
    } else if (event.altKey && /^Digit[1-5]$/.test(event.code)) {
      const own = marks[shown]?.likeliest[Number(event.code.slice(5)) - 1];
      event.preventDefault();
      if (own) choose(shown, own[0]);
    }
    if (event.key !== "Tab") leavesOnTab = false;
  });
  document.addEventListener("selectionchange", () => {
    if (document.activeElement !== area || running) return;
    show(area.selectionStart);
    showBranches();
  });
  area.addEventListener("mousemove", (event) => {
    if (running) return;
    for (const found of document.elementsFromPoint(event.clientX, event.clientY)) {
      const place = mirror.placeOf(found);
      if (place >= 0) return show(place);
    }
  });
  button("continue").addEventListener("click", () => {
    area.focus();
    proceed();
  });
  button("stop").addEventListener("click", () => running?.abort());
  button("undo").addEventListener("click", () => restore(done, undone));
  button("redo").addEventListener("click", () => restore(undone, done));
  button("before").addEventListener("click", () => moveToFork(-1));
  button("after").addEventListener("click", () => moveToFork(1));
  button("link").addEventListener("click", () => void link());
  for (const id of FIELDS) byId(id).addEventListener("change", () => (areOwn = true));
  model.addEventListener("change", followModel);
  for (const id of [...FIELDS, "model", "marks_copied"]) byId(id).addEventListener("change", settle);
  if (matchMedia("(max-width: 50rem)").matches) byId("settings").removeAttribute("open"); // the text comes first
  byId("locked").addEventListener("submit", (event) => {
    event.preventDefault();
    server.token = input("token").value;
    void list();
  });
  addEventListener("pagehide", store);
  addEventListener("hashchange", begin);
  begin();
}
