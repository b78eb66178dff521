// What a page may pass, and what the mistakes of a programmer are called.

import fc from "fast-check";
import { beforeEach, describe, expect, it } from "vitest";

import { Form } from "../../src/loader/form";
import { readOptions } from "../../src/loader/options";
import { HOST, Page, TOKEN, playFrames } from "./page";

let page: Page;

beforeEach(() => {
  playFrames();
  page = new Page();
});

describe("options", () => {
  it("have defaults", () => {
    expect(readOptions({ container: "#a" })).toEqual({
      container: "#a",
      isCvcMasked: false,
      target: null,
      texts: {},
      appearance: {},
    });
  });

  it("are read, and those we do not know are left out", () => {
    const texts = { buttonPayLabel: "Zahlen", termsAgreement: "{{#link}}AGB{{/link}}", unknown: 7 };
    const given = {
      container: page.container,
      isCvcMasked: true,
      customerInteractionRedirect: { target: "modal", more: 1 },
      texts: { paymentForm: texts, other: 1 },
      appearance: { theme: "dark", variables: { colorText: "#fff" }, rules: { ".Input": { color: "red" } }, x: 1 },
      unknown: () => undefined,
    };
    expect(readOptions(given)).toEqual({
      container: page.container,
      isCvcMasked: true,
      target: "modal",
      texts: { buttonPayLabel: "Zahlen", termsAgreement: "{{#link}}AGB{{/link}}" },
      appearance: { theme: "dark", variables: { colorText: "#fff" }, rules: { ".Input": { color: "red" } } },
    });
  });

  it("count null as absent, as templates write it", () => {
    const given = { isCvcMasked: null, customerInteractionRedirect: null, texts: { paymentForm: null }, appearance: null };
    expect(readOptions({ container: "#a", ...given })).toEqual(readOptions({ container: "#a" }));
  });

  it.each([
    ["container", {}],
    ["container", { container: "" }],
    ["container", { container: { nodeType: 3 } }],
    ["options", "#smgl-payment-form"],
    ["isCvcMasked", { container: "#a", isCvcMasked: "yes" }],
    ["customerInteractionRedirect.target", { container: "#a", customerInteractionRedirect: { target: "top" } }],
    ["customerInteractionRedirect", { container: "#a", customerInteractionRedirect: "_top" }],
    ["texts.paymentForm.cvvLabel", { container: "#a", texts: { paymentForm: { cvvLabel: 7 } } }],
    ["texts.paymentForm", { container: "#a", texts: { paymentForm: "Pay" } }],
    ["texts", { container: "#a", texts: "Pay" }],
    ["appearance.theme", { container: "#a", appearance: { theme: "night" } }],
    ['appearance.variables["spacing"]', { container: "#a", appearance: { variables: { spacing: 4 } } }],
    ['appearance.rules[".Input"]["color"]', { container: "#a", appearance: { rules: { ".Input": { color: null } } } }],
  ])("wrong in %s are a TypeError that names it", (name, given) => {
    expect(() => readOptions(given)).toThrow(TypeError);
    expect(() => readOptions(given)).toThrow(`Payment form: ${name} must be `);
  });

  it("of any shape are read or refused with a TypeError, and what is read can be sent to a frame", () => {
    const names = ["isCvcMasked", "customerInteractionRedirect", "texts", "appearance", "theme", "rules", "paymentForm"];
    const key = fc.oneof(fc.constantFrom(...names), fc.string());
    const { tree } = fc.letrec((tie) => ({
      tree: fc.oneof({ maxDepth: 4 }, fc.anything(), fc.func(fc.anything()), fc.dictionary(key, tie("tree"))),
    }));
    fc.assert(
      fc.property(tree, (given) => {
        try {
          structuredClone(readOptions({ ...(given as object), container: "#a" }));
        } catch (error) {
          expect(error).toBeInstanceOf(TypeError);
        }
      }),
    );
  });
});

describe("the constructor", () => {
  it.each([[undefined], [""], ["ab".repeat(31)], ["AB".repeat(32)], [`${TOKEN} `], [7]])("refuses token %s", (token) => {
    expect(() => new Form(HOST, token as string, { container: "#a" })).toThrow(/^Payment form: publicToken must be /);
  });

  it("does not repeat a wrong token, which may be a secret at the wrong place", () => {
    expect(() => new Form(HOST, "secret-key", { container: "#a" })).toThrow(expect.not.stringContaining("secret-key"));
  });
});

describe("render", () => {
  it("names a selector that matches nothing", () => {
    const form = new Form(HOST, TOKEN, { container: "#nowhere" });
    expect(() => form.render()).toThrow('container "#nowhere" matches no element');
  });

  it("names a selector that is none", () => {
    const form = new Form(HOST, TOKEN, { container: "###" });
    expect(() => form.render()).toThrow(TypeError);
    expect(() => form.render()).toThrow('container must be a valid CSS selector, not "###"');
  });

  it("may be repeated after such a mistake, once the element is there", () => {
    const form = new Form(HOST, TOKEN, { container: "#later" });
    expect(() => form.render()).toThrow(TypeError);
    page.container.id = "later";
    form.render();
    form.destroy();
  });

  it("works once", () => {
    const form = page.make({ container: "#smgl-payment-form" });
    form.render();
    expect(() => form.render()).toThrow("render() works once");
    form.destroy();
    expect(() => form.render()).toThrow("render() works once");
  });
});
