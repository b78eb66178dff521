// Answers that never come, streams that break, connections that go and return: the card is never sent again by itself.

import { describe, expect, it, test } from "vitest";

import type { Surroundings } from "../../src/frame/payment";
import { INPUT, Played, info, loaded, settle, submitted } from "./gateway";

describe("a lost answer", () => {
  it("of a payment that never began gives the form back after three words of the server, with a note", async () => {
    const { view, stages, types, gateway } = await submitted({ pay: ["lost"], stream: [["ready", "silence"], ["ready", "silence"], ["ready", "silence"]] });
    expect(stages.slice(-3)).toEqual(["paying", "offline", "ready"]);
    expect(view).toMatchObject({ note: "offlineText", refused: null });
    expect(types).toEqual(["ready"]);
    expect(gateway.paid).toHaveLength(1);
  });

  it("is not taken for a payment that never began at the server's first word: the call may still be on its way", async () => {
    const { stages, types, waits } = await submitted({ pay: ["lost"], stream: [["ready"], ["ready"], ["confirming", "succeeded"]] });
    expect(stages.slice(-3)).toEqual(["offline", "waiting", "succeeded"]);
    expect(types).toEqual(["ready", "started", "succeeded"]);
    expect(waits).toHaveLength(2);
  });

  test.each(["lost", "broken"] as const)("(%s) of a payment that runs is told as started, and goes on", async (trouble) => {
    const { stages, types, gateway } = await submitted({ pay: [trouble], stream: [["confirming", "processing", "succeeded"]] });
    expect(stages.slice(-4)).toEqual([trouble === "lost" ? "offline" : "unexpected", "waiting", "processing", "succeeded"]);
    expect(types).toEqual(["ready", "started", "succeeded"]);
    expect(gateway.calls).toEqual(["form", "pay", "stream"]);
  });

  it("of a payment that the bank asks about opens the bank's page by itself: it is this window's payment", async () => {
    const { view, types } = await submitted({ pay: ["lost"], stream: [["action"]] });
    expect(types).toEqual(["ready", "started", "action"]);
    expect(view.needsOpening).toBe(false);
  });

  it("of a payment that has ended meanwhile is told as started and ended", async () => {
    const { types } = await submitted({ pay: ["lost"], stream: [["failed"]] });
    expect(types).toEqual(["ready", "started", "failed"]);
  });

  it("whose token is over meanwhile sends the payer to the shop", async () => {
    const { view, types } = await submitted({ pay: ["lost"], stream: [["invalid"]] });
    expect(view).toMatchObject({ stage: "expired", note: "expiredAsk" });
    expect(types).toEqual(["ready", "failed"]);
  });

  it("and a second press: 409 is our own first call, so the bank's page opens by itself", async () => {
    const played = await submitted({ pay: ["lost", "taken"], stream: [["ready"], ["ready"], ["ready"], ["action", "succeeded"]] });
    await played.submit();
    expect(played.types).toEqual(["ready", "started", "action", "action-over", "succeeded"]);
    expect(played.gateway.paid).toEqual([INPUT, INPUT]);
  });

  it("and a second press: what stands is our own payment, not another window's", async () => {
    const played = await submitted({ pay: ["lost", "taken"], stream: [["ready"], ["ready"], ["ready"], ["processing"]] });
    await played.submit();
    expect(played.view).toMatchObject({ stage: "processing", note: null });
  });

  test.each(["busy", "refused"] as const)("and a second press that is not taken (%s): nobody says that nothing was charged, the first may have arrived", async (trouble) => {
    const played = await submitted({ pay: ["lost", trouble], stream: [["ready"], ["ready"], ["ready"]] });
    await played.submit();
    expect(played.view).toMatchObject({ stage: "ready", note: "offlineText" });
  });

  it("of another kind that nobody foresaw is asked about as well", async () => {
    const played = await loaded({ stream: [["succeeded"]] });
    played.gateway.pay = async () => Promise.reject(new Error("nobody knows"));
    await played.submit();
    expect(played.stages.slice(-2)).toEqual(["unexpected", "succeeded"]);
  });
});

describe("a stream", () => {
  it("that ends is begun anew; while nothing changes, ever more rarely", async () => {
    const { gateway, waits } = await submitted({ pay: ["processing"], stream: [["processing"], ["processing"], [], ["processing"], ["confirming"], []] });
    expect(gateway.calls.filter((call) => call === "stream")).toHaveLength(7);
    expect(waits).toEqual([1.5, 2.25, 3.375, 4, 1, 1.5]);
  });

  it("that breaks is followed by a question, and then by a new one", async () => {
    const { stages, gateway } = await submitted({ pay: ["processing"], stream: [["processing", "lost"], ["succeeded"]], status: ["processing"] });
    expect(gateway.calls).toEqual(["form", "pay", "stream", "status", "stream"]);
    expect(stages.slice(-4)).toEqual(["processing", "offline", "processing", "succeeded"]);
  });

  it("that never works leaves the questions, which find the end", async () => {
    const { stages, types, gateway } = await submitted({
      pay: ["confirming"],
      stream: [["broken"], ["broken"], ["broken"]],
      status: ["confirming", "processing", "succeeded"],
    });
    expect(stages.filter((stage) => stage !== "unexpected").slice(-3)).toEqual(["waiting", "processing", "succeeded"]);
    expect(types).toEqual(["ready", "started", "succeeded"]);
    expect(gateway.calls.filter((call) => call === "status")).toHaveLength(3);
  });

  it("and questions that fail too say that there is no connection, until there is one", async () => {
    const { stages, waits } = await submitted({ pay: ["processing"], stream: [["lost"], ["lost"], ["succeeded"]], status: ["lost", "lost"] });
    expect(stages.slice(-3)).toEqual(["processing", "offline", "succeeded"]);
    expect(Math.max(...waits)).toBeLessThanOrEqual(4);
  });

  it("too many are no reason to change what is shown", async () => {
    const { stages } = await submitted({ pay: ["processing"], stream: [["busy"], ["succeeded"]], status: ["busy"] });
    expect(stages.slice(-2)).toEqual(["processing", "succeeded"]);
  });

  it("whose token ends asks nothing more", async () => {
    const { gateway, types } = await submitted({ pay: ["processing"], stream: [["invalid"]] });
    expect(gateway.calls).toEqual(["form", "pay", "stream"]);
    expect(types).toEqual(["ready", "started", "failed"]);
  });

  it("that the payer's haste breaks off begins anew at once", async () => {
    const { payment, gateway, waits, stages } = await submitted({ pay: ["processing"] });
    for (let times = 0; times < 3; times += 1) {
      payment.hurry();
      await settle();
    }
    expect(gateway.calls).toEqual(["form", "pay", "stream", "stream", "stream", "stream"]);
    expect(waits).toEqual([]);
    expect(stages.at(-1)).toBe("processing");
  });
});

describe("a wait", () => {
  const wait: Surroundings["wait"] = (_, wake) => new Promise((resolve) => wake.addEventListener("abort", () => resolve(), { once: true }));

  it("for the first look ends when the connection is back", async () => {
    const played = await loaded({ form: ["lost", "lost", info()] }, { wait });
    expect(played.gateway.calls).toEqual(["form"]);
    played.payment.hurry();
    await settle();
    expect(played.view.stage).toBe("offline");
    played.payment.hurry();
    await settle();
    expect(played.view.stage).toBe("ready");
  });

  it("between two questions ends when the payer asks", async () => {
    const played = await submitted({ pay: ["lost"], status: ["succeeded"], stream: [["lost"]] }, { wait });
    expect(played.view.stage).toBe("offline");
    played.payment.hurry();
    await settle();
    expect(played.view.stage).toBe("succeeded");
  });
});

test("nothing is left running after the end", async () => {
  const played = new Played({ form: [info("succeeded")] });
  await played.payment.load();
  expect(played.gateway.calls).toEqual(["form"]);
});
