// The form's stages as a table. What is not in it changes nothing: an end stays an end, whatever comes late.

import type { Trouble } from "./client";
import type { ServerStage } from "./state";

export const STAGES = [
  "loading",
  "ready",
  "paying",
  "waiting",
  "action",
  "processing",
  "succeeded",
  "declined",
  "expired",
  "offline",
  "unexpected",
  "closed",
] as const;
export type Stage = (typeof STAGES)[number];
export type Heard = ServerStage | Trouble | "submit";
export const HEARD: readonly Heard[] = [
  "ready", "confirming", "action", "processing", "succeeded", "failed",
  "lost", "broken", "busy", "taken", "invalid", "refused", "closed", "submit",
];

type Row = Partial<Record<Heard, Stage>>;

const PROGRESS: Row = {
  confirming: "waiting",
  action: "action",
  processing: "processing",
  succeeded: "succeeded",
  failed: "declined",
};
const UNDER_WAY: Row = { ...PROGRESS, invalid: "expired", lost: "offline", broken: "unexpected" };
const UNKNOWN: Row = { ...UNDER_WAY, ready: "ready" };

export const TRANSITIONS: Record<Stage, Row> = {
  loading: { ...UNKNOWN, busy: "unexpected", closed: "closed" },
  ready: { ...PROGRESS, submit: "paying", invalid: "expired" },
  // A call whose answer was lost may have arrived: the server is asked, and the card is never sent again by itself.
  paying: { ...UNKNOWN, refused: "ready", busy: "ready", taken: "processing", closed: "ready" },
  waiting: UNDER_WAY,
  action: UNDER_WAY,
  processing: UNDER_WAY,
  offline: { ...UNKNOWN, closed: "closed" },
  unexpected: { ...UNKNOWN, closed: "closed" },
  closed: UNKNOWN,
  succeeded: {},
  declined: {},
  expired: {},
};

export const FINAL: readonly Stage[] = ["succeeded", "declined", "expired"];

export function next(stage: Stage, heard: Heard): Stage {
  return TRANSITIONS[stage][heard] ?? stage;
}
