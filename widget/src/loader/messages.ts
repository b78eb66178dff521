// Checks everything that comes from the frame: what has not the form the protocol says is dropped.

import type { DialogTexts, PaymentError, Target, ToPage } from "../protocol";
import { VERSION } from "../protocol";
import { TARGETS } from "./options";

type Table = Record<string, unknown>;

const HEIGHT_MAX = 4000;
const DIALOG_TEXTS = ["title", "close", "leaveQuestion", "stay", "leave"] as const;

function isTable(value: unknown): value is Table {
  return typeof value === "object" && value !== null;
}

function hasStrings(value: unknown, names: readonly string[]): value is Record<string, string> {
  return isTable(value) && names.every((name) => typeof value[name] === "string");
}

export function isHello(data: unknown): boolean {
  return isTable(data) && data.tollhouse === "hello" && data.version === VERSION;
}

export function isLeave(data: unknown): boolean {
  return isTable(data) && data.tollhouse === "leave";
}

// Only these schemes: a `javascript:` address would run in the merchant's page.
export function isWebUrl(value: unknown): value is string {
  if (typeof value !== "string") return false;
  try {
    return ["http:", "https:"].includes(new URL(value).protocol);
  } catch {
    return false;
  }
}

function pick<Name extends string>(from: Record<string, string>, names: readonly Name[]): Record<Name, string> {
  return Object.fromEntries(names.map((name) => [name, from[name]])) as Record<Name, string>;
}

function readAction(data: Table): ToPage | null {
  const { url, target, texts, language, direction } = data;
  if (!isWebUrl(url) || !TARGETS.includes(target as string) || !hasStrings(texts, DIALOG_TEXTS)) return null;
  if (typeof language !== "string") return null;
  if (direction !== "ltr" && direction !== "rtl") return null;
  const words: DialogTexts = pick(texts, DIALOG_TEXTS);
  return { type: "action", url, target: target as Target, texts: words, language, direction };
}

function readError(value: unknown): PaymentError | null {
  const names = ["code", "description", "message"] as const;
  return hasStrings(value, names) ? pick(value, names) : null;
}

// A return address that cannot be used is left out: how the payment ended is told all the same.
function returnUrl(data: Table): { returnUrl?: string } {
  return isWebUrl(data.returnUrl) ? { returnUrl: data.returnUrl } : {};
}

export function readMessage(data: unknown): ToPage | null {
  if (!isTable(data)) return null;
  switch (data.type) {
    case "ready":
      return typeof data.title === "string" ? { type: "ready", title: data.title } : null;
    case "started":
    case "action-over":
      return { type: data.type };
    case "height": {
      const height = data.height;
      const fits = typeof height === "number" && height >= 0 && height <= HEIGHT_MAX;
      return fits ? { type: "height", height } : null;
    }
    case "action":
      return readAction(data);
    case "succeeded":
      return { type: "succeeded", ...returnUrl(data) };
    case "failed": {
      const error = readError(data.error);
      return error && { type: "failed", error, ...returnUrl(data) };
    }
    default:
      return null;
  }
}
