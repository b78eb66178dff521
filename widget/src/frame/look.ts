// Puts a checked appearance into the frame by constructed style sheets: our policy lets no text become a style.

import type { Appearance } from "../protocol";
import { readLook } from "../rules/appearance";
import type { Colour } from "../rules/contrast";
import { contrast, readColour } from "../rules/contrast";

const CONTRAST_MIN = 3;
const TEXTS = ".merchant, .amount, .label, .input, .button, .checkbox, .terms, .hint, .error, .summary, .title, .text";

const sheet = typeof CSSStyleSheet === "function" ? new CSSStyleSheet() : null;

// A payer must be able to read what they pay and what they type: a look that leaves a text hardly visible is taken away
// as a whole, whichever of its rules did it. True when it stays.
export function keepLegible(): boolean {
  if (!sheet || sheet.disabled || sheet.cssRules.length === 0) return true;
  if ([...document.querySelectorAll(TEXTS)].every(isLegible)) return true;
  sheet.disabled = true;
  console.warn(`Payment form: the appearance leaves a text with a contrast below ${CONTRAST_MIN}:1 and is not applied`);
  return false;
}

// Errors come and go, and what has the focus may look otherwise: whatever changes is judged anew.
export function stayLegible(place: Element): void {
  new MutationObserver(() => keepLegible()).observe(place, { subtree: true, childList: true, attributes: true });
  for (const name of ["focusin", "pointerover", "transitionend"]) place.addEventListener(name, keepLegible);
}

function isLegible(element: Element): boolean {
  const colour = readColour(getComputedStyle(element).color);
  return colour !== null && contrast(colour, backgroundOf(element)) >= CONTRAST_MIN;
}

function backgroundOf(element: Element | null): Colour {
  for (let one = element; one; one = one.parentElement) {
    const colour = readColour(getComputedStyle(one).backgroundColor);
    if (colour) return colour;
  }
  return [255, 255, 255];
}

export function applyLook(appearance: Appearance, pageScheme: "light" | "dark"): void {
  const look = readLook(appearance);
  const root = document.documentElement;
  root.dataset.theme = look.theme === "auto" ? pageScheme : look.theme;
  root.dataset.scheme = look.theme === "plain" ? pageScheme : root.dataset.theme;
  for (const refused of look.refused) console.warn(`Payment form: ${refused}`);
  if (!sheet) return;
  if (!document.adoptedStyleSheets.includes(sheet)) document.adoptedStyleSheets = [...document.adoptedStyleSheets, sheet];
  sheet.disabled = false;
  while (sheet.cssRules.length > 0) sheet.deleteRule(0);
  addRule(sheet, ":root[data-theme]", look.variables);
  for (const [selector, declarations] of look.rules) addRule(sheet, `.frame ${selector}`, declarations);
}

// By the object model: what a value holds can never end its declaration.
function addRule(into: CSSStyleSheet, selector: string, declarations: ReadonlyMap<string, string>): void {
  const rule = into.cssRules[into.insertRule(`${selector} {}`, into.cssRules.length)] as CSSStyleRule;
  for (const [property, value] of declarations) rule.style.setProperty(property, value);
}
