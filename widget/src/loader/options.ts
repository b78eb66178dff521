// Reads what the merchant's page passes. A mistake of a programmer is a TypeError that names the option; options we do
// not know are ignored, since they may be those of a newer form.

import type { Appearance, FormOptions, FormTexts, Target, Theme } from "../protocol";

export interface PaymentFormOptions {
  container: HTMLElement | string;
  isCvcMasked?: boolean;
  customerInteractionRedirect?: { target?: Target };
  texts?: { paymentForm?: FormTexts };
  appearance?: Appearance;
}

export type Settings = Omit<FormOptions, "pageScheme"> & { container: HTMLElement | string };

type Table = Record<string, unknown>;

export const TARGETS: readonly string[] = ["_top", "_self", "_parent", "_blank", "modal"];
const THEMES = ["auto", "light", "dark", "plain"];
const TEXTS = [
  "buttonPayLabel",
  "cardholderLabel",
  "cardNumberLabel",
  "cvvLabel",
  "expireDateLabel",
  "recurrentLabel",
  "termsAgreement",
  "termsUrl",
] as const;

function wrong(name: string, wanted: string): TypeError {
  return new TypeError(`Payment form: ${name} must be ${wanted}`);
}

// null counts as absent: template languages write it for what is not set.
function table(value: unknown, name: string): Table {
  if (value === undefined || value === null) return {};
  if (typeof value !== "object" || Array.isArray(value)) throw wrong(name, "an object");
  return value as Table;
}

function oneOf(value: unknown, choices: readonly string[], name: string): string | null {
  if (value === undefined || value === null) return null;
  if (!choices.includes(value as string)) throw wrong(name, `one of ${choices.join(", ")}`);
  return value as string;
}

// Copied value by value: a function or a node in it could not be sent to the frame.
function strings(value: unknown, name: string): Record<string, string> {
  const copy: Record<string, string> = {};
  for (const [key, text] of Object.entries(table(value, name))) {
    if (typeof text !== "string") throw wrong(`${name}[${JSON.stringify(key)}]`, "a string");
    copy[key] = text;
  }
  return copy;
}

function readTexts(value: unknown): FormTexts {
  const name = "texts.paymentForm";
  const given = table(table(value, "texts").paymentForm, name);
  const texts: FormTexts = {};
  for (const key of TEXTS) {
    const text = given[key];
    if (text === undefined || text === null) continue;
    if (typeof text !== "string") throw wrong(`${name}.${key}`, "a string");
    texts[key] = text;
  }
  return texts;
}

export function readAppearance(value: unknown): Appearance {
  const given = table(value, "appearance");
  const appearance: Appearance = {};
  const theme = oneOf(given.theme, THEMES, "appearance.theme");
  if (theme !== null) appearance.theme = theme as Theme;
  if (given.variables) appearance.variables = strings(given.variables, "appearance.variables");
  if (given.rules) {
    appearance.rules = {};
    for (const [selector, rule] of Object.entries(table(given.rules, "appearance.rules"))) {
      appearance.rules[selector] = strings(rule, `appearance.rules[${JSON.stringify(selector)}]`);
    }
  }
  return appearance;
}

function readContainer(value: unknown): HTMLElement | string {
  if (typeof value === "string" && value !== "") return value;
  // By its kind, not by instanceof: the element may come from another window's realm.
  if (typeof value === "object" && value !== null && (value as Node).nodeType === 1) return value as HTMLElement;
  throw wrong("container", "an element or a CSS selector");
}

export function readOptions(value: unknown): Settings {
  const given = table(value, "options");
  const masked = given.isCvcMasked ?? false;
  if (typeof masked !== "boolean") throw wrong("isCvcMasked", "true or false");
  const redirect = "customerInteractionRedirect";
  const target = oneOf(table(given[redirect], redirect).target, TARGETS, `${redirect}.target`);
  return {
    container: readContainer(given.container),
    isCvcMasked: masked,
    target: target as Target | null,
    texts: readTexts(given.texts),
    appearance: readAppearance(given.appearance),
  };
}

// Looked up when the form is drawn: the script may run before the element is there.
export function findContainer(container: HTMLElement | string): HTMLElement {
  if (typeof container !== "string") return container;
  let found: HTMLElement | null = null;
  try {
    found = document.querySelector<HTMLElement>(container);
  } catch {
    throw wrong("container", `a valid CSS selector, not ${JSON.stringify(container)}`);
  }
  if (!found) throw new TypeError(`Payment form: container ${JSON.stringify(container)} matches no element`);
  return found;
}
