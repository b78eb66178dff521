// What the frame says by the port, and what the merchant's page sees of it.

import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";

import { tokenId } from "../../src/loader/token_id";
import { ACTION, HOST, Page, playFrames, settle } from "./page";

let page: Page;
const ERROR = { code: "insufficient_funds", description: "Not enough money", message: "Nicht genug Geld" };

beforeEach(async () => {
  playFrames();
  page = new Page();
});
afterEach(() => {
  page.form.destroy();
  vi.restoreAllMocks();
  vi.unstubAllGlobals();
});

// Records where the page would go, in order with the callbacks.
function recordNavigation(): void {
  vi.spyOn(window.location, "assign").mockImplementation((url) => void page.said.push(`go ${String(url)}`));
}

function recordWindows(opened: object | null): string[] {
  const urls: string[] = [];
  vi.spyOn(window, "open").mockImplementation((url, target) => {
    urls.push(`${String(url)} ${String(target)}`);
    return opened as Window | null;
  });
  return urls;
}

describe("callbacks", () => {
  it("come in the order of the payment, each once", async () => {
    await page.open();
    const ready = { type: "ready", title: "Paiement par carte" };
    await page.tell(ready, ready, { type: "started" }, { type: "started" });
    await page.tell({ type: "succeeded" }, { type: "succeeded" }, { type: "failed", error: ERROR });
    expect(page.said).toEqual(["ready", "start", "success"]);
    expect(page.frame.title).toBe(ready.title);
  });

  it("get the error with its code, its description and its message, and nothing else", async () => {
    await page.open();
    const errors: unknown[] = [];
    page.form.onPaymentFail = (error) => errors.push(error);
    await page.tell({ type: "failed", error: { ...ERROR, more: "x" } });
    expect(errors).toEqual([ERROR]);
  });

  it("may be absent", async () => {
    await page.open();
    Object.assign(page.form, { onReady: null, onPaymentStart: undefined, onPaymentSuccess: null });
    await page.tell({ type: "ready", title: "Paiement par carte" }, { type: "started" }, { type: "succeeded" });
    expect(page.said).toEqual([]);
  });

  it("come before the navigation", async () => {
    await page.open();
    recordNavigation();
    await page.tell({ type: "succeeded", returnUrl: "https://shop.example/done?session_id=1" });
    expect(page.said).toEqual(["success", "go https://shop.example/done?session_id=1"]);
  });

  it("that throw are reported, and the page still goes on", async () => {
    await page.open();
    recordNavigation();
    const reported: unknown[] = [];
    vi.stubGlobal("reportError", (error: unknown) => reported.push(error));
    const mistake = new Error("merchant's mistake");
    page.form.onReady = () => {
      throw mistake;
    };
    page.form.onPaymentFail = () => {
      throw mistake;
    };
    await page.tell({ type: "ready", title: "Paiement par carte" }, { type: "started" });
    await page.tell({ type: "failed", error: ERROR, returnUrl: "https://shop.example/failed" });
    expect(reported).toEqual([mistake, mistake]);
    expect(page.said).toEqual(["start", "go https://shop.example/failed"]);
  });

  it("that destroy the form do not keep the payer from the return address of the merchant's server", async () => {
    await page.open();
    recordNavigation();
    page.form.onPaymentSuccess = () => page.form.destroy();
    await page.tell({ type: "succeeded", returnUrl: "https://shop.example/done" });
    expect(page.said).toEqual(["go https://shop.example/done"]);
    expect(page.frame).toBeNull();
  });
});

describe("the end", () => {
  it("leaves the frame where it is: it shows how the payment ended", async () => {
    await page.open();
    await page.tell({ type: "failed", error: ERROR });
    expect(page.frame).not.toBeNull();
  });

  it.each(["javascript:alert(1)", "data:text/html,x", "//shop.example/", "/done", "", 7, null])(
    "does not go to %s",
    async (returnUrl) => {
      await page.open();
      recordNavigation();
      await page.tell({ type: "succeeded", returnUrl });
      expect(page.said).toEqual(["success"]);
    },
  );
});

describe("the frame's height", () => {
  it.each([[0], [321.5], [4000]])("follows %s", async (height) => {
    await page.open();
    await page.tell({ type: "height", height });
    expect(page.frame.style.height).toBe(`${height}px`);
  });

  it.each([[-1], [4001], [Infinity], [NaN], ["300"], [null], [{}]])("does not follow %s", async (height) => {
    await page.open();
    await page.tell({ type: "height", height: 300 }, { type: "height", height });
    expect(page.frame.style.height).toBe("300px");
  });
});

describe("3-D Secure in a window", () => {
  it.each(["_top", "_self", "_parent"] as const)("opens in %s and says so", async (target) => {
    const urls = recordWindows(window);
    await page.open();
    await page.tell({ ...ACTION, target });
    expect(urls).toEqual([`${HOST}/3ds/link ${target}`]);
    expect(page.heard.at(-1)).toEqual({ type: "opened", isOpen: true });
  });

  it("opens in a new window that cannot reach this one", async () => {
    const opened = { opener: window };
    recordWindows(opened);
    await page.open();
    await page.tell({ ...ACTION, target: "_blank" });
    expect(opened.opener).toBeNull();
    expect(page.heard.at(-1)).toEqual({ type: "opened", isOpen: true });
  });

  it("takes the whole window where the browser has no such dialogs", async () => {
    const urls = recordWindows(window);
    vi.stubGlobal("reportError", () => undefined);
    vi.stubGlobal("CSSStyleSheet", undefined);
    await page.open();
    await page.tell(ACTION);
    expect(urls).toEqual([`${HOST}/3ds/link _top`]);
    expect(page.heard.at(-1)).toEqual({ type: "opened", isOpen: true });
  });

  it("says when the browser blocked it", async () => {
    recordWindows(null);
    await page.open();
    await page.tell({ ...ACTION, target: "_blank" });
    expect(page.heard.at(-1)).toEqual({ type: "opened", isOpen: false });
  });

  it.each([
    [{ url: "javascript:alert(1)" }],
    [{ url: "/3ds/link" }],
    [{ target: "frame-of-the-page" }],
    [{ target: "modal", texts: null }],
    [{ language: 7 }],
    [{ direction: "up" }],
  ])("opens nothing for %o", async (change) => {
    const urls = recordWindows(window);
    await page.open();
    await page.tell({ ...ACTION, target: "_self", ...change });
    expect(urls).toEqual([]);
    expect(document.querySelectorAll("body > div")).toHaveLength(1);
  });
});

describe("update", () => {
  it("sends the new appearance to the frame", async () => {
    await page.open();
    page.form.update({ appearance: { theme: "dark" } });
    await settle();
    expect(page.heard.at(-1)).toEqual({ type: "appearance", appearance: { theme: "dark" }, pageScheme: "light" });
  });

  it("counts before the frame is there", async () => {
    page.make({ appearance: { theme: "light" } });
    page.form.update({ appearance: { theme: "plain" } });
    page.form.render();
    await page.drawn();
    page.hello();
    page.takePort();
    await settle();
    expect(page.heard).toMatchObject([{ type: "begin", options: { appearance: { theme: "plain" } } }]);
  });

  it("refuses a wrong appearance and changes nothing without one", async () => {
    await page.open();
    expect(() => page.form.update({ appearance: { theme: "night" as never } })).toThrow("appearance.theme must be");
    page.form.update({});
    await settle();
    expect(page.heard).toHaveLength(1);
  });
});

describe("destroy", () => {
  it("removes the frame and the dialog, and silences the callbacks", async () => {
    await page.open();
    await page.tell(ACTION);
    page.form.destroy();
    expect(document.body.innerHTML).toBe('<div id="smgl-payment-form"></div>');
    await page.tell({ type: "ready", title: "Paiement par carte" }, { type: "succeeded", returnUrl: "https://shop.example/" });
    page.form.update({ appearance: { theme: "dark" } });
    expect(page.said).toEqual([]);
  });

  it("right after render puts nothing into the page", async () => {
    page.make().render();
    page.form.destroy();
    await tokenId("the form's own is counted before this one");
    await settle();
    expect(page.frame).toBeNull();
    expect(page.said).toEqual([]);
  });

  it("twice, or before render, is fine", () => {
    page.make().destroy();
    page.form.destroy();
  });

  it("leaves what else is in the container", async () => {
    page.container.append("loading");
    await page.open();
    page.form.destroy();
    expect(page.container.textContent).toBe("loading");
  });
});
