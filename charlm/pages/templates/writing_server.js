// @ts-check
// Requests to the server: answers as objects, and streams of events.
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
    const response = await fetch(path, {
      method: body ? "POST" : "GET",
      body: body && JSON.stringify(body),
      signal,
      headers: { "Content-Type": "application/json", .../** @type {Record<string, string>} */ (authorization) },
    });
    this._onLock(response.status === 401);
    if (!response.ok) throw new Error((await response.json()).error.message);
    return response;
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
        if (event.error) throw new Error(event.error.message);
        yield event;
      }
    }
  }
}

/** Return what an event says about its characters: their text, and a mark for each unit. @param {any} logprobs @returns {Branch} */
function writtenBy(logprobs) {
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
