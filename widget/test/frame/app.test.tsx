// What stands beside and instead of the form at each stage, and that nothing typed outlives its use.

import { describe, expect, it, test } from "vitest";

import { drawn } from "./drawn";
import { TEXTS, info, settle, state } from "./gateway";

describe("the screen", () => {
  test.each([
    ["confirming", "waiting", TEXTS.waiting],
    ["processing", "processing", TEXTS.processing],
    ["action", "action", TEXTS.action],
    ["succeeded", "succeeded", TEXTS.succeeded],
    ["failed", "declined", TEXTS.failedFunds],
  ] as const)("of the server's %s says so to everybody, and has no form", async (said, stage, text) => {
    const form = await drawn({ pay: [said] });
    await form.fill();
    await form.press();
    expect(form.stage).toBe(stage);
    const status = form.get("status");
    expect(status.getAttribute("role")).toBe("status");
    expect(status.textContent).toContain(text);
    expect(form.place.querySelector("form, input")).toBeNull();
  });

  it("before the first answer says that it loads", async () => {
    const form = await drawn({ form: [] });
    expect([form.stage, form.get("status").textContent]).toEqual(["loading", TEXTS.loading]);
  });

  it("takes the focus along when the form goes", async () => {
    const form = await drawn({ pay: ["processing"] });
    await form.fill();
    form.input("code").focus();
    await form.press();
    expect(document.activeElement).toBe(form.get("status"));
  });

  it("of a form that is over sends the payer to the shop", async () => {
    const form = await drawn({ form: ["invalid"] });
    expect(form.get("status").textContent).toBe(TEXTS.expired + TEXTS.expiredText);
  });

  it("of a payment that fails says that another one is begun in the shop", async () => {
    const form = await drawn({ form: [info("failed", { state: state("failed", { error: { code: "confirm_timeout", description: "x" } }) })] });
    expect(form.get("status").textContent).toContain(`${TEXTS.failedTimeout} ${TEXTS.failedAgain}`);
    expect(form.get("status").textContent).not.toContain("undefined");
  });

  it("of a payment that another window began says so until its end", async () => {
    const form = await drawn({ form: [info("processing")] });
    expect(form.get("status").textContent).toContain(TEXTS.elsewhere);
    const ended = await drawn({ form: [info("succeeded")] });
    expect(ended.get("status").textContent).not.toContain(TEXTS.elsewhere);
  });
});

describe("the bank's check", () => {
  it("in the dialog says where it is, and once left offers the way back", async () => {
    const form = await drawn({ pay: ["action"] }, { options: { target: "modal" } });
    await form.fill();
    await form.press();
    expect(form.get("status").textContent).toContain(TEXTS.actionHere);
    expect(form.find("action-open")).toBeNull();
    form.played.payment.actionLeft();
    expect(form.get("status").textContent).toContain(TEXTS.actionLeft);
    expect(form.get("status").textContent).toContain("Minutes left: 10");
    form.get("action-open").click();
    expect(form.played.types.filter((type) => type === "action")).toHaveLength(2);
    expect(form.find("action-open")).toBeNull();
  });

  it("that a browser blocked is opened by the payer's click", async () => {
    const form = await drawn({ pay: ["action"] }, { options: { target: "_blank" } });
    await form.fill();
    await form.press();
    form.played.payment.actionOpened(false);
    expect(form.get("status").textContent).toContain(TEXTS.actionBlocked);
    expect(form.get("action-open").textContent).toBe(TEXTS.actionOpen);
  });

  it("after a reload waits for the payer's click", async () => {
    const form = await drawn({ form: [info("action")] });
    expect(form.played.types).toEqual(["ready"]);
    form.get("action-open").click();
    expect(form.played.types).toEqual(["ready", "action"]);
  });
});

describe("without a connection", () => {
  it("before the form is there, the payer may ask anew", async () => {
    const form = await drawn({ form: ["lost"] });
    expect([form.stage, form.get("retry").textContent]).toEqual(["offline", TEXTS.tryAgain]);
    expect(form.get("status").textContent).toContain(TEXTS.offlineText);
  });

  it("after sending, the form is hidden but keeps what was typed until it is sure that nothing began", async () => {
    const form = await drawn({ pay: ["lost"], stream: [["ready"], ["ready"]] });
    await form.fill();
    await form.press();
    expect(form.stage).toBe("offline");
    expect(form.place.querySelector("form")!.hidden).toBe(true);
    form.played.gateway.script.stream.push(["ready"]);
    form.get("retry").click();
    await settle();
    expect(form.stage).toBe("ready");
    expect(form.place.querySelector("form")!.hidden).toBe(false);
    expect(["number", "expiry", "code", "holder"].map((name) => form.input(name).value)).toEqual(["4242 4242 4242 4242", "08/31", "417", "Kai Muster"]);
    expect(form.get("status").textContent).toContain(TEXTS.offlineText);
  });

  it("while the payment runs, there is no form to send it again", async () => {
    const form = await drawn({ pay: ["processing"], stream: [["lost"]] });
    await form.fill();
    await form.press();
    expect(form.stage).toBe("offline");
    expect(form.place.querySelector("form")?.hidden ?? true).toBe(true);
    expect(form.place.innerHTML).not.toContain("4242");
  });
});

describe("what was typed", () => {
  test.each(["succeeded", "failed", "processing", "confirming", "action"] as const)("is gone once the payment is %s", async (said) => {
    const form = await drawn({ pay: [said] });
    await form.fill();
    const inputs = [...form.place.querySelectorAll("input")];
    await form.press();
    for (const input of inputs) expect(input.isConnected).toBe(false);
    expect(form.place.innerHTML).not.toMatch(/4242|08\/31|417|Muster/);
    expect(JSON.stringify(form.played.told)).not.toMatch(/4242|417|Muster/);
  });

  it("does not come back with a form that stands there anew", async () => {
    const form = await drawn({ pay: ["processing"], stream: [["lost"]] });
    await form.fill();
    await form.press();
    for (const input of form.place.querySelectorAll("input")) expect(input.value).toBe("");
  });
});
