// The dialog over the page: what the payer hears and presses, and that nobody else can close it.

import { afterEach, beforeEach, describe, expect, it } from "vitest";

import { ACTION, HOST, Page, playFrames, say, settle, windowOf } from "./page";

let page: Page;

beforeEach(async () => {
  playFrames();
  page = new Page();
  await page.open();
  await page.tell(ACTION);
});
afterEach(() => page.form.destroy());

function inDialog<Kind extends HTMLElement>(id: string): Kind {
  return document.querySelector("body > div:not([id])")!.shadowRoot!.querySelector<Kind>(`[data-testid=dialog-${id}]`)!;
}

const dialog = () => inDialog("frame").closest("dialog")!;
const isAsking = () => !inDialog("question").hidden;
const focused = () => (dialog().getRootNode() as ShadowRoot).activeElement;
const isThere = () => document.querySelector("body > div:not([id])") !== null;

function pressEscape(): Event {
  const event = new Event("cancel", { cancelable: true });
  dialog().dispatchEvent(event);
  return event;
}

describe("the dialog", () => {
  it("is modal, named, in the payer's language, and the form hears that it is open", () => {
    expect(dialog().open).toBe(true);
    expect(dialog().getAttribute("aria-label")).toBe("3-D Secure");
    expect([dialog().lang, dialog().dir]).toEqual(["de", "ltr"]);
    expect(inDialog("close").getAttribute("aria-label")).toBe("Close");
    expect(page.heard.at(-1)).toEqual({ type: "opened", isOpen: true });
  });

  it("frames the payer's page, told that it is in a dialog, in a sandbox", () => {
    const frame = inDialog<HTMLIFrameElement>("frame");
    expect(frame.src).toBe(`${HOST}/3ds/link?in=dialog`);
    expect(frame.getAttribute("sandbox")).toBe("allow-scripts allow-same-origin allow-forms");
    expect(frame.getAttribute("allow")).toBe("publickey-credentials-get *");
    expect(frame.title).toBe("3-D Secure");
  });

  it("has the focus at first", () => {
    expect(focused()).toBe(inDialog("close"));
  });

  it("keeps the Tab key inside, in both directions", () => {
    const [first, last] = dialog().querySelectorAll<HTMLElement>("span");
    last!.focus();
    expect(focused()).toBe(inDialog("close"));
    first!.focus();
    expect(focused()).toBe(inDialog("frame"));
    inDialog("close").click();
    inDialog("close").focus();
    first!.focus();
    expect(focused()).toBe(inDialog("leave"));
  });

  it("takes texts as text", async () => {
    const texts = { ...ACTION.texts, title: "<img src=x onerror=alert(1)>", leaveQuestion: "<b>Leave?</b>" };
    await page.tell({ ...ACTION, texts });
    expect(dialog().querySelector("img, b")).toBeNull();
    expect(dialog().textContent).toContain("<b>Leave?</b>");
  });

  it("goes when the frame says the action is over, and the focus is back at the form", async () => {
    await page.tell({ type: "action-over" });
    expect(isThere()).toBe(false);
    expect(document.activeElement).toBe(page.frame);
    expect(page.heard.map(({ type }) => type)).not.toContain("closed");
  });

  it("goes at the end of the payment", async () => {
    await page.tell({ type: "succeeded" });
    expect(isThere()).toBe(false);
    expect(page.said).toEqual(["success"]);
  });

  it("is replaced by that of another action", async () => {
    await page.tell({ ...ACTION, url: `${HOST}/3ds/other` });
    expect(document.querySelectorAll("body > div:not([id])")).toHaveLength(1);
    expect(inDialog<HTMLIFrameElement>("frame").src).toBe(`${HOST}/3ds/other?in=dialog`);
  });
});

describe("leaving", () => {
  it("is asked about when Escape is pressed, and does not happen by itself", () => {
    expect(pressEscape().defaultPrevented).toBe(true);
    expect(isAsking()).toBe(true);
    expect(dialog().open).toBe(true);
    expect(inDialog("frame").hasAttribute("inert")).toBe(true);
    expect(focused()).toBe(inDialog("stay"));
  });

  it("is asked about by the close button and by Escape in the payer's page", () => {
    inDialog("close").click();
    expect(isAsking()).toBe(true);
    inDialog("stay").click();
    expect(isAsking()).toBe(false);
    say(windowOf(inDialog("frame")), HOST, { tollhouse: "leave" });
    expect(isAsking()).toBe(true);
  });

  it("is asked about when the browser closed the dialog by itself", async () => {
    dialog().close();
    await settle();
    expect(dialog().open).toBe(true);
    expect(isAsking()).toBe(true);
  });

  it("does not happen when the payer stays, by the button or by Escape at the question", () => {
    pressEscape();
    inDialog("stay").click();
    expect([isAsking(), dialog().open, inDialog("frame").hasAttribute("inert")]).toEqual([false, true, false]);
    pressEscape();
    pressEscape();
    expect([isAsking(), dialog().open]).toEqual([false, true]);
  });

  it("closes the dialog, tells the form, and gives the focus back", async () => {
    pressEscape();
    inDialog("leave").click();
    await settle();
    expect(isThere()).toBe(false);
    expect(page.heard.at(-1)).toEqual({ type: "closed" });
    expect(document.activeElement).toBe(page.frame);
    expect(page.said).toEqual([]);
  });

  it("may be taken back: the frame opens the dialog again", async () => {
    inDialog("close").click();
    inDialog("leave").click();
    await page.tell(ACTION);
    expect(dialog().open).toBe(true);
    expect(isAsking()).toBe(false);
  });

  it.each([
    ["another window", HOST, {}, { tollhouse: "leave" }],
    ["the form's frame", HOST, "form", { tollhouse: "leave" }],
    ["another origin", "https://acs.example", "dialog", { tollhouse: "leave" }],
    ["another word", HOST, "dialog", { tollhouse: "hello", version: 1 }],
  ])("is not asked about for %s", (_who, origin, who, data) => {
    const known: Record<string, unknown> = { form: windowOf(page.frame), dialog: windowOf(inDialog("frame")) };
    say(typeof who === "string" ? known[who] : who, origin, data);
    expect(isAsking()).toBe(false);
  });
});
