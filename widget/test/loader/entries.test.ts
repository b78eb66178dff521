// The two scripts a page may load, the custom element, and the hosted page.

import { beforeEach, describe, expect, it, vi } from "vitest";

import { defineElement } from "../../src/loader/element";
import { Form } from "../../src/loader/form";
import { start } from "../../src/hosted/start";
import { HOST, Page, TOKEN, playFrames, settle } from "./page";

let page: Page;

beforeEach(() => {
  playFrames();
  page = new Page();
  vi.resetModules();
});

function loadedBy(src: string | null): void {
  const script = document.createElement("script");
  if (src) script.src = src;
  vi.spyOn(document, "currentScript", "get").mockReturnValue(script);
}

describe("payment-form.js", () => {
  it("defines SmglPaymentForm at once, for the host it came from", async () => {
    loadedBy(`${HOST}/widget/0123456789ab/payment-form.js`);
    await import("../../src/loader/payment-form");
    const { SmglPaymentForm } = window as unknown as { SmglPaymentForm: new (token: string, options: object) => Form };
    const form = new SmglPaymentForm(TOKEN, { container: "#smgl-payment-form" });
    form.render();
    expect((await page.drawn()).src.startsWith(`${HOST}/widget/v1/frame/`)).toBe(true);
    form.destroy();
  });

  it("says how it must be loaded when it cannot tell its host", async () => {
    loadedBy(null);
    await expect(import("../../src/loader/payment-form")).rejects.toThrow("must be loaded by a script element with src");
  });
});

describe("<tollhouse-payment-form>", () => {
  class PaymentForm extends Form {
    constructor(token: string, options: unknown) {
      super(HOST, token, options);
    }
  }
  defineElement(PaymentForm);
  defineElement(PaymentForm);

  async function element(attributes: string): Promise<HTMLElement> {
    page.container.innerHTML = `<tollhouse-payment-form ${attributes}></tollhouse-payment-form>`;
    if (attributes) await page.drawn();
    return page.container.firstElementChild as HTMLElement;
  }

  it("draws the form from its attributes and says its events", async () => {
    const drawn = await element(`token="${TOKEN}" theme="dark" target="modal" cvc-masked`);
    const said: unknown[] = [];
    for (const name of ["ready", "paymentstart", "paymentsuccess", "paymentfail"]) {
      drawn.addEventListener(name, (event) => said.push([name, (event as CustomEvent).detail]));
    }
    page.hello();
    page.takePort();
    await settle();
    const options = { isCvcMasked: true, target: "modal", appearance: { theme: "dark" } };
    expect(page.heard).toMatchObject([{ type: "begin", token: TOKEN, options }]);
    const error = { code: "a", description: "b", message: "c" };
    await page.tell({ type: "ready", title: "Paiement par carte" }, { type: "started" }, { type: "failed", error });
    expect(said).toEqual([["ready", null], ["paymentstart", null], ["paymentfail", error]]);
  });

  it("waits for its token and draws anew for another", async () => {
    const drawn = await element("");
    expect(page.frame).toBeNull();
    drawn.setAttribute("token", TOKEN);
    const first = (await page.drawn()).src;
    drawn.setAttribute("token", "cd".repeat(32));
    const second = (await page.drawn()).src;
    expect(drawn.querySelectorAll("iframe")).toHaveLength(1);
    expect(second).not.toBe(first);
  });

  it("changes its theme without losing what was typed", async () => {
    const drawn = await element(`token="${TOKEN}"`);
    const frame = page.frame;
    page.hello();
    page.takePort();
    drawn.setAttribute("theme", "plain");
    drawn.removeAttribute("theme");
    await settle();
    expect(page.frame).toBe(frame);
    expect(page.heard.slice(1)).toMatchObject([{ appearance: { theme: "plain" } }, { appearance: { theme: "auto" } }]);
  });

  it("takes the form away when it leaves the page", async () => {
    const drawn = await element(`token="${TOKEN}"`);
    drawn.remove();
    expect(drawn.querySelector("iframe")).toBeNull();
  });
});

describe("the hosted page", () => {
  class SmglPaymentForm extends Form {
    constructor(token: string, options: unknown) {
      super(HOST, token, options);
    }
  }

  function hosted(path: string, script: object = { SmglPaymentForm }): HTMLElement {
    document.body.innerHTML = '<div id="smgl-payment-form"></div><p id="hosted-problem" hidden></p>';
    Object.assign(page, { container: document.getElementById("smgl-payment-form") });
    start({ document, location: { pathname: path }, ...script } as never);
    return document.getElementById("hosted-problem")!;
  }

  it("draws the form of the token in its address; 3-D Secure takes its own place", async () => {
    const problem = hosted(`/pay/${TOKEN}`);
    await page.drawn();
    page.hello();
    page.takePort();
    await settle();
    expect(page.heard).toMatchObject([{ token: TOKEN, options: { target: "_self" } }]);
    expect(problem.hidden).toBe(true);
  });

  it.each([
    ["the token is none", "/pay/nothing", undefined],
    ["the loader was blocked", `/pay/${TOKEN}`, {}],
  ])("shows the server's words when %s", (_what, path, script) => {
    const complaint = vi.spyOn(console, "error").mockImplementation(() => undefined);
    expect(hosted(path, script).hidden).toBe(false);
    expect(page.container.hidden).toBe(true);
    complaint.mockRestore();
  });

  it("shows the server's words when the form cannot come", async () => {
    const complaint = vi.spyOn(console, "error").mockImplementation(() => undefined);
    vi.stubGlobal("crypto", {});
    const problem = hosted(`/pay/${TOKEN}`);
    await settle();
    vi.unstubAllGlobals();
    expect(problem.hidden).toBe(false);
    complaint.mockRestore();
  });

  it("leaves the words to a form that is there", async () => {
    const problem = hosted(`/pay/${TOKEN}`);
    await page.drawn();
    page.hello();
    page.takePort();
    await page.tell({ type: "failed", error: { code: "a", description: "b", message: "c" } });
    expect(problem.hidden).toBe(true);
    expect(page.container.hidden).toBe(false);
  });
});
