import fc from "fast-check";
import { describe, expect, test } from "vitest";

import { digitsOf } from "../../src/rules/digits";
import { edit } from "../../src/rules/pan";
import { PanField } from "./typing";

const VISA = "4242 4242 4242 4242";

function filled(text = VISA): PanField {
  return new PanField().insert(text);
}

describe("typing a PAN", () => {
  test.each([
    ["4242", "4242|"],
    ["42424", "4242 4|"],
    ["4242 4242", "4242 4242|"],
    ["4242-4242", "4242 4242|"],
    ["42x42", "4242|"],
    ["4242424242424242", `${VISA}|`],
    ["378282246310005", "3782 822463 10005|"],
    ["30569309025904", "3056 930902 5904|"],
    ["４２４２４", "4242 4|"],
  ])("%s key by key shows %s", (keys, shown) => expect(new PanField().press(keys).shown).toBe(shown));

  test("in the middle leaves the caret after the digit typed", () => {
    const field = filled("4242 4242 4242").at(2).press("9");
    expect(field.shown).toBe("429|4 2424 2424 2");
    expect(field.press("8").shown).toBe("4298| 4242 4242 42");
    expect(field.press("7").shown).toBe("4298 7|424 2424 242");
  });

  test("beside a gap, on either side of it, means the same place", () => {
    expect(filled("4242 4242").at(4).press("9").shown).toBe("4242 9|424 2");
    expect(filled("4242 4242").at(5).press("9").shown).toBe("4242 9|424 2");
  });

  test("letters and blanks moves nothing", () => {
    expect(filled().at(7).press("x", " ", "-").shown).toBe("4242 42|42 4242 4242");
  });

  test("another brand in front regroups, and the caret stays after its digit", () => {
    expect(filled("8282 2463 1000 5").at(0).press("9").shown).toBe("9|828 2246 3100 05");
    expect(filled("8282 2463 1000 5").at(0).press("37").shown).toBe("37|82 822463 10005");
  });
});

describe("deleting in a PAN", () => {
  test.each<[string, number, string[], string]>([
    ["the last digit", 19, ["Backspace"], "4242 4242 4242 424|"],
    ["the first digit of a group", 16, ["Backspace"], "4242 4242 4242| 242"],
    ["over a gap to the left", 15, ["Backspace"], "4242 4242 424|4 242"],
    ["over a gap to the right", 14, ["Delete"], "4242 4242 4242| 242"],
    ["in front of the first digit", 0, ["Backspace"], `|${VISA}`],
    ["behind the last digit", 19, ["Delete"], `${VISA}|`],
    ["two to the right from a gap's left", 4, ["Delete", "Delete"], "4242| 4242 4242 42"],
    ["two to the left from a gap's right", 5, ["Backspace", "Backspace"], "42|42 4242 4242 42"],
  ])("%s", (_, caret, keys, shown) => expect(filled().at(caret).press(...keys).shown).toBe(shown));

  test("to the left takes the digit on the left of a gap, to the right the one on its right", () => {
    const text = "4111 2333 4444 555";
    expect(filled(text).at(5).press("Backspace").text).toBe("4112 3334 4445 55");
    expect(filled(text).at(4).press("Delete").text).toBe("4111 3334 4445 55");
  });

  test("key by key empties the field, from either end", () => {
    const keys = (key: string) => Array<string>(16).fill(key);
    expect(filled().press(...keys("Backspace")).shown).toBe("|");
    expect(filled().at(0).press(...keys("Delete")).shown).toBe("|");
  });

  test("a selection leaves the caret where it was", () => {
    expect(filled("4242 4242 4242").at(2).insert("", 6).shown).toBe("42|24 242");
  });
});

describe("pasting a PAN", () => {
  test.each([
    ["4242424242424242", `${VISA}|`],
    [" 4242 4242 4242 4242 ", `${VISA}|`],
    ["4242-4242-4242-4242", `${VISA}|`],
    ["4242.4242.4242.4242\n", `${VISA}|`],
    ["\u202a4242\u00a04242\u00a04242\u00a04242\u202c", `${VISA}|`],
    ["４２４２　４２４２　４２４２　４２４２", `${VISA}|`],
    ["٤٢٤٢ ٤٢٤٢ ٤٢٤٢ ٤٢٤٢", `${VISA}|`],
    ["Card: 4242 4242 4242 4242 (Visa)", `${VISA}|`],
    ["nothing of use", "|"],
  ])("%j shows %j", (piece, shown) => expect(new PanField().insert(piece).shown).toBe(shown));

  test("into the middle leaves the caret after what was pasted", () => {
    expect(filled("4242 4242").at(4).insert(" 1234-56 ").shown).toBe("4242 1234 56|42 42");
  });

  test("over what there was replaces it", () => {
    expect(filled().pasteOver("3782-822463-10005").shown).toBe("3782 822463 10005|");
  });

  test("too much is not cut to a PAN that nobody meant", () => {
    const { digits } = new PanField().insert(`${VISA} 0000 123`);
    expect(digits).toBe("4242424242424242" + "0000123");
    expect(new PanField().insert("7".repeat(500)).digits).toBe("7".repeat(30));
  });
});

describe("a full field", () => {
  test.each([
    ["5555 5555 5555 4444", 19, "5555 5555 5555 4444|"],
    ["5555 5555 5555 4444", 7, "5555 55|55 5555 4444"],
    ["3782 822463 10005", 17, "3782 822463 10005|"],
    ["4242 4242 4242 4242 426", 23, "4242 4242 4242 4242 426|"],
  ])("%s takes no further digit at %i", (text, caret, shown) => {
    expect(filled(text).at(caret).press("1").shown).toBe(shown);
  });

  test("still lets its digits be deleted, and then typed anew", () => {
    expect(filled("5555 5555 5555 4444").press("Backspace", "9").shown).toBe("5555 5555 5555 4449|");
  });

  test("with too much in it can be made shorter key by key", () => {
    const field = filled("5555 5555 5555 4444 99").press("Backspace");
    expect(field.digits).toBe("55555555555544449");
    expect(field.press("Backspace").digits).toBe("5555555555554444");
  });
});

const anything = fc.oneof(
  fc.string({ unit: "binary", maxLength: 40 }),
  fc.string({ unit: fc.constantFrom(..."0123456789 -４٤۴"), maxLength: 40 }),
);
const keys = fc.oneof(
  fc.constantFrom(..."0123456789", "Backspace", "Delete", "Left", "Right", "Home", "End", " ", "x"),
  fc.constantFrom(..."3456"),
);

describe("any edit", () => {
  test("never throws, never loses or moves a digit within the maximum, and keeps the caret after its digit", () => {
    fc.assert(
      fc.property(anything, fc.nat(60), fc.nat(60), (text, at, length) => {
        const caret = Math.min(at, text.length);
        const before = "9".repeat(length);
        const edited = edit({ text, caret, before, isBackward: false, isForward: false });
        const digits = digitsOf(text);
        fc.pre(digits.length !== length + 1); // a digit typed into a full field
        expect(edited.digits).toBe(digits.slice(0, 30));
        expect(digitsOf(edited.text)).toBe(edited.digits);
        expect(digitsOf(edited.text.slice(0, edited.caret))).toBe(digitsOf(text.slice(0, caret)).slice(0, 30));
      }),
    );
  });

  test("done twice is done once", () => {
    fc.assert(
      fc.property(anything, fc.nat(60), (text, at) => {
        const none = { before: "", isBackward: false, isForward: false };
        const once = edit({ ...none, text, caret: Math.min(at, text.length) });
        expect(edit({ ...none, text: once.text, caret: once.caret, before: once.digits })).toEqual(once);
      }),
    );
  });

  test("by keys does to the digits what it would do to a field without gaps", () => {
    fc.assert(
      fc.property(fc.array(keys, { maxLength: 60 }), (pressed) => {
        const field = new PanField();
        for (const key of pressed) {
          const left = digitsOf(field.text.slice(0, field.caret)).length;
          const { digits } = field;
          field.press(key);
          const now = digitsOf(field.text.slice(0, field.caret)).length;
          const isTyped = /^[0-9]$/.test(key) && field.digits.length > digits.length;
          if (isTyped) expect([field.digits, now]).toEqual([digits.slice(0, left) + key + digits.slice(left), left + 1]);
          else if (key === "Backspace" && left > 0) expect([field.digits, now]).toEqual([digits.slice(0, left - 1) + digits.slice(left), left - 1]);
          else if (key === "Delete") expect([field.digits, now]).toEqual([digits.slice(0, left) + digits.slice(left + 1), left]);
          else expect(field.digits).toBe(digits);
        }
      }),
    );
  });
});
