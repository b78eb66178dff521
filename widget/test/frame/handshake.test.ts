// The frame takes one port, from the page around it alone, and reads only what has the form of a message of ours.

import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it, test, vi } from "vitest";

import { readAppearance, readMessage, takePort } from "../../src/frame/handshake";

const SHOP = "https://shop.example";
const TOKEN = "ab".repeat(32);
const OPEN = { tollhouse: "open", version: 1 };
const OPTIONS = { isCvcMasked: false, target: null, texts: {}, appearance: {}, pageScheme: "light" };

let posted: [unknown, string][];
let parent: { postMessage: (data: unknown, origin: string) => void };
let taken: unknown[];
const port = new MessageChannel().port1;
const listeners: [string, EventListener][] = [];

beforeEach(() => {
  posted = [];
  taken = [];
  parent = { postMessage: (data, origin) => void posted.push([data, origin]) };
  Object.defineProperty(window, "parent", { configurable: true, value: parent });
  const { addEventListener } = window;
  vi.spyOn(window, "addEventListener").mockImplementation(function (this: Window, type: string, listener: EventListener) {
    listeners.push([type, listener]);
    addEventListener.call(window, type, listener);
  } as never);
});

afterEach(() => {
  for (const [type, listener] of listeners.splice(0)) window.removeEventListener(type, listener);
  vi.restoreAllMocks();
});

function say({ source = parent as unknown, origin = SHOP, data = OPEN as unknown, ports = [port] as unknown[] } = {}): void {
  const event = new MessageEvent("message", { data, origin });
  Object.defineProperties(event, { source: { value: source }, ports: { value: ports } });
  window.dispatchEvent(event);
}

function take(...origins: string[]): void {
  takePort(origins, (given) => void taken.push(given));
}

describe("the hello", () => {
  it("goes to each origin that may show the form, and to our own page, by its name", () => {
    take(SHOP, "https://other.example");
    expect(posted).toEqual([SHOP, "https://other.example", location.origin].map((origin) => [{ tollhouse: "hello", version: 1 }, origin]));
  });

  it("goes to anybody where anybody may show the form, and holds no secret", () => {
    take("*");
    expect(posted).toEqual([[{ tollhouse: "hello", version: 1 }, "*"]]);
  });

  it("is spared those of whom the browser tells that they are not around", () => {
    Object.defineProperty(window.location, "ancestorOrigins", { configurable: true, value: [SHOP, "https://top.example"] });
    try {
      take("https://other.example", SHOP, "https://top.example");
      expect(posted.map(([, origin]) => origin)).toEqual([SHOP]);
    } finally {
      Reflect.deleteProperty(window.location, "ancestorOrigins");
    }
  });
});

describe("the port", () => {
  it("is that of the page around the frame", () => {
    take(SHOP);
    say();
    expect(taken).toEqual([port]);
  });

  it("may come from our own page, and from anybody where the form is open to all", () => {
    take();
    say({ origin: location.origin });
    expect(taken).toHaveLength(1);
    take("*");
    say({ origin: "https://anybody.example" });
    expect(taken).toHaveLength(2);
  });

  test.each<[string, Parameters<typeof say>[0]]>([
    ["from a foreign origin", { origin: "https://evil.example" }],
    ["from an origin that looks alike", { origin: `${SHOP}.evil.example` }],
    ["over plain HTTP", { origin: "http://shop.example" }],
    ["from a page without an origin", { origin: "null" }],
    ["from another window of the right origin", { source: { postMessage: () => undefined } }],
    ["from nowhere", { source: null }],
    ["without a port", { ports: [] }],
    ["of another version", { data: { tollhouse: "open", version: 2 } }],
    ["of another kind", { data: { tollhouse: "hello", version: 1 } }],
    ["that is a text", { data: "open" }],
    ["that is nothing", { data: null }],
  ])("is not taken with a message %s, and the right one afterwards is", (_, wrong) => {
    take(SHOP);
    say(wrong);
    expect(taken).toEqual([]);
    say();
    expect(taken).toEqual([port]);
  });

  it("is the first alone", () => {
    take(SHOP);
    say();
    say({ ports: [new MessageChannel().port1] });
    say({ ports: [new MessageChannel().port1, port] });
    expect(taken).toEqual([port]);
  });
});

describe("begin", () => {
  it("brings the token and what the page wishes", () => {
    const options = {
      isCvcMasked: true,
      target: "modal",
      texts: { buttonPayLabel: "Buy", termsUrl: "https://shop.example/terms" },
      appearance: { theme: "plain", variables: { colorText: "#000" }, rules: { ".Input": { color: "#111" } } },
      pageScheme: "dark",
    };
    expect(readMessage({ type: "begin", token: TOKEN, options })).toEqual({ type: "begin", token: TOKEN, options });
  });

  test.each<[string, unknown]>([
    ["no token", { options: OPTIONS }],
    ["a short token", { token: "ab", options: OPTIONS }],
    ["a token in capitals", { token: TOKEN.toUpperCase(), options: OPTIONS }],
    ["a token and more", { token: `${TOKEN}\n`, options: OPTIONS }],
    ["a token in a list", { token: [TOKEN], options: OPTIONS }],
    ["no options", { token: TOKEN }],
    ["options that are a text", { token: TOKEN, options: "x" }],
    ["options that are nothing", { token: TOKEN, options: null }],
  ])("with %s is none", (_, said) => expect(readMessage({ type: "begin", ...(said as object) })).toBeNull());

  it("takes the usual where a wish is none of ours", () => {
    const options = { isCvcMasked: "yes", target: "_top ", texts: { a: 7, buttonPayLabel: "Buy" }, appearance: 7, pageScheme: "sepia" };
    expect(readMessage({ type: "begin", token: TOKEN, options })).toEqual({
      type: "begin",
      token: TOKEN,
      options: { isCvcMasked: false, target: null, texts: { buttonPayLabel: "Buy" }, appearance: {}, pageScheme: "light" },
    });
  });
});

describe("an appearance", () => {
  test.each<[unknown, object]>([
    [null, {}],
    ["dark", {}],
    [{}, { theme: "auto", variables: {}, rules: {} }],
    [{ theme: "neon" }, { theme: "auto", variables: {}, rules: {} }],
    [{ theme: "dark", variables: { a: 1, b: "x", c: null }, rules: { ".Input": { color: {} }, ".Form": null } }, { theme: "dark", variables: { b: "x" }, rules: { ".Input": {}, ".Form": {} } }],
    [{ variables: ["x"], rules: "x" }, { theme: "auto", variables: { 0: "x" }, rules: {} }],
  ])("of %j holds texts alone", (said, read) => expect(readAppearance(said)).toEqual(read));

  it("with a name that every object has changes no object", () => {
    const said = JSON.parse('{"variables":{"__proto__":"x"},"rules":{"__proto__":{"polluted":"x"},"constructor":{"a":"b"}}}') as unknown;
    readAppearance(said);
    expect(({} as Record<string, unknown>).polluted).toBeUndefined();
  });
});

describe("a message", () => {
  test.each<[unknown, unknown]>([
    [{ type: "opened", isOpen: true }, { type: "opened", isOpen: true }],
    [{ type: "opened", isOpen: "true" }, { type: "opened", isOpen: false }],
    [{ type: "closed", more: 1 }, { type: "closed" }],
    [{ type: "appearance" }, { type: "appearance", appearance: {}, pageScheme: "light" }],
    [{ type: "succeeded" }, null],
    [{ type: "__proto__" }, null],
    [{ type: 7 }, null],
    [{}, null],
    [[], null],
    ["begin", null],
    [undefined, null],
  ])("%j is read as %j", (said, read) => expect(readMessage(said)).toEqual(read));

  it("of any form never throws", () => {
    const type = fc.constantFrom("begin", "appearance", "opened", "closed");
    const said = fc.oneof(fc.anything(), fc.record({ type, token: fc.constant(TOKEN), options: fc.anything(), appearance: fc.anything(), isOpen: fc.anything() }));
    fc.assert(fc.property(said, (one) => (readMessage(one), true)));
  });
});
