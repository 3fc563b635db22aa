// Requests to the server, and the answer of this tab that it has not taken yet.

const PATIENCE_MS = 20000;
const tab = crypto.randomUUID();

export class Refused extends Error {
  constructor(status, text) { super(text); this.status = status; }
}

// Returns the reply to a request, Refused where there is none or it says why not.
export async function ask(path, body) {
  let reply;
  try {
    reply = await fetch(path, {
      method: body ? "POST" : "GET",
      headers: body ? { "content-type": "application/json" } : {},
      body: body && JSON.stringify({ tab, ...body }),
      signal: AbortSignal.timeout(PATIENCE_MS),
    });
  } catch {
    throw new Refused(0, "aevlp review does not answer: is it still running?");
  }
  if (!reply.ok) throw new Refused(reply.status, (await reply.text()).trim());
  return reply.json();
}

// Answers that are under way stand in the browser's own store, under a name of the cache and the tab, until they are taken.
const named = (fingerprint) => `aevlp-review ${fingerprint} `;

export function keep(fingerprint, answers) {
  const unsent = { name: named(fingerprint) + tab, answers };
  store(() => localStorage.setItem(unsent.name, JSON.stringify(answers)));
  return unsent;
}

export function drop(unsent) {
  store(() => localStorage.removeItem(unsent.name));
}

// Returns what a page of before could not send, null where there is nothing.
export function leftBehind(fingerprint) {
  let found = null;
  store(() => {
    const name = Object.keys(localStorage).find((name) => name.startsWith(named(fingerprint)));
    found = name ? { name, answers: JSON.parse(localStorage.getItem(name)) } : null;
  });
  return found;
}

function store(work) {
  try { work(); } catch { /* a private window may have no store: the page itself still holds the answer */ }
}
