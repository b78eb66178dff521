// The fields for the security code and the name.

import { digitsOf } from "./digits";
import type { Card } from "./pan";

const HOLDER_LENGTH_MAX = 255;
const HOLDER_DIGITS_MAX = 6; // names have few; card numbers have many

export function editCode(text: string, card: Card): string {
  return digitsOf(text).slice(0, Math.max(...card.codeLengths));
}

export function codeProblem(code: string, card: Card): "required" | "codeIncomplete" | null {
  if (code === "") return "required";
  return card.codeLengths.includes(code.length) ? null : "codeIncomplete";
}

export function holderProblem(name: string): "holderWrong" | null {
  return name.length > HOLDER_LENGTH_MAX || digitsOf(name).length > HOLDER_DIGITS_MAX ? "holderWrong" : null;
}
