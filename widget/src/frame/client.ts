// The form's own calls. Nothing is repeated here: who calls knows what a repetition would mean.

import type { Info, State } from "./state";
import { readInfo, readState } from "./state";

const CALL_MS_MAX = 30_000;
const SILENCE_MS_MAX = 25_000; // the server gives a sign of life every ten seconds

export interface CardInput {
  number: string;
  expiration_month: string;
  expiration_year: string;
  security_code: string;
}

export interface PayInput {
  card: CardInput;
  cardholder_name?: string;
  recurrent?: boolean;
}

// lost: no answer, so nobody knows. broken: the server failed. busy: nothing happened, later perhaps. taken: this
// session was started before. invalid: the token opens nothing. refused: something typed is wrong. closed: nothing
// happened, the shop takes no payments now.
export type Trouble = "lost" | "broken" | "busy" | "taken" | "invalid" | "refused" | "closed";

export class CallFailed extends Error {
  constructor(
    readonly trouble: Trouble,
    readonly code = "",
    readonly description = "",
  ) {
    super(trouble);
  }
}

// By our own codes, not by the status alone: a server in between says 401, 404 or 409 as well, and knows nothing.
const TROUBLES: Record<string, Trouble> = {
  public_token_invalid: "invalid",
  session_wrong_state: "taken",
  invalid_request: "refused",
  card_number_does_not_exist: "refused",
  bank_card_expired: "refused",
  too_many_requests: "busy",
  service_unavailable: "busy",
  authorization_error: "closed",
};

export class Client {
  constructor(
    private readonly token: string,
    private readonly send: typeof fetch = (...given) => fetch(...given),
  ) {}

  async form(): Promise<Info> {
    const info = readInfo((await this.call("form", {})).form);
    if (!info) throw new CallFailed("broken");
    return info;
  }

  async pay(input: PayInput): Promise<State> {
    return stateOf(await this.call("pay", input));
  }

  async status(): Promise<State> {
    return stateOf(await this.call("status", {}));
  }

  // Each state as it comes; ends when the server ends it. Throws CallFailed.
  async *stream(stop: AbortSignal): AsyncGenerator<State> {
    const closing = new AbortController();
    const close = (): void => closing.abort();
    stop.addEventListener("abort", close);
    if (stop.aborted) close();
    try {
      const answer = await within(CALL_MS_MAX, this.fetch("status", {}, closing.signal, "application/x-ndjson"));
      const isStream = answer.headers.get("Content-Type")?.startsWith("application/x-ndjson");
      if (isStream && answer.body) yield* statesIn(answer.body.getReader());
      else yield stateOf(await within(CALL_MS_MAX, readBody(answer)));
    } catch (error) {
      throw error instanceof CallFailed ? error : new CallFailed("lost");
    } finally {
      stop.removeEventListener("abort", close);
      close(); // what was given up must not keep its connection: browsers have six for a server, and may need one to pay
    }
  }

  private async call(method: string, body: object): Promise<Record<string, unknown>> {
    const stop = new AbortController();
    const timer = setTimeout(() => stop.abort(), CALL_MS_MAX);
    try {
      return await readBody(await this.fetch(method, body, stop.signal, "application/json"));
    } finally {
      clearTimeout(timer);
    }
  }

  private async fetch(method: string, body: object, signal: AbortSignal, accept: string): Promise<Response> {
    let answer: Response;
    try {
      answer = await this.send(`/widget/v1/${method}`, {
        method: "POST",
        headers: { "Content-Type": "application/json", Accept: accept, "X-PUBLIC-TOKEN": this.token },
        body: JSON.stringify(body),
        credentials: "omit",
        cache: "no-store",
        redirect: "error",
        referrerPolicy: "no-referrer",
        signal,
      });
    } catch {
      throw new CallFailed("lost");
    }
    if (answer.ok) return answer;
    const refused = await readBody(answer).catch(() => ({}) as Record<string, unknown>);
    const { code = "", description = "" } = (refused.error ?? {}) as { code?: string; description?: string };
    throw new CallFailed((Object.hasOwn(TROUBLES, code) ? TROUBLES[code] : undefined) ?? "broken", code, description);
  }
}

// What takes longer is given up as lost.
function within<T>(milliseconds: number, waited: Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new CallFailed("lost")), milliseconds);
    waited.then(resolve, reject).finally(() => clearTimeout(timer));
  });
}

// One state a line; empty lines are signs of life.
async function* statesIn(reader: ReadableStreamDefaultReader<Uint8Array>): AsyncGenerator<State> {
  const decoder = new TextDecoder();
  let rest = "";
  for (;;) {
    const { done, value } = await within(SILENCE_MS_MAX, reader.read());
    if (done) return;
    const lines = (rest + decoder.decode(value, { stream: true })).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) if (line !== "") yield stateOf({ state: JSON.parse(line) });
  }
}

async function readBody(answer: Response): Promise<Record<string, unknown>> {
  const body: unknown = await answer.json().catch(() => null);
  if (typeof body !== "object" || body === null) throw new CallFailed("lost");
  return body as Record<string, unknown>;
}

function stateOf(body: Record<string, unknown>): State {
  const state = readState(body.state);
  if (!state) throw new CallFailed("broken");
  return state;
}
