// The table of stages: every pair of where a payment stands and what is heard.

import fc from "fast-check";
import { describe, expect, it, test } from "vitest";

import type { Heard, Stage } from "../../src/frame/machine";
import { FINAL, HEARD, STAGES, TRANSITIONS, next } from "../../src/frame/machine";

const PAIRS = STAGES.flatMap((stage) => HEARD.map((heard) => [stage, heard] as const));
const SERVER: readonly (readonly [Heard, Stage])[] = [
  ["confirming", "waiting"],
  ["action", "action"],
  ["processing", "processing"],
  ["succeeded", "succeeded"],
  ["failed", "declined"],
];
const UNSURE: readonly Stage[] = ["loading", "paying", "offline", "unexpected", "closed"];

describe("the stages", () => {
  test.each(PAIRS)("%s on hearing %s is a stage", (stage, heard) => expect(STAGES).toContain(next(stage, heard)));

  test.each(PAIRS.filter(([stage]) => FINAL.includes(stage)))("%s stays so on hearing %s", (stage, heard) => {
    expect(next(stage, heard)).toBe(stage);
  });

  test.each(STAGES.filter((stage) => !FINAL.includes(stage)))("%s believes the server how the payment stands", (stage) => {
    for (const [heard, then] of SERVER) expect(next(stage, heard)).toBe(then);
  });

  it("come back to the form only where it is not sure that a payment began, or where it surely did not", () => {
    const back = PAIRS.filter(([stage, heard]) => stage !== "ready" && next(stage, heard) === "ready");
    expect(new Set(back.map(String))).toEqual(new Set([...UNSURE.map((stage) => `${stage},ready`), "paying,refused", "paying,busy", "paying,closed"]));
  });

  it("send a card from the form alone", () => {
    const sending = PAIRS.filter(([stage, heard]) => stage !== "paying" && next(stage, heard) === "paying");
    expect(sending).toEqual([["ready", "submit"]]);
  });

  it("expire by the token alone", () => {
    const over = PAIRS.filter(([stage, heard]) => stage !== "expired" && next(stage, heard) === "expired");
    expect(new Set(over.map(([, heard]) => heard))).toEqual(new Set(["invalid"]));
    expect(over).toHaveLength(STAGES.length - FINAL.length);
  });

  it("end by the server's word alone", () => {
    for (const [stage, heard] of PAIRS) {
      if (stage !== "succeeded" && next(stage, heard) === "succeeded") expect(heard).toBe("succeeded");
      if (stage !== "declined" && next(stage, heard) === "declined") expect(heard).toBe("failed");
    }
  });

  it("are not shaken by a broken line while the form waits for its payer", () => {
    for (const heard of ["lost", "broken", "busy", "taken", "refused", "ready"] as const) expect(next("ready", heard)).toBe("ready");
  });

  it("can all be reached, and none but the ends is a dead end", () => {
    const reached = new Set<Stage>(["loading"]);
    for (const _ of STAGES) for (const stage of [...reached]) for (const heard of HEARD) reached.add(next(stage, heard));
    expect(reached).toEqual(new Set(STAGES));
    for (const stage of STAGES) expect(Object.keys(TRANSITIONS[stage]).length > 0).toBe(!FINAL.includes(stage));
  });

  it("never leave an end, whatever is heard in whatever order", () => {
    fc.assert(
      fc.property(fc.array(fc.constantFrom(...HEARD)), (all) => {
        let stage: Stage = "loading";
        for (const heard of all) {
          const then = next(stage, heard);
          if (FINAL.includes(stage)) expect(then).toBe(stage);
          stage = then;
        }
      }),
    );
  });
});
