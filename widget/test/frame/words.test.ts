// Amounts and texts as payers read them.

import fc from "fast-check";
import { describe, expect, it, test } from "vitest";

import { amountText, failureText, fill, isWebAddress, termsPieces } from "../../src/frame/words";
import { TEXTS, info } from "./gateway";

const LANGUAGES = ["en", "ru", "de", "fr", "es", "it", "pt", "nl", "pl", "uk", "tr", "kk", "ar", "he", "zh", "ja"];
const EXPONENTS: Record<string, number> = { eur: 2, jpy: 0, kwd: 3, usd: 2, rub: 2, kzt: 2 };

function shown(amount: number, currency: string, language = "en"): string {
  return amountText(info("ready", { amount, currency, exponent: EXPONENTS[currency] ?? 2 }), language);
}

function plain(text: string): string {
  return text.replace(/[\u2066\u2069\u200e\u200f\u061c]/g, "").replace(/[\u00a0\u202f]/g, " ");
}

describe("an amount", () => {
  test.each([
    [4990, "eur", "en", "€49.90"],
    [4990, "eur", "de", "49,90 €"],
    [4990, "eur", "fr", "49,90 €"],
    [4990, "jpy", "en", "¥4,990"],
    [4990, "jpy", "ja", "￥4,990"],
    [4990, "kwd", "en", "KWD 4.990"],
    [0, "eur", "en", "€0.00"],
    [1, "eur", "en", "€0.01"],
    [99, "kwd", "en", "KWD 0.099"],
    [100_000_000, "usd", "en", "$1,000,000.00"],
    [123_456, "rub", "ru", "1 234,56 ₽"],
    [123_456_789, "rub", "ru", "1 234 567,89 ₽"],
  ])("of %i %s in %s is %s", (amount, currency, language, text) => expect(plain(shown(amount, currency, language))).toBe(text));

  it("too large for a floating point number keeps its last digit", () => {
    expect(shown(Number.MAX_SAFE_INTEGER, "eur")).toContain("90,071,992,547,409.91");
    expect(shown(Number.MAX_SAFE_INTEGER, "kwd")).toContain("9,007,199,254,740.991");
    expect(shown(Number.MAX_SAFE_INTEGER, "jpy")).toContain("9,007,199,254,740,991");
  });

  test.each(LANGUAGES)("in %s has the digits that are on a card, from left to right", (language) => {
    const text = shown(1_234_567_89, "eur", language);
    expect(text).toMatch(/^\u2066.*\u2069$/);
    expect(text.replace(/[^0-9]/g, "")).toBe("123456789");
  });

  it("has exactly its own digits, in every currency and language", () => {
    fc.assert(
      fc.property(fc.maxSafeNat(), fc.constantFrom(...Object.keys(EXPONENTS)), fc.constantFrom(...LANGUAGES), (amount, currency, language) => {
        const digits = shown(amount, currency, language).replace(/[^0-9]/g, "");
        expect(digits).toBe(String(amount).padStart(EXPONENTS[currency]! + 1, "0"));
      }),
    );
  });

  test.each(["x", "", "euro", "12€"])("in a currency that the browser does not know (%j) is plain", (currency) => {
    expect(plain(shown(4990, currency))).toBe(`49.90 ${currency.toUpperCase()}`);
  });

  it("in a language that the browser does not know is plain", () => {
    expect(plain(shown(4990, "eur", "not a language"))).toBe("49.90 EUR");
  });
});

describe("a text", () => {
  test.each([
    ["Pay {amount}", { amount: "€1" }, "Pay €1"],
    ["{a} {b} {a}", { a: 1, b: 2 }, "1 2 1"],
    ["{a}", { a: "{b}", b: "x" }, "{b}"], // what is filled in is not filled in again
    ["{a}", { a: "$&" }, "$&"],
    ["{a}", { a: 0 }, "0"],
    ["{missing}", {}, "{missing}"],
    ["{constructor} {tostring}", {}, "{constructor} {tostring}"],
    ["nothing", { a: 1 }, "nothing"],
  ])("%j with %j is %j", (text, values, filled) => expect(fill(text, values as Record<string, string | number>)).toBe(filled));
});

describe("why a payment failed", () => {
  test.each([
    ["insufficient_funds", TEXTS.failedFunds],
    ["bank_card_expired", TEXTS.failedExpired],
    ["3DS_error", TEXTS.failedAuthentication],
    ["session_cancelled_by_partner", TEXTS.failedCancelled],
    ["session_cancelled", TEXTS.failedCancelled],
    ["confirm_timeout", TEXTS.failedTimeout],
    ["action_timeout", TEXTS.failedTimeout],
    ["capture_timeout", TEXTS.failedTimeout],
    ["do_not_honor", TEXTS.failedText],
    ["", TEXTS.failedText],
    ["__proto__", TEXTS.failedText],
    ["constructor", TEXTS.failedText],
  ])("by the code %j is: %s", (code, text) => expect(failureText(TEXTS, code)).toBe(text));

  it("is silence where there are no texts, not an error", () => expect(failureText({}, "x")).toBe(""));
});

describe("terms", () => {
  const link = (text: string) => ({ text, isLink: true });
  const words = (text: string) => ({ text, isLink: false });

  test.each([
    ["", [words("")]],
    ["plain", [words("plain")]],
    ["I accept the {{#link}}terms{{/link}}.", [words("I accept the "), link("terms"), words(".")]],
    ["{{#link}}terms{{/link}}", [link("terms")]],
    ["{{#link}}unclosed", [words("{{#link}}unclosed")]],
    ["{{/link}}turned{{#link}}", [words("{{/link}}turned{{#link}}")]],
    ["a\n{{#link}}b\nc{{/link}}\nd", [words("a\n"), link("b\nc"), words("\nd")]],
    ["<b>{{#link}}<i>{{/link}}", [words("<b>"), link("<i>")]],
  ])("%j fall into their pieces", (text, pieces) => expect(termsPieces(text)).toEqual(pieces));

  it("lose no word", () => {
    fc.assert(fc.property(fc.string(), fc.string(), fc.string(), (before, inside, after) => {
      fc.pre(!`${before}${inside}${after}`.includes("{{"));
      const text = `${before}{{#link}}${inside}{{/link}}${after}`;
      expect(termsPieces(text).map((piece) => piece.text).join("")).toBe(before + inside + after);
    }));
  });

  it("are cut in no more time than they are long", () => {
    expect(termsPieces("{{#link}}".repeat(20_000))).toHaveLength(1);
  });

  test.each([
    ["https://shop.example/terms", true],
    ["http://shop.example/terms?a=1#b", true],
    ["HTTPS://SHOP.EXAMPLE", true],
    ["javascript:alert(1)", false],
    ["data:text/html,x", false],
    ["//shop.example", false],
    ["/terms", false],
    ["https://", false],
    ["https://a b", false],
    ["https://a\n", false],
    ["", false],
    [undefined, false],
  ])("lead to %j: %j", (address, isOne) => expect(isWebAddress(address)).toBe(isOne));
});
