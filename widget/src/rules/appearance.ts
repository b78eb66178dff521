// What merchants may change about the look of a form that stands in a frame of ours: a list of what may be said, and
// nothing else. No rule can hide, move, cover or load anything, or make a text unreadably small.

import type { Appearance, Theme } from "../protocol";

export interface Look {
  theme: Theme;
  variables: ReadonlyMap<string, string>; // custom property and value
  rules: ReadonlyMap<string, ReadonlyMap<string, string>>; // selector of ours, property, value
  refused: readonly string[]; // what and why, for the merchant's console
}

type Check = (value: string) => boolean;

const VALUE_LENGTH_MAX = 200;
// Functions that load or compute from outside, ends of a declaration, and escapes that could spell either.
const FORBIDDEN = /url\s*\(|image|element\s*\(|src\s*\(|attr\s*\(|env\s*\(|var\s*\(|expression|@|[;{}\\<>]|\/\*|!/i;
const COLOUR =
  /^(#[0-9a-f]{3,8}|[a-z]{3,30}|(rgb|rgba|hsl|hsla|hwb)\([0-9a-z\s.,%/+-]{1,80}\))$/i;
// In pixels only: other units are measured by something that another rule may have changed.
const LENGTH = /^(0|[0-9]{1,3}(\.[0-9]{1,3})?px)$/;
const FONT_FAMILY = /^[\p{L}0-9 ,'"_-]{1,200}$/u;
// Further, or more of them, could be painted over what stands beside: a label is four pixels above its input.
const SHADOW_REACH_MAX = 4;
const SHADOW_BLUR_MAX = 12;
const SHADOWS_MAX = 3;
const TRANSITION_MS_MAX = 1000; // how a text looks in the end can be judged only then

const isColour: Check = (value) => COLOUR.test(value) && !/^(transparent|currentcolor|inherit|initial|unset|revert)$/i.test(value);
// A colour that cannot be seen through: one with an alpha part could hide what is written.
const isSolid: Check = (value) =>
  isColour(value) && !/^#([0-9a-f]{4}|[0-9a-f]{8})$/i.test(value) && !/^(rgba|hsla)|\//i.test(value) && !/\((.*,){3}/.test(value);

function lengths(count: number, max: number): Check {
  return (value) => {
    const parts = value.trim().split(/\s+/);
    return parts.length <= count && parts.every((part) => LENGTH.test(part) && Number.parseFloat(part) <= max);
  };
}

const isFontSize: Check = (value) => LENGTH.test(value) && Number.parseFloat(value) >= 12 && Number.parseFloat(value) <= 32;
const isBorder: Check = (value) => {
  const match = /^(\S+)\s+(solid|dashed|dotted|double|none)(\s+(.+))?$/i.exec(value);
  return value === "none" || (match !== null && lengths(1, 10)(match[1] ?? "") && (!match[4] || isColour(match[4])));
};

// Two to four lengths: both offsets, the blur, the spread.
function isNear(lengths: readonly string[]): boolean {
  if (lengths.length < 2 || lengths.length > 4 || !lengths.every((length) => /^(-?[0-9]{0,2}\.?[0-9]{1,2}px|0)$/.test(length))) return false;
  const [x = 0, y = 0, blur = 0, spread = 0] = lengths.map((length) => Number.parseFloat(length));
  return Math.max(Math.abs(x), Math.abs(y)) + Math.max(spread, 0) <= SHADOW_REACH_MAX && blur <= SHADOW_BLUR_MAX;
}

// A few of: `inset`, lengths, a colour. Blanks and commas inside a colour's brackets divide nothing.
const isShadow: Check = (value) => {
  const shadows = value.split(/,(?![^(]*\))/).map((shadow) => shadow.trim().split(/\s+(?![^(]*\))/).filter((word) => word !== "inset"));
  const isWhole = (words: string[]): boolean => {
    const colours = words.filter((word) => !/^[-0-9]/.test(word));
    return isNear(words.filter((word) => /^[-0-9]/.test(word))) && colours.length <= 1 && colours.every((colour) => COLOUR.test(colour));
  };
  return value === "none" || (shadows.length <= SHADOWS_MAX && shadows.every(isWhole));
};

// Words, and times that are short.
const isTransition: Check = (value) =>
  value.split(/\s+/).every((word) => {
    const [, time, unit] = /^([0-9]*\.?[0-9]+)(ms|s)$/i.exec(word) ?? [];
    return time ? Number(time) * (unit?.toLowerCase() === "s" ? 1000 : 1) <= TRANSITION_MS_MAX : /^[a-z-]{1,40}$/i.test(word);
  });

const PROPERTIES: Record<string, Check> = {
  color: isSolid,
  "background-color": isSolid,
  "border-color": isColour,
  border: isBorder,
  "border-width": lengths(4, 10),
  "border-style": (value) => /^(solid|dashed|dotted|double|none)$/.test(value),
  "border-radius": lengths(4, 100),
  "box-shadow": isShadow,
  "outline-color": isSolid,
  "accent-color": isSolid,
  "font-family": (value) => FONT_FAMILY.test(value),
  "font-size": isFontSize,
  "font-style": (value) => /^(normal|italic)$/.test(value),
  "font-weight": (value) => /^([1-9]00|normal|bold)$/.test(value),
  "letter-spacing": (value) => value === "normal" || lengths(1, 4)(value),
  "line-height": (value) => /^(normal|1(\.[0-9]{1,2})?|2)$/.test(value),
  padding: lengths(4, 40),
  "text-decoration": (value) => /^(none|underline)$/.test(value),
  "text-transform": (value) => /^(none|uppercase|capitalize)$/.test(value),
  transition: isTransition,
};

// A merchant's class and the element of ours that it stands for.
const SELECTORS: Record<string, string> = {
  ".Form": ".form",
  ".Field": ".field",
  ".Label": ".label",
  ".Input": ".input",
  ".Input:focus": ".input:focus",
  ".Input--invalid": ".input[aria-invalid=true]",
  ".Error": ".error",
  ".Button": ".button",
  ".Button:hover": ".button:hover",
  ".Button:focus": ".button:focus-visible",
  ".Button:disabled": ".button:disabled",
  ".Checkbox": ".checkbox",
  ".Terms": ".terms",
  ".Summary": ".summary",
  ".Message": ".message",
};

const VARIABLES: Record<string, [string, Check]> = {
  colorPrimary: ["--primary", isSolid],
  colorOnPrimary: ["--on-primary", isSolid],
  colorBackground: ["--background", isSolid],
  colorText: ["--text", isSolid],
  colorMuted: ["--muted", isSolid],
  colorDanger: ["--danger", isSolid],
  colorBorder: ["--border", isSolid],
  fontFamily: ["--font", (value) => FONT_FAMILY.test(value)],
  fontSize: ["--size", isFontSize],
  borderRadius: ["--radius", lengths(1, 40)],
  spacing: ["--space", lengths(1, 32)],
};

export const ALLOWED = {
  properties: Object.keys(PROPERTIES),
  selectors: Object.keys(SELECTORS),
  variables: Object.keys(VARIABLES),
};

function hyphenated(property: string): string {
  return property.trim().replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}

function isHarmless(value: string): boolean {
  return value.length <= VALUE_LENGTH_MAX && !FORBIDDEN.test(value);
}

export function readLook({ theme = "auto", variables = {}, rules = {} }: Appearance): Look {
  const refused: string[] = [];
  const chosen = new Map<string, string>();
  for (const [name, value] of Object.entries(variables)) {
    const known = Object.hasOwn(VARIABLES, name) ? VARIABLES[name] : undefined;
    if (!known) refused.push(`variable ${name}: there is no such variable`);
    else if (!isHarmless(value) || !known[1](value.trim())) refused.push(`variable ${name}: this value is not allowed`);
    else chosen.set(known[0], value.trim());
  }
  const read = new Map<string, ReadonlyMap<string, string>>();
  for (const [name, declarations] of Object.entries(rules)) {
    const selector = Object.hasOwn(SELECTORS, name) ? SELECTORS[name] : undefined;
    if (selector) read.set(selector, readRule(name, declarations, refused));
    else refused.push(`rule ${name}: there is no such class`);
  }
  return { theme, variables: chosen, rules: read, refused };
}

function readRule(name: string, declarations: Record<string, string>, refused: string[]): Map<string, string> {
  const kept = new Map<string, string>();
  for (const [written, value] of Object.entries(declarations)) {
    const property = hyphenated(written);
    const check = Object.hasOwn(PROPERTIES, property) ? PROPERTIES[property] : undefined;
    if (!check) refused.push(`rule ${name}: the property ${property} is not allowed`);
    else if (!isHarmless(value) || !check(value.trim())) refused.push(`rule ${name}: this ${property} is not allowed`);
    else kept.set(property, value.trim());
  }
  return kept;
}
