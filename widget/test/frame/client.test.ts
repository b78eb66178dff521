// The form's calls: what they send, and what each answer of the server means.

import { afterEach, describe, expect, it, test, vi } from "vitest";

import { CallFailed, Client } from "../../src/frame/client";
import type { State } from "../../src/frame/state";
import { INPUT, info, state } from "./gateway";

const TOKEN = "ab".repeat(32);

type Sent = [url: string, init: RequestInit];

function answering(...answers: (Response | Error)[]): { client: Client; sent: Sent[] } {
  const sent: Sent[] = [];
  const send = async (url: string, init: RequestInit) => {
    sent.push([url, init]);
    const answer = answers.shift();
    if (!answer || answer instanceof Error) throw answer ?? new Error("no answer is left");
    return answer;
  };
  return { client: new Client(TOKEN, send as typeof fetch), sent };
}

function json(body: unknown, status = 200): Response {
  return new Response(JSON.stringify(body), { status, headers: { "Content-Type": "application/json" } });
}

function refusal(status: number, code: string, description = "why"): Response {
  return json({ status: "error", error: { code, description } }, status);
}

async function failureOf(call: Promise<unknown>): Promise<CallFailed> {
  const thrown = await call.then(() => null, (error: unknown) => error);
  expect(thrown).toBeInstanceOf(CallFailed);
  return thrown as CallFailed;
}

afterEach(() => void vi.useRealTimers());

describe("a call", () => {
  it("brings the token in its header, no cookie, and asks nobody else", async () => {
    const { client, sent } = answering(json({ status: "ok", state: state("confirming") }));
    expect(await client.pay(INPUT)).toEqual(state("confirming"));
    const [[url, init]] = sent as [Sent];
    expect(url).toBe("/widget/v1/pay");
    expect(init).toMatchObject({ method: "POST", credentials: "omit", cache: "no-store", redirect: "error", referrerPolicy: "no-referrer" });
    expect(init.headers).toEqual({ "Content-Type": "application/json", Accept: "application/json", "X-PUBLIC-TOKEN": TOKEN });
    expect(JSON.parse(init.body as string)).toEqual(INPUT);
  });

  it("for the form and for the state has nothing to say, and reads what it asked for", async () => {
    const { client, sent } = answering(json({ status: "ok", form: info() }), json({ status: "ok", state: state("ready") }));
    expect(await client.form()).toEqual(info());
    expect(await client.status()).toEqual(state("ready"));
    expect(sent.map(([url, { body }]) => [url, body])).toEqual([["/widget/v1/form", "{}"], ["/widget/v1/status", "{}"]]);
  });

  test.each([
    [400, "invalid_request", "refused"],
    [400, "card_number_does_not_exist", "refused"],
    [400, "bank_card_expired", "refused"],
    [401, "public_token_invalid", "invalid"],
    [403, "authorization_error", "closed"],
    [409, "session_wrong_state", "taken"],
    [429, "too_many_requests", "busy"],
    [503, "service_unavailable", "busy"],
    [500, "internal_error", "broken"],
    [400, "request_of_tomorrow", "broken"],
    [413, "request_too_large", "broken"],
    [400, "__proto__", "broken"],
    [400, "constructor", "broken"],
  ] as const)("answered with %i %s is %s", async (status, code, trouble) => {
    const { client } = answering(refusal(status, code));
    expect(await failureOf(client.pay(INPUT))).toMatchObject({ trouble, code, description: "why" });
  });

  test.each([400, 401, 403, 404, 409, 429, 500, 502, 503, 504])("answered with %i by a server in between is broken, whatever it says", async (status) => {
    for (const body of ["<html>no</html>", "", "[]", "null", '{"error":null}', '{"error":"no"}']) {
      const { client } = answering(new Response(body, { status }));
      expect((await failureOf(client.pay(INPUT))).trouble).toBe("broken");
    }
  });

  test.each(["", "{", "<html>", "\u0000"])("whose answer is cut off (%j) is lost: it may have been heard", async (body) => {
    const { client } = answering(new Response(body));
    expect((await failureOf(client.pay(INPUT))).trouble).toBe("lost");
  });

  test.each([{}, { state: null }, { state: "ready" }, { state: { stage: "done" } }, { state: { stage: "action" } }, { state: { stage: "action", action: { url: 7 } } }, { state: { stage: "__proto__" } }])(
    "whose answer is none of ours (%j) is broken",
    async (body) => {
      const { client } = answering(json(body));
      expect((await failureOf(client.status())).trouble).toBe("broken");
    },
  );

  test.each<[string, unknown]>([
    ["nothing", undefined],
    ["no merchant", { ...info(), merchant: undefined }],
    ["an amount as text", { ...info(), amount: "4990" }],
    ["a broken amount", { ...info(), amount: 49.9 }],
    ["an amount too large to be exact", { ...info(), amount: 2 ** 53 }],
    ["no exponent", { ...info(), exponent: null }],
    ["no state", { ...info(), state: {} }],
  ])("for the form with %s is broken", async (_, form) => {
    const { client } = answering(json({ status: "ok", form }));
    expect((await failureOf(client.form())).trouble).toBe("broken");
  });

  test.each(["null", "7", '"ok"', "[]"])("answered with the JSON %s fails as every call fails", async (body) => {
    const { client } = answering(new Response(body), new Response(body), new Response(body));
    for (const call of [client.form(), client.status(), client.pay(INPUT)]) await failureOf(call);
  });

  it("that reaches nobody is lost, and says nothing of what was sent", async () => {
    const { client } = answering(new TypeError("Failed to fetch"));
    const failed = await failureOf(client.pay(INPUT));
    expect(failed.trouble).toBe("lost");
    expect(JSON.stringify([failed, failed.message, failed.code, failed.description])).not.toContain("4242");
  });

  it("without an answer is given up after a while, and broken off", async () => {
    vi.useFakeTimers();
    let signal: AbortSignal | null | undefined;
    const send = (_: string, init: RequestInit) =>
      new Promise<Response>((_resolve, reject) => {
        ({ signal } = init);
        signal?.addEventListener("abort", () => reject(new DOMException("Aborted", "AbortError")));
      });
    const failing = failureOf(new Client(TOKEN, send as typeof fetch).pay(INPUT));
    await vi.runAllTimersAsync();
    expect((await failing).trouble).toBe("lost");
    expect(signal?.aborted).toBe(true);
  });
});

const STATES: readonly State[] = [state("confirming"), state("failed", { error: { code: "x", description: "Überzogen – 不足 😀" } })];
const BYTES = new TextEncoder().encode(`${JSON.stringify(STATES[0])}\n\n\n${JSON.stringify(STATES[1])}\n`);

// `rest` is what follows the bytes: an end, an error, or silence.
function streamed(chunks: readonly Uint8Array[], rest: "end" | "error" | "silence" = "end", type = "application/x-ndjson"): Response {
  const body = new ReadableStream({
    start(out) {
      for (const chunk of chunks) out.enqueue(chunk);
      if (rest === "end") out.close();
      if (rest === "error") out.error(new TypeError("network error"));
    },
  });
  return new Response(body, { headers: { "Content-Type": type } });
}

async function listen(client: Client, stop = new AbortController().signal): Promise<{ heard: State[]; failed: CallFailed | null }> {
  const heard: State[] = [];
  try {
    for await (const one of client.stream(stop)) heard.push(one);
  } catch (error) {
    expect(error).toBeInstanceOf(CallFailed);
    return { heard, failed: error as CallFailed };
  }
  return { heard, failed: null };
}

describe("the stream", () => {
  it("asks for lines of JSON", async () => {
    const { client, sent } = answering(streamed([BYTES]));
    await listen(client);
    expect(sent[0]?.[0]).toBe("/widget/v1/status");
    expect((sent[0]?.[1].headers as Record<string, string>).Accept).toBe("application/x-ndjson");
  });

  it("is understood wherever it is cut in two, within a sign as well", async () => {
    for (let cut = 0; cut <= BYTES.length; cut += 1) {
      const { client } = answering(streamed([BYTES.slice(0, cut), BYTES.slice(cut)].filter(({ length }) => length > 0)));
      expect(await listen(client), `cut at ${cut}`).toEqual({ heard: STATES, failed: null });
    }
  });

  it("is understood byte by byte", async () => {
    const { client } = answering(streamed([...BYTES].map((byte) => Uint8Array.of(byte))));
    expect(await listen(client)).toEqual({ heard: STATES, failed: null });
  });

  it("tells each state as it comes, not at its end", async () => {
    let out!: ReadableStreamDefaultController<Uint8Array>;
    const body = new ReadableStream<Uint8Array>({ start: (controller) => void (out = controller) });
    const { client } = answering(new Response(body, { headers: { "Content-Type": "application/x-ndjson; charset=utf-8" } }));
    const states = client.stream(new AbortController().signal);
    const first = states.next();
    out.enqueue(BYTES);
    expect((await first).value).toEqual(STATES[0]);
    expect((await states.next()).value).toEqual(STATES[1]);
    await states.return(undefined);
  });

  it("that ends within a line leaves that line out", async () => {
    const { client } = answering(streamed([BYTES.slice(0, -1)]));
    expect(await listen(client)).toEqual({ heard: STATES.slice(0, 1), failed: null });
  });

  test.each([
    ["a line that is no JSON", '{"stage"\n', "lost"],
    ["a state of tomorrow", '{"stage":"done"}\n', "broken"],
    ["a line that is no object", "null\n", "broken"],
  ] as const)("with %s fails after what was said before", async (_, line, trouble) => {
    const { client } = answering(streamed([new TextEncoder().encode(`${JSON.stringify(STATES[0])}\n${line}`)]));
    const { heard, failed } = await listen(client);
    expect(heard).toEqual(STATES.slice(0, 1));
    expect(failed?.trouble).toBe(trouble);
  });

  it("that breaks is lost", async () => {
    const { client } = answering(streamed([], "error"));
    expect((await listen(client)).failed?.trouble).toBe("lost");
  });

  test.each([[401, "public_token_invalid", "invalid"], [429, "too_many_requests", "busy"], [500, "internal_error", "broken"]] as const)(
    "refused with %i %s is %s",
    async (status, code, trouble) => {
      const { client } = answering(refusal(status, code));
      expect((await listen(client)).failed?.trouble).toBe(trouble);
    },
  );

  it("that a server gives as one answer is read as one", async () => {
    const { client } = answering(json({ status: "ok", state: STATES[1] }));
    expect(await listen(client)).toEqual({ heard: [STATES[1]], failed: null });
  });

  it("without a sign of life is lost, and its connection closed", async () => {
    vi.useFakeTimers();
    const answer = streamed([BYTES], "silence");
    const { client, sent } = answering(answer);
    const listening = listen(client);
    await vi.runAllTimersAsync();
    const { heard, failed } = await listening;
    expect([heard.length, failed?.trouble]).toEqual([2, "lost"]);
    expect(sent[0]?.[1].signal?.aborted).toBe(true);
  });

  it("without a first answer is lost, and its connection closed", async () => {
    vi.useFakeTimers();
    let signal: AbortSignal | null | undefined;
    const send = (_: string, init: RequestInit) => {
      ({ signal } = init);
      return new Promise<Response>(() => undefined);
    };
    const listening = listen(new Client(TOKEN, send as typeof fetch));
    await vi.runAllTimersAsync();
    expect((await listening).failed?.trouble).toBe("lost");
    expect(signal?.aborted).toBe(true);
  });

  it("stops when it is told to", async () => {
    const stop = new AbortController();
    const send = (_: string, { signal }: RequestInit) =>
      new Promise<Response>((_resolve, reject) => signal?.addEventListener("abort", () => reject(new DOMException("Aborted", "AbortError"))));
    const listening = listen(new Client(TOKEN, send as typeof fetch), stop.signal);
    stop.abort();
    expect((await listening).failed?.trouble).toBe("lost");
  });
});
