import fc from "fast-check";
import { describe, expect, test } from "vitest";

import type { Brand } from "../../src/rules/pan";
import { BRAND_NAMES, cardOf, group, panProblem } from "../../src/rules/pan";

const BRANDS: readonly [Brand, string, string][] = [
  ["visa", "4242424242424242", "4242 4242 4242 4242"],
  ["visa", "4242424242424242428", "4242 4242 4242 4242 428"],
  ["mastercard", "5555555555554444", "5555 5555 5555 4444"],
  ["mastercard", "2221000000000009", "2221 0000 0000 0009"], // the lowest and the highest of the second series
  ["mastercard", "2720990000000007", "2720 9900 0000 0007"],
  ["american_express", "378282246310005", "3782 822463 10005"],
  ["american_express", "343434343434343", "3434 343434 34343"],
  ["diners_club", "30569309025904", "3056 930902 5904"],
  ["diners_club", "36227206271667", "3622 720627 1667"],
  ["discover", "6011111111111117", "6011 1111 1111 1117"],
  ["discover", "6445644564456445", "6445 6445 6445 6445"],
  ["jcb", "3566002020360505", "3566 0020 2036 0505"],
  ["mir", "2200000000000004", "2200 0000 0000 0004"],
  ["mir", "2204000000000000", "2204 0000 0000 0000"],
  ["unionpay", "6205500000000000004", "6205 5000 0000 0000 004"],
  ["maestro", "6759649826438453", "6759 6498 2643 8453"],
  ["maestro", "500000000009", "5000 0000 0009"],
];

describe("a PAN's brand", () => {
  test.each(BRANDS)("%s: %s is shown as %s", (brand, pan, shown) => {
    const card = cardOf(pan);
    expect(card.brand).toBe(brand);
    expect(group(pan, card.gaps)).toBe(shown);
    expect(card.codeLengths).toEqual([brand === "american_express" ? 4 : 3]);
  });

  test("every brand that the wire knows is in the table, and has a name", () => {
    expect(new Set(BRANDS.map(([brand]) => brand))).toEqual(new Set(Object.keys(BRAND_NAMES)));
    expect(Object.keys(BRAND_NAMES)).toHaveLength(9);
  });

  test.each([
    ["nothing", ""],
    ["one digit that several share", "2"],
    ["a range of nobody", "9999999999999999"],
    ["just below Mastercard's second series", "2220990000000000"],
    ["just above Mastercard's second series", "2721000000000000"],
    ["just above Mir", "2205000000000000"],
    ["Elo, which the library knows and we do not", "6362970000457013"],
    ["Hipercard", "6062826786276634"],
    ["Verve", "5060990000000000"],
    ["Troy", "9792000000000000"],
  ])("is not told for %s", (_, digits) => {
    expect(cardOf(digits)).toEqual({ brand: null, gaps: [4, 8, 12, 16], lengths: [12, 13, 14, 15, 16, 17, 18, 19], codeLengths: [3, 4] });
  });

  test("appears while one types and then stays", () => {
    const seen = (pan: string) => [...pan].map((_, place) => cardOf(pan.slice(0, place + 1)).brand);
    expect(seen("378282").at(1)).toBe("american_express");
    for (const [brand, pan] of BRANDS) {
      const told = seen(pan).filter((one) => one !== null);
      expect(new Set(told), pan).toEqual(new Set([brand]));
    }
  });

  test("is known or not for any text, without an error", () => {
    fc.assert(
      fc.property(fc.oneof(fc.string({ unit: "binary" }), fc.constantFrom("__proto__", "constructor")), (text) => {
        const { brand, gaps, lengths, codeLengths } = cardOf(text);
        expect(brand === null || Object.hasOwn(BRAND_NAMES, brand)).toBe(true);
        expect(gaps.length * lengths.length * codeLengths.length).toBeGreaterThan(0);
      }),
    );
  });
});

describe("grouping", () => {
  test.each([
    ["", ""],
    ["4", "4"],
    ["4242", "4242"], // the gap comes with the digit after it, so that deleting needs no trick at the end
    ["42424", "4242 4"],
  ])("of %j is %j", (digits, shown) => expect(group(digits, [4, 8, 12])).toBe(shown));

  test("adds blanks and nothing else", () => {
    const digits = fc.string({ unit: fc.constantFrom(..."0123456789"), maxLength: 30 });
    fc.assert(
      fc.property(digits, (text) => {
        const shown = group(text, cardOf(text).gaps);
        expect(shown.replaceAll(" ", "")).toBe(text);
        expect(shown).not.toMatch(/^ | $| {2}/);
      }),
    );
  });
});

describe("what is wrong with a PAN", () => {
  test.each([
    ["", "required"],
    ["4", "numberIncomplete"],
    ["424242424242424", "numberIncomplete"],
    ["4242424242424242", null],
    ["4242424242424241", "numberWrong"],
    ["4242 4242 4242 4242".replaceAll(" ", ""), null],
    ["4242424242424242428", null],
    ["42424242424242424242", "numberWrong"], // twenty digits
    ["37828224631000", "numberIncomplete"],
    ["378282246310005", null],
    ["3782822463100050", "numberWrong"],
    ["6205500000000000004", null],
    ["6205500000000000003", "numberWrong"], // UnionPay's check digit counts as well
    ["555555555555444", "numberIncomplete"],
    ["55555555555544440", "numberWrong"],
    ["00000000000", "numberIncomplete"],
    ["9999999999999995", null], // an unknown brand is for the bank to know
    ["9999999999999999", "numberWrong"],
    ["500000000009", null],
    ["1".repeat(500), "numberWrong"],
  ])("%j: %j", (digits, problem) => expect(panProblem(digits)).toBe(problem));
});
