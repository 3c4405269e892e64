// Asking the server.

const PATIENCE_MS = 30000;

/** What the server answered instead of doing it. */
export class Refused extends Error {
  constructor(status, sentence) {
    super(sentence);
    this.status = status;
  }
}

/** Ask the server; throws Refused where it said no, another error where it could not be reached. */
export async function call(path, body, patience = PATIENCE_MS) {
  const options = { signal: AbortSignal.timeout(patience), cache: "no-store" };
  if (body !== undefined) {
    Object.assign(options, { method: "POST", body: JSON.stringify(body), headers: { "Content-Type": "application/json" } });
  }
  const response = await fetch(path, options);
  const answer = await response.json();
  if (!response.ok) throw new Refused(response.status, answer.error);
  return answer;
}
