// The expiry date's field: MM/YY, however it is typed or pasted.

import { digitsOf, withPlainDigits } from "./digits";

const YEARS_AHEAD_MAX = 20;
const SEPARATORS = /[/\-.\s]+/;

interface Parts {
  month: string;
  year: string;
  isSeparated: boolean;
}

function partsOf(text: string): Parts {
  const plain = withPlainDigits(text).replace(/[^0-9/\-.\s]/g, "").trim();
  const [first = "", ...rest] = plain.split(SEPARATORS);
  const isSeparated = SEPARATORS.test(plain);
  if (/^20[0-9]{2}$/.test(first) && rest.length === 1) return { month: padded(rest[0] ?? ""), year: first, isSeparated };
  if (isSeparated && first.length <= 2) {
    const month = padded(first);
    return { month, year: rest.join(""), isSeparated };
  }
  const digits = plain.replace(/[^0-9]/g, "");
  // No month begins with 2 to 9, none is above 12: it is meant with a zero before it.
  if (/^([2-9]|1[3-9])/.test(digits)) return { month: `0${digits[0]}`, year: digits.slice(1), isSeparated };
  return { month: digits.slice(0, 2), year: digits.slice(2), isSeparated };
}

function padded(month: string): string {
  return month.length === 1 ? `0${month}` : month;
}

// Four digits only while they may be a year of this century.
function shortYear(year: string): string {
  return /^20/.test(year) ? year.slice(0, 4) : year.slice(0, 2);
}

export interface ExpiryEdit {
  text: string;
  caret: number;
  isDeletion: boolean;
}

// A date whose month is being typed anew: the first of its two digits.
const MONTH_BEGUN = /^[01]\/[0-9]+$/;

// The place right after so many digits.
function placeAfter(text: string, digits: number): number {
  let seen = 0;
  for (let place = 0; place < text.length; place += 1) {
    if (seen === digits) return place;
    if (text[place] !== "/") seen += 1;
  }
  return text.length;
}

export function editExpiry({ text, caret, isDeletion }: ExpiryEdit): { text: string; caret: number } {
  // Whoever deletes sees what is left as it is, or the slash would come back for ever.
  if (isDeletion) {
    const kept = withPlainDigits(text).replace(/[^0-9/]/g, "");
    return { text: kept, caret: Math.min(caret, kept.length) };
  }
  const isAtEnd = caret >= text.length;
  if (!isAtEnd && caret === 1 && MONTH_BEGUN.test(withPlainDigits(text))) return { text: withPlainDigits(text), caret };
  const { month, year, isSeparated } = partsOf(text);
  const shown = shortYear(year);
  const isComplete = month.length === 2 && (shown !== "" || isSeparated || text.length >= month.length);
  const formatted = isComplete ? `${month}/${shown}` : month;
  if (isAtEnd) return { text: formatted, caret: formatted.length };
  const left = digitsOf(text.slice(0, caret)).length;
  const isPadded = left > 0 && !digitsOf(text).startsWith(month);
  return { text: formatted, caret: placeAfter(formatted, isPadded ? left + 1 : left) };
}

export interface Expiry {
  month: string;
  year: string;
}

// Two digits each; null while it is not complete.
export function readExpiry(text: string): Expiry | null {
  const { month, year } = partsOf(text);
  const isYear = /^[0-9]{2}$/.test(year) || /^20[0-9]{2}$/.test(year);
  if (!/^(0[1-9]|1[0-2])$/.test(month) || !isYear) return null;
  return { month, year: year.slice(-2) };
}

export type ExpiryProblem = "required" | "expiryIncomplete" | "expiryPast" | "expiryFar";

export function expiryProblem(text: string, now: Date): ExpiryProblem | null {
  if (text.trim() === "") return "required";
  const expiry = readExpiry(text);
  if (!expiry) return "expiryIncomplete";
  const months = (2000 + Number(expiry.year)) * 12 + Number(expiry.month) - 1;
  const thisMonth = now.getFullYear() * 12 + now.getMonth();
  if (months < thisMonth) return "expiryPast"; // a card is good to the end of its month
  return months > thisMonth + YEARS_AHEAD_MAX * 12 ? "expiryFar" : null;
}
