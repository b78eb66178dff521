// How the page and the frame find each other, and that nobody else gets in between.

import fc from "fast-check";
import { createHash } from "node:crypto";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";

import { tokenId } from "../../src/loader/token_id";
import { HOST, Page, TOKEN, playFrames, settle, windowOf } from "./page";

let page: Page;

beforeEach(() => {
  playFrames();
  page = new Page();
});
afterEach(() => {
  page.form?.destroy();
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

async function drawn(options = {}): Promise<void> {
  page.make(options).render();
  await page.drawn();
}

describe("the frame", () => {
  it("has the token's hash in its address, and the token nowhere", async () => {
    await drawn();
    const id = createHash("sha256").update(TOKEN).digest("hex");
    expect(page.frame.src).toBe(`${HOST}/widget/v1/frame/${id}`);
    expect(document.documentElement.outerHTML).not.toContain(TOKEN);
  });

  it("is sandboxed, sends no referrer, has a title and no rights", async () => {
    await drawn();
    expect(page.frame.getAttribute("sandbox")).toBe("allow-scripts allow-same-origin allow-forms");
    expect(page.frame.getAttribute("referrerpolicy")).toBe("no-referrer");
    expect(page.frame.title).toBe("Card payment");
    expect(page.frame.hasAttribute("allow")).toBe(false);
  });

  it("carries the hash of any text as SHA-256 in hex", async () => {
    await fc.assert(
      fc.asyncProperty(fc.string({ unit: "grapheme" }), async (text) => {
        expect(await tokenId(text)).toBe(createHash("sha256").update(text).digest("hex"));
      }),
    );
  });
});

describe("the handshake", () => {
  it("answers the frame's hello with a port to the host alone, then begins", async () => {
    await drawn({ isCvcMasked: true, texts: { paymentForm: { cvvLabel: "Code" } } });
    page.hello();
    page.takePort();
    await settle();
    const [posted, ...more] = windowOf(page.frame).posted;
    expect(more).toEqual([]);
    expect(posted).toMatchObject({ data: { tollhouse: "open", version: 1 }, origin: HOST });
    const options = { isCvcMasked: true, target: null, texts: { cvvLabel: "Code" }, appearance: {}, pageScheme: "light" };
    expect(page.heard).toEqual([{ type: "begin", token: TOKEN, options }]);
  });

  it.each([
    ["another origin", "https://evil.example", undefined, { tollhouse: "hello", version: 1 }],
    ["another port of the host", `${HOST}:8443`, undefined, { tollhouse: "hello", version: 1 }],
    ["another window", HOST, {}, { tollhouse: "hello", version: 1 }],
    ["no window", HOST, null, { tollhouse: "hello", version: 1 }],
    ["another version", HOST, undefined, { tollhouse: "hello", version: 2 }],
    ["another word", HOST, undefined, { tollhouse: "open", version: 1 }],
    ["text", HOST, undefined, "hello"],
    ["nothing", HOST, undefined, null],
  ])("hands no port to %s", async (_who, origin, source, data) => {
    await drawn();
    const event = new MessageEvent("message", { data, origin });
    Object.defineProperty(event, "source", { value: source === undefined ? windowOf(page.frame) : source });
    window.dispatchEvent(event);
    expect(windowOf(page.frame).posted).toEqual([]);
  });

  it("begins again on a new port when the frame was loaded anew, and no longer hears the old one", async () => {
    await page.open();
    const old = page.port!;
    page.hello();
    page.takePort();
    await settle();
    expect(page.heard.map(({ type }) => type)).toEqual(["begin", "begin"]);
    old.postMessage({ type: "succeeded" });
    await page.tell({ type: "ready", title: "Paiement par carte" });
    expect(page.said).toEqual(["ready"]);
  });

  it("tells success once, even when the frame was loaded anew and says it again", async () => {
    await page.open();
    await page.tell({ type: "succeeded" });
    page.hello();
    page.takePort();
    await page.tell({ type: "succeeded" });
    expect(page.said).toEqual(["success"]);
  });
});

describe("a form that cannot come", () => {
  it("fails with form_unreachable after 15 seconds without a hello, and takes the frame away", async () => {
    const complaint = vi.spyOn(console, "error").mockImplementation(() => undefined);
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    page.make().render();
    while (!page.frame) await settle();
    vi.advanceTimersByTime(14_999);
    expect(page.said).toEqual([]);
    vi.advanceTimersByTime(1);
    expect(page.said).toEqual(["fail form_unreachable"]);
    expect(page.frame).toBeNull();
    expect(complaint).toHaveBeenCalledOnce();
    complaint.mockRestore();
  });

  it("does not fail when the frame said hello in time", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    page.make().render();
    while (!page.frame) await settle();
    page.hello();
    vi.advanceTimersByTime(60_000);
    expect(page.said).toEqual([]);
  });

  it("fails with insecure_page where the browser gives no cryptography, and loads nothing", async () => {
    const complaint = vi.spyOn(console, "error").mockImplementation(() => undefined);
    vi.stubGlobal("crypto", {});
    page.make().render();
    expect(page.said).toEqual([]);
    await settle();
    expect(page.said).toEqual(["fail insecure_page"]);
    expect(page.frame).toBeNull();
    expect(complaint).toHaveBeenCalledOnce();
    complaint.mockRestore();
  });
});
