// The expiry date under a payer's fingers: typed, pasted, corrected in the middle, taken back.

import fc from "fast-check";
import { describe, expect, it, test } from "vitest";

import { expiryProblem, readExpiry } from "../../src/rules/expiry";
import { ExpiryField } from "./typing";

const NOW = new Date(2026, 10, 22);
const digit = fc.constantFrom(..."0123456789");
const month = fc.integer({ min: 1, max: 12 }).map((one) => String(one).padStart(2, "0"));
const year = fc.integer({ min: 0, max: 99 }).map((one) => String(one).padStart(2, "0"));

function typed(keys: string): ExpiryField {
  return new ExpiryField().press(keys);
}

describe("typing an expiry date", () => {
  test.each([
    ["0", "0|"],
    ["08", "08/|"],
    ["08/", "08/|"],
    ["08//", "08/|"],
    ["083", "08/3|"],
    ["0831", "08/31|"],
    ["08311", "08/31|"],
    ["8", "08|"],
    ["83", "08/3|"],
    ["8/31", "08/31|"],
    ["8 31", "08/31|"],
    ["8-31", "08/31|"],
    ["08.31", "08/31|"],
    ["1", "1|"],
    ["1/", "01/|"],
    ["1/31", "01/31|"],
    ["12", "12/|"],
    ["1231", "12/31|"],
    ["13", "01/3|"],
    ["131", "01/31|"],
    ["08/2031", "08/2031|"],
    ["082031", "08/2031|"],
    ["08/20319", "08/2031|"],
    ["00", "00/|"],
    ["x0y8z3 1", "08/31|"],
    ["０８／３１", "08/31|"],
    ["٠٨٣١", "08/31|"],
    ["/", "|"],
    [" ", "|"],
  ])("%s shows %s", (keys, shown) => {
    const field = typed(keys);
    if (shown === "|") expect(readExpiry(field.text)).toBeNull();
    else expect(field.shown).toBe(shown);
  });

  it("as MMYY shows MM/YY, whatever date it is", () => {
    fc.assert(
      fc.property(month, year, (mm, yy) => {
        expect(typed(mm + yy).shown).toBe(`${mm}/${yy}|`);
      }),
    );
  });

  it("as M/YY, MM/YY, MM/YYYY or MMYYYY is read as the same date", () => {
    fc.assert(
      fc.property(month, year, (mm, yy) => {
        const m = String(Number(mm));
        const read = { month: mm, year: yy };
        for (const keys of [`${m}/${yy}`, `${mm}/${yy}`, `${mm}/20${yy}`, `${mm}20${yy}`]) expect(readExpiry(typed(keys).text), keys).toEqual(read);
      }),
    );
  });
});

describe("pasting an expiry date", () => {
  test.each([
    ["08/31"], ["08/2031"], ["0831"], ["082031"], ["8/31"], ["8/2031"], [" 08 / 31 "], ["08 - 2031"], ["08.31\n"], ["2031-08"],
    ["2031/8"], ["０８／３１"], ["٠٨/٣١"], ["۰۸/۳۱"], ["\u200e08/31\u200e"], ["Exp: 08/31"], ["831"],
  ])("as %j is read as August 2031, alone and over another", (piece) => {
    const read = { month: "08", year: "31" };
    expect(readExpiry(new ExpiryField().insert(piece).text)).toEqual(read);
    expect(readExpiry(typed("1130").pasteOver(piece).text)).toEqual(read);
  });
});

describe("taking an expiry date back", () => {
  test.each(["0831", "08/2031", "131", "08/", "8", "1/", "00"])("%s key by key empties the field", (keys) => {
    const field = typed(keys);
    const lengths = [field.text.length];
    while (field.text !== "" && lengths.length < 20) lengths.push(field.press("Backspace").text.length);
    expect(lengths).toEqual(lengths.map((_, place) => lengths[0]! - place));
  });

  it("from the front key by key empties it as well", () => {
    const field = typed("0831").at(0);
    for (const left of ["|8/31", "|/31", "|31", "|1", "|"]) expect(field.press("Delete").shown).toBe(left);
  });

  test.each([
    [["Backspace", "2"], "08/32|"],
    [["Backspace", "Backspace", "29"], "08/29|"],
    [["Backspace", "Backspace", "Backspace", "29"], "08/29|"],
    [["Backspace", "Backspace", "Backspace", "Backspace", "929"], "09/29|"],
    [["Left", "Backspace", "2"], "08/2|1"],
  ])("by %j goes on from what is left", (keys, shown) => expect(typed("0831").press(...keys).shown).toBe(shown));
});

describe("correcting an expiry date", () => {
  test.each<[string, string, number, number, string, string]>([
    ["its month", "08/31", 0, 2, "11", "11|/31"],
    ["its month, by a zero first", "08/31", 0, 2, "09", "09|/31"],
    ["its month, by one digit", "12/31", 0, 2, "5", "05|/31"],
    ["its month's second digit", "11/31", 1, 1, "2", "12|/31"],
    ["its year", "08/31", 3, 2, "29", "08/29|"],
    ["its year's first digit", "08/31", 3, 1, "2", "08/2|1"],
    ["its year's second digit", "08/31", 4, 1, "2", "08/32|"],
    ["all of it", "08/31", 0, 5, "1129", "11/29|"],
  ])("in %s", (_, text, from, selected, keys, shown) => {
    const field = typed(text.replace("/", "")).at(from).insert(keys[0]!, selected);
    expect(field.press(keys.slice(1)).shown).toBe(shown);
  });

  it("that is begun and left is read as it stands", () => {
    const field = typed("0831").at(0).insert("1", 2);
    expect(field.shown).toBe("1|/31");
    expect(readExpiry(field.text)).toEqual({ month: "01", year: "31" });
  });

  it("replaces any month by any other, and the year stays", () => {
    fc.assert(
      fc.property(month, year, month, (mm, yy, other) => {
        const field = typed(mm + yy).at(0).insert(other[0]!, 2).press(other[1]!);
        expect(field.shown).toBe(`${other}|/${yy}`);
      }),
    );
  });

  it("leaves the caret after the digit typed", () => {
    fc.assert(
      fc.property(month, year, fc.integer({ min: 0, max: 4 }), digit, (mm, yy, at, key) => {
        const field = typed(mm + yy).at(at).press(key);
        expect(field.caret).toBeGreaterThan(0);
        expect(field.text[field.caret - 1]).toBe(key);
      }),
    );
  });
});

it("never throws, and the caret is always within the field", () => {
  const keys = fc.oneof(digit, fc.constantFrom("/", " ", "x", "Backspace", "Delete", "Left", "Right", "Home", "End"), fc.string({ unit: "binary", maxLength: 9 }));
  fc.assert(
    fc.property(fc.array(keys, { maxLength: 30 }), (pressed) => {
      const field = new ExpiryField();
      for (const key of pressed) {
        if (key !== "") field.press(key);
        expect(field.caret).toBeGreaterThanOrEqual(0);
        expect(field.caret).toBeLessThanOrEqual(field.text.length);
        expect(field.text).toMatch(/^[0-9/]*$/);
        expiryProblem(field.text, NOW);
      }
    }),
  );
});
