// One payment from the first look to its end, as the server's words and the payer's hand move it.

import { describe, expect, it, test } from "vitest";

import { CallFailed } from "../../src/frame/client";
import { INPUT, PAGE, TEXTS, info, loaded, state, submitted } from "./gateway";

describe("a payment", () => {
  it("goes from the form to its success, and says so once", async () => {
    const { stages, told, gateway } = await submitted({
      pay: ["confirming"],
      stream: [["confirming", "processing", "succeeded", "failed"]],
    });
    expect(stages).toEqual(["loading", "ready", "paying", "waiting", "processing", "succeeded"]);
    expect(told).toEqual([{ type: "ready", title: TEXTS.title }, { type: "started" }, { type: "succeeded" }]);
    expect(gateway.calls).toEqual(["form", "pay", "stream"]);
    expect(gateway.paid).toEqual([INPUT]);
  });

  it("that succeeds at once is started before it succeeds, and brings its return URL", async () => {
    const { told, gateway } = await submitted({ pay: [state("succeeded", { return_url: "https://shop.example/ok?session_id=ps_1" })] });
    expect(told.slice(1)).toEqual([{ type: "started" }, { type: "succeeded", returnUrl: "https://shop.example/ok?session_id=ps_1" }]);
    expect(gateway.calls).toEqual(["form", "pay"]);
  });

  it("that is declined says why, in English to the page and in the payer's words", async () => {
    const { told, view } = await submitted({ pay: ["processing"], stream: [[state("failed", { return_url: "https://shop.example/no" })]] });
    expect(view).toMatchObject({ stage: "declined", code: "insufficient_funds" });
    expect(told.at(-1)).toEqual({
      type: "failed",
      error: { code: "insufficient_funds", description: "Not enough money", message: TEXTS.failedFunds },
      returnUrl: "https://shop.example/no",
    });
  });

  it("that fails without a reason is declined all the same", async () => {
    const { told } = await submitted({ pay: [{ stage: "failed" }] });
    expect(told.at(-1)).toEqual({ type: "failed", error: { code: "", description: "", message: TEXTS.failedText } });
  });

  it("is sent once, however often the button is pressed", async () => {
    const played = await loaded({});
    for (let presses = 0; presses < 5; presses += 1) void played.payment.submit(INPUT);
    await played.submit();
    expect(played.gateway.calls).toEqual(["form", "pay"]);
    expect(played.view.stage).toBe("paying");
  });

  it("is not sent before the form is there, nor after the end", async () => {
    const early = await loaded({ form: [] });
    await early.submit();
    expect(early.gateway.calls).toEqual(["form"]);
    const late = await submitted({ pay: ["succeeded"] });
    await late.submit();
    expect(late.gateway.paid).toHaveLength(1);
  });

  test.each(["succeeded", "failed"] as const)("that %s stays so, and nothing is asked any more", async (end) => {
    const played = await submitted({ pay: [end], stream: [["processing", "succeeded", "failed", "ready"]] });
    const { stages, gateway, payment } = played;
    payment.hurry();
    payment.openAction();
    payment.actionLeft();
    payment.actionOpened(false);
    expect(stages.at(-1)).toBe(end === "failed" ? "declined" : "succeeded");
    expect(played.types).toEqual(["ready", "started", end]);
    expect(gateway.calls).not.toContain("stream");
    expect(payment.view).toMatchObject({ isActionLeft: false, isActionBlocked: false });
  });

  it("keeps no card: not in what is seen, nor in itself after the call", async () => {
    const { payment, told } = await submitted({ pay: ["processing"] });
    const seen = new Set<unknown>();
    const isHeld = (value: unknown): boolean => {
      if (typeof value === "string") return value.includes("4242");
      if (typeof value !== "object" || value === null || seen.has(value)) return false;
      seen.add(value);
      return Object.entries(value).some(([key, part]) => key !== "around" && isHeld(part));
    };
    expect(isHeld(payment) || isHeld(told)).toBe(false);
  });
});

describe("a payment that was refused", () => {
  test.each([
    ["invalid_request", "card.number: 12 to 19 digits expected", { field: "number", problem: "numberWrong" }],
    ["invalid_request", "card.expiration_month: 01..12 expected", { field: "expiry", problem: "expiryIncomplete" }],
    ["invalid_request", "card.expiration_year: two digits expected", { field: "expiry", problem: "expiryIncomplete" }],
    ["invalid_request", "card.security_code: 3 or 4 digits expected", { field: "code", problem: "required" }],
    ["invalid_request", "cardholder_name: a name expected, no card number", { field: "holder", problem: "holderWrong" }],
    ["card_number_does_not_exist", "card.number: the number fails the Luhn check", { field: "number", problem: "numberWrong" }],
    ["bank_card_expired", "card.expiration_year: the card has expired", { field: "expiry", problem: "expiryPast" }],
  ])("for %s (%s) gives the form back with the error at its field", async (code, description, refused) => {
    const { view, types } = await submitted({ pay: [new CallFailed("refused", code, description)] });
    expect(view).toMatchObject({ stage: "ready", refused, note: null });
    expect(types).toEqual(["ready"]);
    expect(TEXTS).toHaveProperty(refused.problem);
  });

  test.each(["recurrent: true or false expected", "", "__proto__: x", "constructor: x"])("for something else (%j) gives the form back with a note", async (description) => {
    const { view } = await submitted({ pay: [new CallFailed("refused", "invalid_request", description)] });
    expect(view).toMatchObject({ stage: "ready", refused: null, note: "notSent" });
  });

  it("may be sent again, and the old error is gone meanwhile", async () => {
    const played = await submitted({ pay: [new CallFailed("refused", "card_number_does_not_exist"), "succeeded"] });
    const sending = played.submit();
    expect(played.view).toMatchObject({ stage: "paying", refused: null });
    await sending;
    expect(played.types).toEqual(["ready", "started", "succeeded"]);
    expect(played.gateway.paid).toHaveLength(2);
  });

  it("because the server is busy gives the form back, says that nothing was charged, and may be sent again", async () => {
    const played = await submitted({ pay: ["busy", "succeeded"] });
    expect(played.view).toMatchObject({ stage: "ready", note: "notSent" });
    expect(played.types).toEqual(["ready"]);
    await played.submit();
    expect(played.view).toMatchObject({ stage: "succeeded", note: null });
  });

  it("because the shop takes no payments now gives the form back and says so", async () => {
    const { view, types } = await submitted({ pay: ["closed"] });
    expect(view).toMatchObject({ stage: "ready", note: "closed" });
    expect(types).toEqual(["ready"]);
  });

  it("because its token is over ends here, and the payer is to ask the shop", async () => {
    const { view, told, gateway } = await submitted({ pay: [new CallFailed("invalid", "public_token_invalid", "Unknown, expired or used")] });
    expect(view).toMatchObject({ stage: "expired", note: "expiredAsk" });
    expect(told.slice(1)).toEqual([
      { type: "failed", error: { code: "public_token_invalid", description: "Unknown, expired or used", message: TEXTS.expired } },
    ]);
    expect(gateway.calls).toEqual(["form", "pay"]);
  });

  it("because another window was first shows how that one stands, and opens nothing by itself", async () => {
    const { view, stages, types } = await submitted({ pay: ["taken"], stream: [["action"]] });
    expect(stages.slice(-3)).toEqual(["paying", "processing", "action"]);
    expect(view).toMatchObject({ note: "elsewhere", needsOpening: true });
    expect(types).toEqual(["ready"]);
  });

  it("because another window was first ends as that one ends", async () => {
    const { types } = await submitted({ pay: ["taken"], stream: [["confirming", "succeeded"]] });
    expect(types).toEqual(["ready", "succeeded"]);
  });
});

describe("the first look", () => {
  it("at a session that was started shows how it stands, says where, and sends nothing", async () => {
    const { view, stages, types } = await loaded({ form: [info("processing")] });
    expect(stages).toEqual(["loading", "processing"]);
    expect(view.note).toBe("elsewhere");
    expect(types).toEqual(["ready"]);
  });

  it("during the bank's check waits for a click: the way back must not lead forward for ever", async () => {
    const { view, told, payment } = await loaded({ form: [info("action")] });
    expect(view).toMatchObject({ stage: "action", needsOpening: true, secondsLeft: 600 });
    expect(told.map(({ type }) => type)).toEqual(["ready"]);
    payment.openAction();
    expect(payment.view.needsOpening).toBe(false);
    expect(told.at(-1)).toMatchObject({ type: "action", url: PAGE, target: "_top" });
  });

  test.each(["confirming", "processing", "action"] as const)("at a payment that goes on (%s) longer than its token sends the payer to ask, not to pay again", async (stage) => {
    const { view, told } = await loaded({ form: [info(stage)], stream: [["invalid"]] });
    expect(view).toMatchObject({ stage: "expired", note: "expiredAsk" });
    expect(told.at(-1)).toMatchObject({ type: "failed", error: { code: "public_token_invalid", message: TEXTS.expiredAsk } });
  });

  test.each([
    ["succeeded", "succeeded"],
    ["failed", "failed"],
  ] as const)("at a session that %s tells the page its end", async (stage, type) => {
    const { types, gateway } = await loaded({ form: [info(stage)] });
    expect(types).toEqual(["ready", type]);
    expect(gateway.calls).toEqual(["form"]);
  });

  it("is repeated, ever more rarely, until the server answers", async () => {
    const { stages, waits, gateway } = await loaded({ form: ["lost", "broken", "busy", "lost", info()] });
    expect(stages).toEqual(["loading", "offline", "unexpected", "offline", "ready"]);
    expect(waits).toEqual([1, 2, 4, 4]);
    expect(gateway.calls).toEqual(Array(5).fill("form"));
  });

  it("of a shop that takes no payments says so, and goes on when it does again", async () => {
    const { stages } = await loaded({ form: ["closed", "lost", "closed", info()] });
    expect(stages).toEqual(["loading", "closed", "offline", "closed", "ready"]);
  });

  it("with a token that opens nothing ends the form", async () => {
    const { view, told, gateway } = await loaded({ form: ["invalid"] });
    expect(view).toMatchObject({ stage: "expired", note: null });
    expect(told).toEqual([
      { type: "failed", error: { code: "public_token_invalid", description: "The public token is not valid any more", message: TEXTS.expired } },
    ]);
    expect(gateway.calls).toEqual(["form"]);
  });
});

describe("the bank's check", () => {
  it("opens once for each page of the bank, and is over with its stage", async () => {
    const other = state("action", { action: { url: `${PAGE}-2` } });
    const { told, stages } = await submitted({ pay: ["action"], stream: [["action", "action", "processing", other, "succeeded"]] });
    expect(stages.slice(-4)).toEqual(["action", "processing", "action", "succeeded"]);
    expect(told.map((message) => (message.type === "action" ? message.url : message.type))).toEqual([
      "ready", "started", PAGE, "action-over", `${PAGE}-2`, "action-over", "succeeded",
    ]);
  });

  it("brings the words of its dialog, and where it opens: as the page wishes, else as the token", async () => {
    const mine = await submitted({ pay: ["action"] }, { target: "modal", language: "ar", direction: "rtl" });
    expect(mine.told.at(-1)).toEqual({
      type: "action", url: PAGE, target: "modal", language: "ar", direction: "rtl",
      texts: { title: TEXTS.dialogTitle, close: TEXTS.dialogClose, leaveQuestion: TEXTS.dialogQuestion, stay: TEXTS.dialogStay, leave: TEXTS.dialogLeave },
    });
    const tokens = await submitted({ form: [info("ready", { redirect_target: "_blank" })], pay: ["action"] });
    expect(tokens.told.at(-1)).toMatchObject({ target: "_blank" });
  });

  it("that was blocked or left can be opened again", async () => {
    const played = await submitted({ pay: ["action"] });
    const { payment } = played;
    payment.actionOpened(true);
    expect(payment.view.isActionBlocked).toBe(false);
    payment.actionOpened(false);
    payment.actionLeft();
    expect(payment.view).toMatchObject({ isActionBlocked: true, isActionLeft: true });
    payment.openAction();
    expect(payment.view).toMatchObject({ isActionBlocked: false, isActionLeft: false });
    expect(played.types.filter((type) => type === "action")).toHaveLength(2);
  });

  it("does not open anew because the line was broken meanwhile", async () => {
    const { types, stages } = await submitted({ pay: ["action"], stream: [["action", "lost"], ["action"]], status: ["action"] });
    expect(stages.slice(-3)).toEqual(["action", "offline", "action"]);
    expect(types).toEqual(["ready", "started", "action"]);
  });

  it("in a window of its own can be opened anew: that window may have been closed", async () => {
    const played = await submitted({ pay: ["action"] }, { target: "_blank" });
    const { payment } = played;
    payment.actionOpened(true);
    expect(payment.view.needsOpening).toBe(true);
    payment.openAction();
    expect(played.types.filter((type) => type === "action")).toHaveLength(2);
    expect(payment.view.needsOpening).toBe(true);
  });

  test.each([["_top", true], ["_self", true], ["modal", false]] as const)("whose page (%s) the payer came back from by the browser's button waits for a click: %s", async (target, needsOpening) => {
    const { payment, types } = await submitted({ pay: ["action"] }, { target });
    expect(payment.view.needsOpening).toBe(false);
    payment.cameBack();
    expect(payment.view.needsOpening).toBe(needsOpening);
    expect(types).toEqual(["ready", "started", "action"]);
  });

  it("that is over when the payer comes back waits for nothing", async () => {
    const { payment } = await submitted({ pay: ["processing"] });
    payment.cameBack();
    expect(payment.view.needsOpening).toBe(false);
  });

  it("cannot be opened when there is none", async () => {
    const { payment, types } = await loaded({});
    payment.openAction();
    expect(types).toEqual(["ready"]);
  });
});
