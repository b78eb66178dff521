// Puts a checked appearance into the frame by constructed style sheets: our policy lets no text become a style.

import type { Appearance } from "../protocol";
import { readLook } from "../rules/appearance";

const sheet = typeof CSSStyleSheet === "function" ? new CSSStyleSheet() : null;

export function applyLook(appearance: Appearance, pageScheme: "light" | "dark"): void {
  const look = readLook(appearance);
  const root = document.documentElement;
  root.dataset.theme = look.theme === "auto" ? pageScheme : look.theme;
  root.dataset.scheme = look.theme === "plain" ? pageScheme : root.dataset.theme;
  for (const refused of look.refused) console.warn(`Payment form: ${refused}`);
  if (!sheet) return;
  if (!document.adoptedStyleSheets.includes(sheet)) document.adoptedStyleSheets = [...document.adoptedStyleSheets, sheet];
  while (sheet.cssRules.length > 0) sheet.deleteRule(0);
  addRule(sheet, ":root[data-theme]", look.variables);
  for (const [selector, declarations] of look.rules) addRule(sheet, `.frame ${selector}`, declarations);
}

// By the object model: what a value holds can never end its declaration.
function addRule(into: CSSStyleSheet, selector: string, declarations: ReadonlyMap<string, string>): void {
  const rule = into.cssRules[into.insertRule(`${selector} {}`, into.cssRules.length)] as CSSStyleRule;
  for (const [property, value] of declarations) rule.style.setProperty(property, value);
}
