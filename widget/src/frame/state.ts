// What our server says of the payment, checked before it is believed to have this form.

export type ServerStage = "ready" | "confirming" | "action" | "processing" | "succeeded" | "failed";

export interface State {
  stage: ServerStage;
  action?: { url: string; seconds_left?: number };
  error?: { code: string; description: string };
  return_url?: string;
}

export interface Info {
  merchant: string;
  amount: number;
  currency: string;
  exponent: number;
  is_test: boolean;
  recurrent_checkbox: boolean;
  redirect_target: string;
  seconds_left: number;
  state: State;
}

const STAGES: readonly string[] = ["ready", "confirming", "action", "processing", "succeeded", "failed"];
type Table = Record<string, unknown>;

function isTable(value: unknown): value is Table {
  return typeof value === "object" && value !== null;
}

export function readState(value: unknown): State | null {
  if (!isTable(value) || !STAGES.includes(value.stage as string)) return null;
  if (value.stage === "action" && !(isTable(value.action) && typeof value.action.url === "string")) return null;
  return value as unknown as State;
}

export function readInfo(value: unknown): Info | null {
  if (!isTable(value) || typeof value.merchant !== "string" || typeof value.currency !== "string") return null;
  if (!Number.isSafeInteger(value.amount) || !Number.isSafeInteger(value.exponent) || !readState(value.state)) return null;
  return value as unknown as Info;
}
