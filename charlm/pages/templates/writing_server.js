// @ts-check
// Requests to the server: answers as objects, and streams of events.
/** The labels on the page for the fields of a request. @type {Record<string, string>} */
const FIELD_NAMES = { model: "Model", prompt: "Text", text: "Text", max_tokens: "Characters", temperature: "Temperature", top_p: "Top-p", seed: "Seed", least: "Underline copies of at least" };

/** Return an error of the API that names the field by its label on the page. @param {{message: string, param?: string | null}} error */
function wordedError({ message, param }) {
  const name = param ? FIELD_NAMES[param] : undefined;
  return new Error(name && message.startsWith(`${param}: `) ? name + message.slice(/** @type {string} */ (param).length) : message);
}

class WritingServer {
  /** @param {(isLocked: boolean) => void} onLock Called with whether the token is missing or wrong. */
  constructor(onLock) {
    this._onLock = onLock;
  }

  get token() {
    return sessionStorage.getItem("charlm-token");
  }

  set token(token) {
    sessionStorage.setItem("charlm-token", token ?? "");
  }

  /** @param {string} path @param {object} [body] @param {AbortSignal} [signal] @returns {Promise<Response>} */
  async ask(path, body, signal) {
    const authorization = this.token ? { Authorization: `Bearer ${this.token}` } : {};
    const response = await this._fetched(path, {
      method: body ? "POST" : "GET",
      body: body && JSON.stringify(body),
      signal,
      headers: { "Content-Type": "application/json", .../** @type {Record<string, string>} */ (authorization) },
    });
    this._onLock(response.status === 401);
    if (!response.ok) throw wordedError((await response.json()).error);
    return response;
  }

  /** @param {string} path @param {RequestInit} options */
  async _fetched(path, options) {
    try {
      return await fetch(path, options);
    } catch (reason) {
      if (options.signal?.aborted) throw reason;
      throw new Error("the server does not answer; is charlm serve still running?");
    }
  }

  /** Yield the objects of server-sent events. @param {Response} response */
  async *events(response) {
    const reader = /** @type {ReadableStream<Uint8Array>} */ (response.body).getReader();
    const decoder = new TextDecoder();
    let pending = "";
    for (;;) {
      const { done, value } = await reader.read();
      if (done) throw new Error("the server ended the text early");
      pending += decoder.decode(value, { stream: true });
      const parts = pending.split("\n\n");
      pending = parts.pop() ?? "";
      for (const part of parts) {
        const data = part.replace(/^data: /, "");
        if (data === "[DONE]") return;
        const event = JSON.parse(data);
        if (event.error) throw wordedError(event.error);
        yield event;
      }
    }
  }
}

/** Return what a choice says about its characters: their text, and a mark for each unit, if it has any. @param {any} choice @returns {Branch} */
function writtenBy({ text, logprobs }) {
  if (!logprobs) return { text, marks: Array(text.length).fill(null) };
  /** @type {Marks} */
  const marks = [];
  logprobs.tokens.forEach((/** @type {string} */ token, /** @type {number} */ i) => {
    const best = /** @type {[string, number][]} */ (Object.entries(logprobs.top_logprobs[i]));
    /** @type {Mark} */
    const mark = {
      probability: Math.exp(logprobs.token_logprobs[i]),
      likeliest: best.map(([symbol, nats]) => /** @type {[string, number]} */ ([symbol, Math.exp(nats)]))
        .sort((a, b) => b[1] - a[1]),
    };
    marks.push(...Array(token.length).fill(mark));
  });
  return { text: logprobs.tokens.join(""), marks };
}

/** Replace lone surrogates, which the server refuses, by one unit each. @param {string} text */
const wellFormed = (text) => text.replace(/[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g, "\ufffd");

/** Turn spans of characters into starts and ends in units. @param {string} text @param {{start: number, length: number}[]} spans */
function unitsOf(text, spans) {
  const places = [0];
  for (const character of text) places.push(places[places.length - 1] + character.length);
  return spans.map(({ start, length }) => [places[start], places[start + length]]);
}
