// The PAN's field: which brand it is, how its digits are grouped, and where the caret stays while it is edited.

import creditCardType from "credit-card-type";

import { digitsOf, isLuhn, withPlainDigits } from "./digits";

export type Brand =
  | "visa"
  | "mastercard"
  | "american_express"
  | "diners_club"
  | "discover"
  | "jcb"
  | "mir"
  | "unionpay"
  | "maestro";

export interface Card {
  brand: Brand | null;
  gaps: readonly number[]; // a blank stands before the digit with this number, counted from zero
  lengths: readonly number[];
  codeLengths: readonly number[];
}

// The order in which a brand's name is written; others that the library knows are not of our acquirers' world.
export const BRAND_NAMES: Record<Brand, string> = {
  visa: "Visa",
  mastercard: "Mastercard",
  american_express: "American Express",
  diners_club: "Diners Club",
  discover: "Discover",
  jcb: "JCB",
  mir: "Mir",
  unionpay: "UnionPay",
  maestro: "Maestro",
};

const LENGTHS = [12, 13, 14, 15, 16, 17, 18, 19];
const FOURS = [4, 8, 12, 16];
const UNKNOWN: Card = { brand: null, gaps: FOURS, lengths: LENGTHS, codeLengths: [3, 4] };

// Once the digits leave no choice: a brand that changes while one types helps nobody.
export function cardOf(digits: string): Card {
  const possible = digits === "" ? [] : creditCardType(digits);
  const [only] = possible;
  if (possible.length !== 1 || !only) return UNKNOWN;
  const brand = only.type.replace("-", "_");
  if (!(brand in BRAND_NAMES)) return UNKNOWN;
  // The library knows no gap after the sixteenth digit, and leaves seven in a row to be compared.
  const gaps = only.gaps.length === 3 ? FOURS : only.gaps;
  return { brand: brand as Brand, gaps, lengths: only.lengths, codeLengths: [only.code.size] };
}

export function group(digits: string, gaps: readonly number[]): string {
  return [...digits].map((digit, place) => (gaps.includes(place) ? ` ${digit}` : digit)).join("");
}

const DIGITS_MAX = 30;
const NO_EDIT = { isBackward: false, isForward: false };

export interface Edit {
  text: string; // the field as the browser left it
  caret: number;
  before: string; // the digits it had
  isBackward: boolean; // a deletion to the left
  isForward: boolean; // a deletion to the right
}

export interface Edited {
  digits: string;
  text: string;
  caret: number;
}

function countDigits(text: string): number {
  return digitsOf(text).length;
}

// The place right after so many digits.
function placeAfter(text: string, digits: number): number {
  if (digits === 0) return 0;
  let seen = 0;
  for (let place = 0; place < text.length; place += 1) {
    if (text[place] !== " ") seen += 1;
    if (seen === digits) return place + 1;
  }
  return text.length;
}

// The field after an edit: digits are neither lost nor moved, and the caret stays after the digit it stood after.
export function edit({ text, caret, before, isBackward, isForward }: Edit): Edited {
  let digits = digitsOf(text);
  let left = countDigits(withPlainDigits(text).slice(0, caret));
  // Whoever deletes over a gap means the digit beyond it.
  if (digits === before && isBackward && left > 0) {
    digits = digits.slice(0, left - 1) + digits.slice(left);
    left -= 1;
  } else if (digits === before && isForward) {
    digits = digits.slice(0, left) + digits.slice(left + 1);
  }
  const card = cardOf(digits);
  const max = Math.max(...card.lengths);
  // A digit typed into a full field is left out. More that was pasted stays to be seen: cut, it might be another PAN.
  if (digits.length > max && digits.length === before.length + 1) return edit({ ...NO_EDIT, text: before, caret: left - 1, before: "" });
  digits = digits.slice(0, DIGITS_MAX);
  const grouped = group(digits, card.gaps);
  return { digits, text: grouped, caret: placeAfter(grouped, Math.min(left, digits.length)) };
}

export type PanProblem = "required" | "numberIncomplete" | "numberWrong";

// Our server demands the check digit of every brand, UnionPay's too.
export function panProblem(digits: string): PanProblem | null {
  if (digits === "") return "required";
  const { lengths } = cardOf(digits);
  if (lengths.includes(digits.length)) return isLuhn(digits) ? null : "numberWrong";
  return digits.length < Math.max(...lengths) ? "numberIncomplete" : "numberWrong";
}
