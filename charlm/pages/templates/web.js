// The page writes in slices of time, so that it stays responsive.
/** @typedef {{network: PackedNetwork, normalForm: string}} WebData */
(async () => {
  const SLICE_MS = 12;
  const byId = (/** @type {string} */ id) => /** @type {HTMLElement} */ (document.getElementById(id));
  const input = (/** @type {string} */ id) => /** @type {HTMLInputElement} */ (byId(id));
  const button = (/** @type {string} */ id) => /** @type {HTMLButtonElement} */ (byId(id));
  const text = /** @type {HTMLTextAreaElement} */ (byId("text")), status = byId("status");
  /** @type {WebData} */
  const data = JSON.parse(byId("model").textContent || "");
  const engine = await startedEngine(await unpackedNetwork(data.network));
  const { ids, symbols } = alphabet(engine.network), isBytes = engine.network.unit === "byte", units = isBytes ? "bytes" : "characters";

  let isWriting = false, isHalted = false, mayLeave = false;
  /** @type {{value: string, at: number}[]} */
  const earlier = [];
  /** The state after the ids that were read from the beginning of a text. @type {{steps: Steps, ids: number[]} | null} */
  let reached = null;

  /** Let the browser draw and take input. @returns {Promise<void>} */
  const pause = () => new Promise((done) => setTimeout(done));

  /** @param {string} id @param {number} otherwise */
  const number = (id, otherwise) => numberOf(input(id), otherwise);

  /** @returns {Sampling} */
  function sampling() {
    const temperature = number("temperature", 1), greedy = input("greedy").checked;
    if (!greedy && temperature && temperature < 0.05) throw new Error("Temperature: 0, or 0.05 to 20");
    return { temperature, greedy, top_k: number("top_k", 0) || null, top_p: shareOf(input("top_p")), min_p: number("min_p", 0) };
  }

  /** @returns {bigint} */
  function seed() {
    const value = input("seed").value.trim();
    if (!/^\d{1,19}$/.test(value)) throw new Error("Seed: a whole number of at most 19 digits");
    return BigInt(value) % (1n << 63n);
  }

  /** The ids of a text, without unknown characters, and these. @param {string} prefix */
  function encoded(prefix) {
    const normal = data.normalForm === "none" ? prefix : prefix.normalize(data.normalForm);
    const known = [], unknown = new Set();
    for (const symbol of symbolsOf(normal, engine.network.unit)) {
      const id = ids.get(symbol);
      if (id === undefined) unknown.add(String.fromCodePoint(symbol));
      else known.push(id);
    }
    return { known, unknown: [...unknown] };
  }

  /**
   * Let a writer read a text; a state that an earlier text reached is used again. Returns whether it read all.
   * @param {Writer} writer @param {number[]} known
   */
  async function readPrefix(writer, known) {
    let read = 0;
    if (reached && reached.ids.length <= known.length && reached.ids.every((id, n) => id === known[n])) {
      read = reached.ids.length;
      reached.steps.sharpness = writer.steps.sharpness;
      reached.steps.share();
      writer.steps = reached.steps;
    }
    reached = null;
    if (!known.length) writer.begin();
    for (let since = performance.now(); read < known.length && !isHalted; read++) {
      writer.steps.read(known[read]);
      if (performance.now() - since < SLICE_MS) continue;
      status.textContent = `Reading: ${read.toLocaleString("en")} of ${known.length.toLocaleString("en")} ${units}`;
      await pause();
      since = performance.now();
    }
    if (read < known.length) reached = { steps: writer.steps, ids: known.slice(0, read) };
    return read === known.length;
  }

  /** Write at the cursor. */
  async function write() {
    const settings = sampling(), first = seed(), length = number("length", 300), stop = input("stop").value;
    const at = text.selectionEnd, before = text.value.slice(0, at), after = text.value.slice(at);
    const { known, unknown } = encoded(before), writer = new Writer(engine, first, settings);
    if (!(await readPrefix(writer, known))) {
      status.textContent = "Stopped before the first character";
      return;
    }
    earlier.push({ value: text.value, at });
    const decoder = new TextDecoder(), start = performance.now(), made = [...known];
    let piece = "", count = 0, isStopped = false;
    const show = () => {
      text.value = before + piece + after;
      text.setSelectionRange(at + piece.length, at + piece.length);
      if (!after) text.scrollTop = text.scrollHeight;
    };
    for (let since = performance.now(); count < length && !isHalted && !isStopped; count++) {
      const id = writer.next(), symbol = symbols[id];
      made.push(id);
      piece += isBytes ? decoder.decode(Uint8Array.of(symbol), { stream: true }) : String.fromCodePoint(symbol);
      isStopped = stop !== "" && piece.endsWith(stop);
      if (performance.now() - since < SLICE_MS) continue;
      show();
      status.textContent = `${count.toLocaleString("en")} ${units}`;
      await pause();
      since = performance.now();
    }
    if (isBytes) piece += decoder.decode();
    if (isStopped) piece = piece.slice(0, piece.lastIndexOf(stop));
    else if (known.length && !isHalted) reached = { steps: writer.steps, ids: made };
    show();
    const seconds = (performance.now() - start) / 1000, rate = seconds > 0.05 ? `, ${Math.round(count / seconds).toLocaleString("en")} a second` : "";
    status.textContent = `${count.toLocaleString("en")} ${units} with seed ${first}${rate}${unreadNote(unknown)}`;
    input("seed").value = String(first + 1n);
  }

  function enable() {
    text.readOnly = isWriting;
    button("continue").disabled = isWriting;
    button("halt").disabled = !isWriting;
    button("undo").disabled = isWriting || !earlier.length;
  }

  async function start() {
    if (isWriting) return;
    [isWriting, isHalted] = [true, false];
    enable();
    try {
      await write();
    } catch (error) {
      status.textContent = error instanceof Error ? error.message : String(error);
    }
    isWriting = false;
    enable();
  }

  /** Decompress the chosen file; choosing again, or none, ends it. @param {File} file */
  async function decompress(file) {
    const isChosen = () => input("file").files?.[0] === file;
    const progress = byId("progress"), link = /** @type {HTMLAnchorElement} */ (byId("saved"));
    link.hidden = true;
    try {
      const work = decompressed(engine, new Uint8Array(await file.arrayBuffer()));
      let since = performance.now(), step = work.next();
      for (; !step.done; step = work.next()) {
        if (performance.now() - since < SLICE_MS) continue;
        progress.textContent = `${step.value.toLocaleString("en")} characters`;
        await pause();
        if (!isChosen()) return;
        since = performance.now();
      }
      const original = new Blob(step.value.pieces), digest = new Uint8Array(await crypto.subtle.digest("SHA-256", await original.arrayBuffer()));
      const found = Array.from(digest.subarray(0, 16), (one) => one.toString(16).padStart(2, "0")).join("");
      if (found !== step.value.digest) throw new Error("the result differs from the original");
      if (!isChosen()) return;
      progress.textContent = `${original.size.toLocaleString("en")} bytes`;
      URL.revokeObjectURL(link.href);
      link.href = URL.createObjectURL(original);
      link.download = file.name.replace(/\.charlm$/, "");
      link.hidden = false;
    } catch (error) {
      if (isChosen()) progress.textContent = `${file.name}: ${error instanceof Error ? error.message : error}`;
    }
  }

  button("continue").addEventListener("click", start);
  button("halt").addEventListener("click", () => (isHalted = true));
  button("undo").addEventListener("click", () => {
    const last = earlier.pop();
    if (!last) return;
    text.value = last.value;
    text.setSelectionRange(last.at, last.at);
    text.focus();
    enable();
  });
  text.addEventListener("keydown", (event) => {
    if (event.key === "Escape") [isHalted, mayLeave] = [true, true];
    else if (event.key !== "Tab") mayLeave = false;
    else if (!event.shiftKey && !mayLeave) {
      event.preventDefault();
      start();
    }
  });
  text.addEventListener("focus", () => (mayLeave = false));
  input("file").addEventListener("change", () => {
    const file = input("file").files?.[0];
    byId("saved").hidden = true;
    byId("progress").textContent = "";
    if (file) decompress(file);
  });
  text.disabled = false;
  // Browsers have SHA-256, by which the result is checked, only on pages that nobody can have changed on the way.
  if (globalThis.crypto?.subtle) input("file").disabled = false;
  else byId("progress").textContent = "This browser checks no digests on a page from http: save the page and open the file, or use https.";
  status.textContent = "";
  enable();
  text.focus();
  text.setSelectionRange(text.value.length, text.value.length);
})().catch((error) => {
  const status = /** @type {HTMLElement} */ (document.getElementById("status"));
  status.textContent = `This browser cannot run the model (${error}); open the page in a newer one.`;
});
