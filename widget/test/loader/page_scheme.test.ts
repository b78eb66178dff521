// Light or dark: what the page declares, what the payer's system prefers.

import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";

import { pageScheme, watchScheme } from "../../src/loader/page_scheme";

const root = document.documentElement;
let preference: EventTarget & { matches: boolean };

beforeEach(() => {
  preference = Object.assign(new EventTarget(), { matches: false });
  vi.stubGlobal("matchMedia", () => preference);
});
afterEach(() => {
  root.removeAttribute("style");
  document.head.innerHTML = "";
  vi.unstubAllGlobals();
});

describe("the page's scheme", () => {
  it.each([
    ["", false, "light"],
    ["", true, "light"],
    ["normal", true, "light"],
    ["light", true, "light"],
    ["dark", false, "dark"],
    ["only dark", false, "dark"],
    ["light dark", false, "light"],
    ["light dark", true, "dark"],
    ["dark light", true, "dark"],
  ])("declared as '%s' with a system in the dark: %s, is %s", (declared, isDark, scheme) => {
    root.style.colorScheme = declared;
    preference.matches = isDark;
    expect(pageScheme(root)).toBe(scheme);
  });

  it("may be declared by the meta element", () => {
    document.head.innerHTML = '<meta name="color-scheme" content="light dark">';
    expect(pageScheme(root)).toBe("light");
    preference.matches = true;
    expect(pageScheme(root)).toBe("dark");
  });
});

describe("a change of the scheme", () => {
  it("is told when the system's preference changes, once for each change", () => {
    root.style.colorScheme = "light dark";
    const told: string[] = [];
    const end = watchScheme(root, (scheme) => told.push(scheme));
    for (const isDark of [true, true, false]) {
      preference.matches = isDark;
      preference.dispatchEvent(new Event("change"));
    }
    end();
    preference.matches = true;
    preference.dispatchEvent(new Event("change"));
    expect(told).toEqual(["dark", "light"]);
  });

  it("is told when the page switches by an attribute", async () => {
    const told: string[] = [];
    const end = watchScheme(root, (scheme) => told.push(scheme));
    root.style.colorScheme = "dark";
    root.setAttribute("data-theme", "dark");
    await vi.waitFor(() => expect(told).toEqual(["dark"]));
    end();
  });
});
