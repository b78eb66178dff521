// The form's fields: what they tell browsers and screen readers, when they find fault, and what they send.

import { describe, expect, it, test } from "vitest";

import { CallFailed } from "../../src/frame/client";
import { Drawn, drawn } from "./drawn";
import { TEXTS, info, settle } from "./gateway";

const FIELDS = ["number", "expiry", "code", "holder"] as const;

function labelOf(form: Drawn, name: string): string | undefined {
  return form.place.querySelector(`label[for=${name}]`)?.textContent;
}

describe("the fields", () => {
  test.each([
    ["number", "cc-number", "numeric", "ltr", TEXTS.number],
    ["expiry", "cc-exp", "numeric", "ltr", TEXTS.expiry],
    ["code", "cc-csc", "numeric", "ltr", TEXTS.code],
    ["holder", "cc-name", "text", "auto", `${TEXTS.holder} (${TEXTS.optional})`],
  ])("%s is filled in by browsers as %s, with a %s keyboard, and has its label", async (name, autocomplete, mode, direction, label) => {
    const form = await drawn();
    const input = form.input(name);
    expect([input.getAttribute("autocomplete"), input.getAttribute("inputmode"), input.dir, input.type]).toEqual([autocomplete, mode, direction, "text"]);
    expect(input.hasAttribute("pattern")).toBe(false);
    expect(input.required).toBe(name !== "holder");
    expect(labelOf(form, name)).toBe(label);
    expect(input.id).toBe(name);
  });

  it("are no longer completed once something stands in them: browsers write such fields into their session files", async () => {
    const form = await drawn();
    for (const [name, text] of [["number", "4"], ["expiry", "1"], ["code", "1"], ["holder", "K"]] as const) {
      const purpose = form.input(name).getAttribute("autocomplete");
      await form.type(name, text);
      expect(form.input(name).getAttribute("autocomplete"), name).toBe("off");
      await form.type(name, "");
      expect(form.input(name).getAttribute("autocomplete"), name).toBe(purpose);
    }
  });

  it("stand in the order in which a card is read, in one form, and take no digit for a long one", async () => {
    const form = await drawn();
    expect([...form.place.querySelectorAll("form input")].map((input) => input.id)).toEqual([...FIELDS]);
    for (const name of ["number", "expiry", "code"]) expect(form.input(name).hasAttribute("maxlength"), "a paste with blanks is longer").toBe(false);
  });

  it("have no style and no handler in their text: the policy forbids both", async () => {
    const form = await drawn({ form: [info("ready", { recurrent_checkbox: true })] });
    await form.press();
    for (const element of form.place.querySelectorAll("*")) {
      expect(element.hasAttribute("style")).toBe(false);
      expect([...element.attributes].filter(({ name }) => name.startsWith("on"))).toEqual([]);
    }
  });

  it("are named as the merchant wishes, by text alone", async () => {
    const texts = { cardNumberLabel: "<b>PAN</b>", expireDateLabel: "Until", cvvLabel: "CVV", cardholderLabel: "Holder", buttonPayLabel: "Buy now" };
    const form = await drawn({}, { options: { texts } });
    expect(FIELDS.map((name) => labelOf(form, name))).toEqual(["<b>PAN</b>", "Until", "CVV", `Holder (${TEXTS.optional})`]);
    expect(form.get("submit").textContent).toBe("Buy now");
    expect(form.place.querySelector("b")).toBeNull();
  });

  it("say what is paid and to whom", async () => {
    const form = await drawn({ form: [info("ready", { merchant: "<i>Shop</i>" })] });
    expect(form.get("submit").textContent).toBe("Pay \u2066€49.90\u2069");
    const bill = form.place.querySelector("header")!;
    expect(bill.textContent).toContain("<i>Shop</i>");
    expect(bill.textContent).toContain(TEXTS.testMode);
    expect(bill.querySelector("i")).toBeNull();
  });

  it("hide the security code where the merchant wishes, and no other", async () => {
    const form = await drawn({}, { options: { isCvcMasked: true } });
    const isHidden = (name: string) => form.input(name).type === "password" || form.input(name).classList.contains("masked");
    expect(FIELDS.filter(isHidden)).toEqual(["code"]);
    expect(form.input("code").inputMode).toBe("numeric");
  });

  it("show the brand once it is known, and ask for its code", async () => {
    const form = await drawn();
    const hint = () => form.place.querySelector("#code-hint")?.textContent;
    expect([form.get("brand").textContent, hint()]).toEqual(["", TEXTS.codeHint]);
    await form.type("number", "3782");
    expect([form.get("brand").textContent, hint()]).toEqual(["American Express", TEXTS.codeHintFront]);
    expect(form.input("code").getAttribute("aria-describedby")).toBe("code-hint");
  });

  it("group the PAN while it is typed, and leave the caret where the payer works", async () => {
    const form = await drawn();
    await form.type("number", "42424242");
    expect(form.input("number").value).toBe("4242 4242");
    await form.type("number", "42942 4242", { at: 3 });
    expect(form.input("number").value).toBe("4294 2424 2");
    expect(form.input("number").selectionStart).toBe(3);
    await form.type("number", "42942424 2", { at: 4, inputType: "deleteContentBackward" });
    expect([form.input("number").value, form.input("number").selectionStart]).toEqual(["4292 4242", 3]);
  });

  it("put what is not taken back in order, though the digits are as before", async () => {
    const form = await drawn();
    await form.type("number", "4242");
    await form.type("number", "4242x");
    expect(form.input("number").value).toBe("4242");
    await form.type("code", "417");
    await form.type("code", "417x");
    expect(form.input("code").value).toBe("417");
  });

  it("let the date be typed and taken back", async () => {
    const form = await drawn();
    await form.type("expiry", "08");
    expect(form.input("expiry").value).toBe("08/");
    await form.type("expiry", "08", { inputType: "deleteContentBackward" });
    expect(form.input("expiry").value).toBe("08");
  });

  it("never take the payer to the next one", async () => {
    const form = await drawn();
    for (const [name, value] of [["number", "4242424242424242"], ["expiry", "0831"], ["code", "417"]] as const) {
      await form.type(name, value);
      expect(document.activeElement?.id).toBe(name);
    }
  });
});

describe("an error", () => {
  it("waits until its field is left, and then stands beside it, for screen readers too", async () => {
    const form = await drawn();
    await form.type("number", "4242424242424241");
    expect(form.error("number")).toBeUndefined();
    await form.leave("number");
    expect(form.error("number")).toBe(TEXTS.numberWrong);
    const input = form.input("number");
    expect([input.getAttribute("aria-invalid"), input.getAttribute("aria-describedby")]).toEqual(["true", "number-error"]);
    expect(form.get("error-number").getAttribute("role")).toBe("alert");
    await form.type("number", "4242424242424242");
    expect(form.error("number")).toBeUndefined();
    expect(form.input("number").hasAttribute("aria-invalid")).toBe(false);
  });

  it("does not stand beside a field that was only passed", async () => {
    const form = await drawn();
    for (const name of FIELDS) await form.leave(name);
    expect(FIELDS.map((name) => form.error(name))).toEqual([undefined, undefined, undefined, undefined]);
  });

  test.each([
    ["number", "4242", TEXTS.numberIncomplete],
    ["expiry", "08", TEXTS.expiryIncomplete],
    ["expiry", "0820", TEXTS.expiryPast],
    ["expiry", "0899", TEXTS.expiryFar],
    ["code", "1", "The security code has 3/4 digits"],
    ["holder", "4242 4242 4242 4242", TEXTS.holderWrong],
  ])("of the field %s with %s is: %s", async (name, text, error) => {
    const form = await drawn();
    await form.type(name, text);
    await form.leave(name);
    expect(form.error(name)).toBe(error);
  });

  it("on submitting an empty form stands at each required field, and in a summary that has the focus", async () => {
    const form = await drawn();
    await form.press();
    expect(FIELDS.map((name) => form.error(name))).toEqual([TEXTS.required, TEXTS.required, TEXTS.required, undefined]);
    const summary = form.get("summary");
    expect(summary.getAttribute("role")).toBe("alert");
    expect(document.activeElement).toBe(summary);
    expect([...summary.querySelectorAll("a")].map((link) => link.textContent)).toEqual(
      [TEXTS.number, TEXTS.expiry, TEXTS.code].map((label) => `${label}: ${TEXTS.required}`),
    );
    expect(form.get("error-number").hasAttribute("role"), "the summary has said it").toBe(false);
    expect(form.played.gateway.paid).toEqual([]);
  });

  it("is reached from the summary by its link", async () => {
    const form = await drawn();
    await form.press();
    form.get("summary").querySelectorAll("a")[1]!.click();
    expect(document.activeElement?.id).toBe("expiry");
  });

  it("that is mended goes from the summary, and the focus returns there when the form is sent wrong again", async () => {
    const form = await drawn();
    await form.press();
    await form.type("number", "4242424242424242");
    expect(form.get("summary").querySelectorAll("a")).toHaveLength(2);
    await form.press();
    expect(document.activeElement).toBe(form.get("summary"));
  });

  it("of the server stands at its field until that is changed", async () => {
    const form = await drawn({ pay: [new CallFailed("refused", "card_number_does_not_exist")] });
    await form.fill();
    await form.press();
    expect(document.activeElement).toBe(form.get("summary"));
    expect([form.stage, form.error("number")]).toEqual(["ready", TEXTS.numberWrong]);
    expect(form.input("expiry").value, "what was typed is kept").toBe("08/31");
    await form.type("number", "5555555555554444");
    expect(form.error("number")).toBeUndefined();
  });
});

describe("submitting", () => {
  it("sends what was typed, and nothing that was not", async () => {
    const form = await drawn();
    await form.fill({ expiry: "8/2031", holder: "  " });
    await form.press();
    expect(form.played.gateway.paid).toEqual([
      { card: { number: "4242424242424242", expiration_month: "08", expiration_year: "31", security_code: "417" } },
    ]);
  });

  it("sends the name, and the wish to be remembered only if its box is ticked", async () => {
    const form = await drawn({ form: [info("ready", { recurrent_checkbox: true })] });
    const box = form.get<HTMLInputElement>("recurrent");
    expect(box.checked).toBe(false);
    await form.fill({ holder: " Kai Muster " });
    box.click();
    await settle();
    await form.press();
    expect(form.played.gateway.paid[0]).toMatchObject({ cardholder_name: "Kai Muster", recurrent: true });
  });

  it("does not send that wish without a tick", async () => {
    const form = await drawn({ form: [info("ready", { recurrent_checkbox: true })] });
    await form.fill();
    await form.press();
    expect(form.played.gateway.paid[0]).not.toHaveProperty("recurrent");
  });

  it("has no such box unless it was asked for", async () => {
    expect((await drawn()).find("recurrent")).toBeNull();
  });

  it("happens once, however often the button is pressed", async () => {
    const form = await drawn();
    await form.fill();
    await form.press(5);
    expect(form.played.gateway.paid).toHaveLength(1);
    expect(form.stage).toBe("paying");
    expect(form.place.querySelector("form")!.hidden).toBe(true);
  });

  it("that was refused for a wrong field can be done again", async () => {
    const form = await drawn({ pay: ["busy", "succeeded"] });
    await form.fill();
    await form.press();
    expect(form.get("status").textContent).toContain(TEXTS.notSent);
    await form.press();
    expect(form.stage).toBe("succeeded");
  });
});

describe("terms", () => {
  const options = (termsUrl?: string) => ({ texts: { termsAgreement: "I accept the {{#link}}terms{{/link}}.", ...(termsUrl === undefined ? {} : { termsUrl }) } });

  it("show their address, since the frame may open no window", async () => {
    const form = await drawn({}, { options: options("https://shop.example/terms") });
    expect(form.get("terms").textContent).toBe("I accept the terms (https://shop.example/terms).");
  });

  test.each([undefined, "javascript:alert(1)", "data:text/html,x"])("with the address %j are plain text", async (url) => {
    const form = await drawn({}, { options: options(url) });
    expect(form.get("terms").textContent).toBe("I accept the terms.");
    expect(form.place.innerHTML).not.toMatch(/javascript|data:/);
  });

  it("are not there unless the merchant has some", async () => expect((await drawn()).find("terms")).toBeNull());
});
