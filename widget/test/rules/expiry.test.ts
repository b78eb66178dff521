// Expiry dates in every way people write them.

import fc from "fast-check";
import { describe, expect, it, test } from "vitest";

import { editExpiry, expiryProblem, readExpiry } from "../../src/rules/expiry";
import { codeProblem, editCode, holderProblem } from "../../src/rules/others";
import { cardOf } from "../../src/rules/pan";

const NOW = new Date(2026, 10, 22);

function typed(keys: string): string {
  return [...keys].reduce((text, key) => editExpiry({ text: text + key, caret: text.length + 1, isDeletion: false }).text, "");
}

describe("typing", () => {
  test.each([
    ["0831", "08/31"], ["831", "08/31"], ["08/31", "08/31"], ["8/31", "08/31"], ["1/31", "01/31"],
    ["131", "01/31"], ["1231", "12/31"], ["08/2031", "08/2031"], ["08 31", "08/31"],
  ])("%s shows %s", (keys, shown) => expect(typed(keys)).toBe(shown));

  it("month and year gives both, for every date", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 12 }), fc.integer({ min: 0, max: 99 }), (month, year) => {
        const [mm, yy] = [month, year].map((part) => String(part).padStart(2, "0"));
        // A year that begins like a century waits for two more digits, and is read all the same.
        expect(readExpiry(typed(`${mm}${yy}`))).toEqual({ month: mm, year: yy });
      }),
    );
  });

  it("can be taken back key by key", () => {
    let text = typed("0831");
    for (let presses = 0; text !== "" && presses < 10; presses += 1) {
      const shorter = text.slice(0, -1);
      text = editExpiry({ text: shorter, caret: shorter.length, isDeletion: true }).text;
    }
    expect(text).toBe("");
  });

  it("never fails, whatever is pasted", () => {
    fc.assert(fc.property(fc.string(), fc.boolean(), (text, isDeletion) => {
      const edited = editExpiry({ text, caret: text.length, isDeletion });
      expect(edited.caret).toBeLessThanOrEqual(edited.text.length);
    }));
  });
});

describe("pasting", () => {
  test.each([
    [" 08 / 31 ", "08", "31"], ["08/2031", "08", "31"], ["8.31", "08", "31"], ["2031-08", "08", "31"], ["\uff10\uff18\uff0f\uff13\uff11", "08", "31"],
  ])("%s", (text, month, year) => {
    expect(readExpiry(editExpiry({ text, caret: text.length, isDeletion: false }).text)).toEqual({ month, year });
  });
});

describe("a date", () => {
  test.each([
    ["", "required"], ["0", "expiryIncomplete"], ["13/31", "expiryIncomplete"], ["00/31", "expiryIncomplete"], ["10/26", "expiryPast"],
    ["11/26", null], ["12/26", null], ["11/46", null], ["12/46", "expiryFar"], ["08/2031", null],
  ])("%s: %s", (text, problem) => expect(expiryProblem(text, NOW)).toBe(problem));
});

describe("code and name", () => {
  it("are as long as the card's", () => {
    const amex = cardOf("378282246310005");
    expect(editCode("12 34x5", amex)).toBe("1234");
    expect(codeProblem("123", amex)).toBe("codeIncomplete");
    expect(codeProblem("123", cardOf("4242424242424242"))).toBeNull();
    expect(codeProblem("", amex)).toBe("required");
  });

  it("of a person have few digits", () => {
    expect(holderProblem("Kai Muster 3rd")).toBeNull();
    expect(holderProblem("4242 4242 4242 4242")).toBe("holderWrong");
    expect(holderProblem("")).toBeNull();
  });
});
