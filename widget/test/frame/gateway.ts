// Our server as the form meets it: a script says what it answers, call by call. Where the script ends, nothing more
// comes, as on a line that hangs.

import type { PayInput } from "../../src/frame/client";
import { CallFailed, type Client } from "../../src/frame/client";
import type { Trouble } from "../../src/frame/client";
import type { Surroundings, View } from "../../src/frame/payment";
import { Payment } from "../../src/frame/payment";
import type { Info, ServerStage, State } from "../../src/frame/state";
import type { ToPage } from "../../src/protocol";
import TEXTS from "../../../src/tollhouse/api/widget/texts/en.json";

export { TEXTS };
export const PAGE = "https://pay.example/3ds/link";
export const INPUT: PayInput = {
  card: { number: "4242424242424242", expiration_month: "08", expiration_year: "31", security_code: "417" },
};

export function state(stage: ServerStage, more: Partial<State> = {}): State {
  if (stage === "action") return { stage, action: { url: PAGE, seconds_left: 600 }, ...more };
  if (stage === "failed") return { stage, error: { code: "insufficient_funds", description: "Not enough money" }, ...more };
  return { stage, ...more };
}

export function info(stage: ServerStage = "ready", more: Partial<Info> = {}): Info {
  return {
    merchant: "Demo shop",
    amount: 4990,
    currency: "eur",
    exponent: 2,
    is_test: true,
    recurrent_checkbox: false,
    redirect_target: "_top",
    seconds_left: 86_000,
    state: state(stage),
    ...more,
  };
}

export type Said = ServerStage | State | CallFailed | Trouble;

export interface Script {
  form?: (Info | CallFailed | Trouble)[];
  pay?: Said[];
  status?: Said[];
  stream?: (Said | "silence")[][]; // each stream's states; it ends after them
}

const TROUBLES: readonly unknown[] = ["lost", "broken", "busy", "taken", "invalid", "refused", "closed"];
const NEVER = new Promise<never>(() => undefined);

function isTrouble(said: unknown): said is Trouble {
  return TROUBLES.includes(said);
}

function answer<T>(said: T | CallFailed | Trouble | ServerStage): T {
  if (said instanceof CallFailed) throw said;
  if (isTrouble(said)) throw new CallFailed(said);
  return (typeof said === "string" ? state(said as ServerStage) : said) as T;
}

// What the form says to a stream that is broken off, as fetch does.
function broken(stop: AbortSignal): Promise<never> {
  return new Promise((_, reject) => stop.addEventListener("abort", () => reject(new CallFailed("lost")), { once: true }));
}

export class Gateway {
  readonly calls: string[] = [];
  readonly paid: PayInput[] = [];
  readonly script: Required<Script>;

  constructor({ form = [info()], pay = [], status = [], stream = [] }: Script) {
    this.script = { form: [...form], pay: [...pay], status: [...status], stream: [...stream] };
  }

  get client(): Client {
    return this as unknown as Client;
  }

  form(): Promise<Info> {
    return this.next("form", this.script.form);
  }

  pay(input: PayInput): Promise<State> {
    this.paid.push(input);
    return this.next("pay", this.script.pay);
  }

  status(): Promise<State> {
    return this.next("status", this.script.status);
  }

  async *stream(stop: AbortSignal): AsyncGenerator<State> {
    this.calls.push("stream");
    const said = this.script.stream.shift();
    for (const one of said ?? ["silence"]) {
      if (one === "silence") await broken(stop);
      else yield answer<State>(one);
    }
  }

  private async next<T>(name: string, script: (T | CallFailed | Trouble | ServerStage)[]): Promise<T> {
    this.calls.push(name);
    const said = script.shift();
    return said === undefined ? NEVER : answer<T>(said);
  }
}

export async function settle(): Promise<void> {
  for (let turn = 0; turn < 5; turn += 1) await new Promise((resolve) => setImmediate(resolve));
}

export class Played {
  readonly gateway: Gateway;
  readonly payment: Payment;
  readonly told: ToPage[] = [];
  readonly stages: string[] = ["loading"]; // in the order in which the payer saw them
  readonly waits: number[] = [];

  constructor(script: Script, given: Partial<Surroundings> = {}) {
    this.gateway = new Gateway(script);
    this.payment = new Payment({
      client: this.gateway.client,
      tell: (message) => void this.told.push(message),
      changed: ({ stage }) => {
        if (this.stages.at(-1) !== stage) this.stages.push(stage);
      },
      texts: TEXTS,
      target: null,
      language: "en",
      direction: "ltr",
      wait: async (seconds) => void this.waits.push(seconds),
      ...given,
    });
  }

  get view(): View {
    return this.payment.view;
  }

  get types(): string[] {
    return this.told.map(({ type }) => type);
  }

  async load(): Promise<this> {
    void this.payment.load();
    await settle();
    return this;
  }

  async submit(input = INPUT): Promise<this> {
    void this.payment.submit(input);
    await settle();
    return this;
  }
}

export async function loaded(script: Script, given: Partial<Surroundings> = {}): Promise<Played> {
  return new Played(script, given).load();
}

export async function submitted(script: Script, given: Partial<Surroundings> = {}): Promise<Played> {
  return (await loaded(script, given)).submit();
}
