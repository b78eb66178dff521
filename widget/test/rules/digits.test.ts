import fc from "fast-check";
import { describe, expect, test } from "vitest";

import { digitsOf, isLuhn, withPlainDigits } from "../../src/rules/digits";

describe("digits", () => {
  test.each([
    ["", ""],
    ["4000 1200-0000.0008", "4000120000000008"],
    ["\u00a04000\t1200\n", "40001200"],
    ["４０００１２３４５６７８９", "4000123456789"],
    ["٠١٢٣٤٥٦٧٨٩", "0123456789"],
    ["۰۱۲۳۴۵۶۷۸۹", "0123456789"],
    ["４۰٠0", "4000"],
    ["no digits at all", ""],
    ["１２／３１", "1231"],
    ["½²①", ""],
  ])("of %j are %j", (text, digits) => expect(digitsOf(text)).toBe(digits));

  test("become plain ones in the same place, and a full-width slash with them", () => {
    expect(withPlainDigits("a１/٣b۴／")).toBe("a1/3b4/");
  });

  test("keep a caret's place: the text is as long as before", () => {
    fc.assert(fc.property(fc.string({ unit: "binary" }), (text) => withPlainDigits(text).length === text.length));
  });

  test("are all that is left of any text", () => {
    fc.assert(fc.property(fc.string({ unit: "binary" }), (text) => /^[0-9]*$/.test(digitsOf(text))));
  });
});

function withCheckDigit(digits: string): string {
  for (const check of "0123456789") if (isLuhn(digits + check)) return digits + check;
  throw new Error("one of ten check digits fits");
}

describe("the Luhn check", () => {
  test.each([
    ["0", true],
    ["18", true],
    ["79927398713", true], // the algorithm's usual example
    ["79927398710", false],
    ["4242424242424242", true],
    ["4242424242424241", false],
    ["378282246310005", true],
    ["30569309025904", true],
    ["6205500000000000004", true],
    ["0000000000000000", true],
    ["", false],
  ])("of %j: %j", (digits, isRight) => expect(isLuhn(digits)).toBe(isRight));

  const numbers = fc.string({ unit: fc.constantFrom(..."0123456789"), minLength: 11, maxLength: 18 });

  test("finds every single wrong digit", () => {
    fc.assert(
      fc.property(numbers, fc.nat(), fc.integer({ min: 1, max: 9 }), (begin, at, by) => {
        const whole = withCheckDigit(begin);
        const place = at % whole.length;
        const wrong = String((Number(whole[place]) + by) % 10);
        return !isLuhn(whole.slice(0, place) + wrong + whole.slice(place + 1));
      }),
    );
  });

  test("finds neighbours that changed places, but for 0 and 9", () => {
    fc.assert(
      fc.property(numbers, fc.nat(), (begin, at) => {
        const whole = withCheckDigit(begin);
        const place = at % (whole.length - 1);
        const [one, other] = [whole[place]!, whole[place + 1]!];
        fc.pre(one !== other && !["09", "90"].includes(one + other));
        return !isLuhn(whole.slice(0, place) + other + one + whole.slice(place + 2));
      }),
    );
  });
});
