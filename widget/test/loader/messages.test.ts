// Messages of any shape: dropped or of the protocol, never an exception.

import fc from "fast-check";
import { describe, expect, it } from "vitest";

import { isHello, isLeave, isWebUrl, readMessage } from "../../src/loader/messages";
import { ACTION } from "./page";

const ERROR = { code: "a", description: "b", message: "c" };
const GOOD = [
  { type: "ready", title: "Paiement par carte" },
  { type: "started" },
  { type: "action-over" },
  { type: "height", height: 12 },
  { type: "succeeded", returnUrl: "https://shop.example/" },
  { type: "failed", error: ERROR },
  ACTION,
];

describe("messages from the frame", () => {
  it.each(GOOD)("of the protocol are read: $type", (message) => {
    expect(readMessage(message)).toEqual(message);
    expect(readMessage({ ...message, more: 1 })).toEqual(message);
  });

  it("of any shape are dropped or have the protocol's form", () => {
    fc.assert(
      fc.property(fc.anything(), (data) => {
        const message = readMessage(data);
        if (message) expect(readMessage(message)).toEqual(message);
        expect(isHello(data)).toBe(false);
        expect(isLeave(data)).toBe(false);
      }),
    );
  });

  it("with one member replaced by anything never pass on what is wrong", () => {
    const oneOff = fc.constantFrom(...GOOD).chain((message) =>
      fc.record({
        message: fc.constant(message as Record<string, unknown>),
        name: fc.constantFrom(...Object.keys(message)),
        value: fc.anything(),
      }),
    );
    fc.assert(
      fc.property(oneOff, ({ message, name, value }) => {
        const read = readMessage({ ...message, [name]: value });
        if (read?.type === "height") expect(Number.isFinite(read.height)).toBe(true);
        if (read?.type === "action") expect(isWebUrl(read.url)).toBe(true);
        if (read?.type === "failed") expect(Object.values(read.error).every((text) => typeof text === "string")).toBe(true);
        if (read && "returnUrl" in read) expect(isWebUrl(read.returnUrl)).toBe(true);
      }),
    );
  });
});

describe("addresses", () => {
  it.each(["https://shop.example/a?b#c", "http://localhost:8401/"])("%s is one of the web", (url) => {
    expect(isWebUrl(url)).toBe(true);
  });

  it.each(["javascript:alert(1)", " javascript:alert(1)", "java\nscript:alert(1)", "blob:https://a/b", "file:///a", "a"])(
    "%s is not",
    (url) => {
      expect(isWebUrl(url)).toBe(false);
    },
  );
});
