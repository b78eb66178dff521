// Words and amounts in the payer's language.

import type { Info } from "./state";

export type Texts = Readonly<Record<string, string>>;

// Digits and signs of an amount keep their order in languages that are written from right to left.
const LEFT_TO_RIGHT = "\u2066";
const END_OF_ISOLATE = "\u2069";

export function fill(text: string, values: Record<string, string | number>): string {
  return text.replace(/\{([a-z]+)\}/g, (whole, name: string) => (Object.hasOwn(values, name) ? String(values[name]) : whole));
}

// As text, so that nothing is rounded on the way.
function decimal(minor: number, exponent: number): string {
  if (exponent === 0) return String(minor);
  const digits = String(minor).padStart(exponent + 1, "0");
  return `${digits.slice(0, -exponent)}.${digits.slice(-exponent)}`;
}

export function amountText({ amount, currency, exponent }: Info, language: string): string {
  const number = decimal(amount, exponent);
  const digits = { minimumFractionDigits: exponent, maximumFractionDigits: exponent };
  let text = `${number} ${currency.toUpperCase()}`;
  try {
    const style = { style: "currency", currency: currency.toUpperCase(), ...digits } as const;
    text = new Intl.NumberFormat(`${language}-u-nu-latn`, style).format(number as unknown as number);
  } catch {
    text = `${number} ${currency.toUpperCase()}`; // a currency that the browser does not know
  }
  return `${LEFT_TO_RIGHT}${text}${END_OF_ISOLATE}`;
}

const FAILURES: Record<string, string> = {
  insufficient_funds: "failedFunds",
  bank_card_expired: "failedExpired",
  "3DS_error": "failedAuthentication",
  session_cancelled_by_partner: "failedCancelled",
  session_cancelled: "failedCancelled",
  confirm_timeout: "failedTimeout",
  action_timeout: "failedTimeout",
  capture_timeout: "failedTimeout",
};

export function failureText(texts: Texts, code: string): string {
  return texts[Object.hasOwn(FAILURES, code) ? (FAILURES[code] ?? "") : "failedText"] ?? "";
}

export interface Piece {
  text: string;
  isLink: boolean;
}

// `I agree to the {{#link}}terms{{/link}}` in pieces.
export function termsPieces(text: string): Piece[] {
  const match = /^([\s\S]*?)\{\{#link\}\}([\s\S]*?)\{\{\/link\}\}([\s\S]*)$/.exec(text);
  if (!match) return [{ text, isLink: false }];
  const [, before = "", link = "", after = ""] = match;
  return [
    { text: before, isLink: false },
    { text: link, isLink: true },
    { text: after, isLink: false },
  ].filter((piece) => piece.text !== "");
}

export function isWebAddress(text: string | undefined): text is string {
  return /^https?:\/\/[^\s<>"]+$/i.test(text ?? "");
}
