// The frame's side of the handshake: it says that it is here, and takes one port from the page around it.

import type { Appearance, FormOptions, ToFrame } from "../protocol";
import { VERSION } from "../protocol";

export interface PageData {
  language: string;
  direction: "ltr" | "rtl";
  texts: Record<string, string>;
  origins: string[]; // who may frame this form; "*" is anybody
  isKnown: boolean;
}

export interface Begin {
  token: string;
  options: FormOptions;
}

type Table = Record<string, unknown>;

function isTable(value: unknown): value is Table {
  return typeof value === "object" && value !== null;
}

function isOpen(data: unknown): boolean {
  return isTable(data) && data.tollhouse === "open" && data.version === VERSION;
}

// Ours come with our own page as well, which shows the same form.
function isAllowed(origin: string, origins: readonly string[]): boolean {
  return origins.includes("*") || origins.includes(origin) || origin === location.origin;
}

// The first port from the page around this frame, of an origin that may show the form. Every other message is nothing.
export function takePort(origins: readonly string[], receive: (port: MessagePort) => void): void {
  const listen = (event: MessageEvent): void => {
    const [port] = event.ports;
    if (event.source !== window.parent || !isAllowed(event.origin, origins) || !isOpen(event.data) || !port) return;
    window.removeEventListener("message", listen);
    receive(port);
  };
  window.addEventListener("message", listen);
  const hello = { tollhouse: "hello", version: VERSION };
  const targets = origins.includes("*") ? ["*"] : [...new Set([...origins, location.origin])];
  // To a page of another origin the browser delivers nothing, and says so in its console: nobody is hurt by asking.
  for (const target of targets) if (mayBeParent(target)) window.parent.postMessage(hello, target);
}

// Where the browser tells who is around, only that one is greeted.
function mayBeParent(origin: string): boolean {
  const above = window.location.ancestorOrigins?.[0];
  return above === undefined || origin === "*" || above === origin;
}

function readTexts(value: unknown): FormOptions["texts"] {
  const entries = isTable(value) ? Object.entries(value).filter(([, text]) => typeof text === "string") : [];
  return Object.fromEntries(entries);
}

function readTables(value: unknown): Record<string, Record<string, string>> {
  if (!isTable(value)) return {};
  return Object.fromEntries(Object.entries(value).map(([name, table]) => [name, readTexts(table) as Record<string, string>]));
}

export function readAppearance(value: unknown): Appearance {
  if (!isTable(value)) return {};
  const theme = value.theme;
  const known = theme === "light" || theme === "dark" || theme === "plain" || theme === "auto";
  return {
    theme: known ? theme : "auto",
    variables: readTexts(value.variables) as Record<string, string>,
    rules: readTables(value.rules),
  };
}

const TARGETS: readonly unknown[] = ["_top", "_self", "_parent", "_blank", "modal"];

export function readMessage(data: unknown): ToFrame | null {
  if (!isTable(data)) return null;
  const pageScheme = data.pageScheme === "dark" ? "dark" : "light";
  switch (data.type) {
    case "begin": {
      const { token, options } = data;
      if (typeof token !== "string" || !/^[0-9a-f]{64}$/.test(token) || !isTable(options)) return null;
      const read: FormOptions = {
        isCvcMasked: options.isCvcMasked === true,
        target: TARGETS.includes(options.target) ? (options.target as FormOptions["target"]) : null,
        texts: readTexts(options.texts),
        appearance: readAppearance(options.appearance),
        pageScheme: options.pageScheme === "dark" ? "dark" : "light",
      };
      return { type: "begin", token, options: read };
    }
    case "appearance":
      return { type: "appearance", appearance: readAppearance(data.appearance), pageScheme };
    case "opened":
      return { type: "opened", isOpen: data.isOpen === true };
    case "closed":
      return { type: "closed" };
    default:
      return null;
  }
}
