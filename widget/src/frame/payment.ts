// One payment as the form sees it: what the server says and what the payer does move it from stage to stage.

import type { Target, ToPage } from "../protocol";
import type { Client, PayInput } from "./client";
import { CallFailed } from "./client";
import type { Heard, Stage } from "./machine";
import { FINAL, next } from "./machine";
import type { Info, State } from "./state";
import type { Texts } from "./words";
import { failureText } from "./words";

export type Note = "elsewhere" | "offlineText" | "notSent" | "expiredAsk" | "closed" | null;
export type FieldName = "number" | "expiry" | "code" | "holder";

export interface View {
  stage: Stage;
  info: Info | null;
  note: Note;
  code: string; // why it failed
  refused: { field: FieldName; problem: string } | null;
  isActionBlocked: boolean;
  isActionLeft: boolean;
  needsOpening: boolean; // the payer's page waits for a click
  secondsLeft: number | null; // until the payer must have acted
}

export interface Surroundings {
  client: Client;
  tell: (message: ToPage) => void;
  changed: (view: View) => void;
  texts: Texts;
  target: Target | null; // the merchant page's wish; null is the token's
  language: string;
  direction: "ltr" | "rtl";
  wait: (seconds: number, wake: AbortSignal) => Promise<void>;
}

const POLL_SECONDS_MIN = 1;
const POLL_SECONDS_MAX = 4;
// After a lost answer, so many words of the server that nothing began are needed before the form comes back.
const READIES_BELIEVED = 3;
const SERVER_FIELDS: Record<string, FieldName> = {
  "card.number": "number",
  "card.expiration_month": "expiry",
  "card.expiration_year": "expiry",
  "card.security_code": "code",
  cardholder_name: "holder",
};
const PROBLEMS: Record<string, [FieldName, string]> = {
  card_number_does_not_exist: ["number", "numberWrong"],
  bank_card_expired: ["expiry", "expiryPast"],
};
const FIELD_PROBLEMS: Record<FieldName, string> = {
  number: "numberWrong",
  expiry: "expiryIncomplete",
  code: "required",
  holder: "holderWrong",
};

export class Payment {
  view: View = {
    stage: "loading",
    info: null,
    note: null,
    code: "",
    refused: null,
    isActionBlocked: false,
    isActionLeft: false,
    needsOpening: false,
    secondsLeft: null,
  };

  private isMine = false; // this very form submitted
  private isStarted = false;
  private hasBegun = false; // whoever submitted: somebody may be charged
  private wasLost = false; // a call of ours to pay was never answered
  private readiesLeft = READIES_BELIEVED;
  private isOver = false;
  private actionUrl = "";
  private wake = new AbortController();

  constructor(private readonly around: Surroundings) {}

  // The first look: until the server answers, however often that must be asked.
  async load(): Promise<void> {
    for (let seconds = POLL_SECONDS_MIN; !this.isOver; seconds = Math.min(seconds * 2, POLL_SECONDS_MAX)) {
      try {
        const info = await this.around.client.form();
        this.show({ info, note: info.state.stage === "ready" ? null : "elsewhere" });
        this.around.tell({ type: "ready", title: this.around.texts.title ?? "" });
        this.hear(info.state);
        await this.follow();
        return;
      } catch (error) {
        this.fail(error);
      }
      await this.pause(seconds);
    }
  }

  // Once for all: whatever comes of the call, the card is not sent again unless the payer says so. What was typed is
  // known to `send` alone, and forgotten with its end.
  submit(input: PayInput): Promise<void> {
    return this.send(input).then((goesOn) => (goesOn ? this.follow() : undefined));
  }

  // Whether there is something to follow.
  private async send(input: PayInput): Promise<boolean> {
    if (this.view.stage !== "ready") return false;
    this.isMine = true;
    this.readiesLeft = READIES_BELIEVED;
    this.show({ note: null, refused: null });
    this.move("submit");
    try {
      const state = await this.around.client.pay(input);
      this.started();
      this.hear(state);
      return true;
    } catch (error) {
      return this.notPaid(error instanceof CallFailed ? error : new CallFailed("broken"));
    }
  }

  private notPaid(failed: CallFailed): boolean {
    this.fail(failed);
    switch (failed.trouble) {
      case "refused":
      case "closed":
      case "busy": {
        this.isMine = false;
        const refused = failed.trouble === "refused" ? fieldOf(failed) : null;
        // An earlier call may have arrived all the same: then nobody knows that nothing was charged.
        const note = this.wasLost ? "offlineText" : failed.trouble === "closed" ? "closed" : "notSent";
        this.show({ refused, note: refused ? null : note });
        return false;
      }
      case "taken":
        // By another window, or by a call of ours whose answer was lost.
        this.isMine = this.wasLost;
        this.hasBegun = true;
        this.show({ note: this.wasLost ? null : "elsewhere" });
        return true;
      case "invalid":
        return false;
      default:
        this.wasLost = true;
        return true;
    }
  }

  // The payer asks now: no need to wait any longer.
  hurry(): void {
    this.wake.abort();
    this.wake = new AbortController();
  }

  openAction(): void {
    if (this.actionUrl === "") return;
    const target = this.target();
    // A window of its own may be closed before its time, and nothing tells us.
    this.show({ isActionBlocked: false, isActionLeft: false, needsOpening: target === "_blank" });
    const { texts, language, direction } = this.around;
    const words = {
      title: texts.dialogTitle ?? "",
      close: texts.dialogClose ?? "",
      leaveQuestion: texts.dialogQuestion ?? "",
      stay: texts.dialogStay ?? "",
      leave: texts.dialogLeave ?? "",
    };
    this.around.tell({ type: "action", url: this.actionUrl, target, texts: words, language, direction });
  }

  actionOpened(isOpen: boolean): void {
    if (!isOpen && this.view.stage === "action") this.show({ isActionBlocked: true });
  }

  actionLeft(): void {
    if (this.view.stage === "action") this.show({ isActionLeft: true });
  }

  // The page is shown again as it was left, by the browser's button: the payer says whether to go on.
  cameBack(): void {
    if (this.view.stage === "action" && this.target() !== "modal") this.show({ needsOpening: true });
    this.hurry();
  }

  target(): Target {
    return this.around.target ?? (this.view.info?.redirect_target as Target | undefined) ?? "_top";
  }

  // Ask and listen until the end. A stream that breaks is followed by questions; while nothing changes they grow rarer.
  private async follow(): Promise<void> {
    let seconds = POLL_SECONDS_MIN;
    while (!this.isDone()) {
      const { stage } = this.view;
      const { signal } = this.wake;
      try {
        for await (const state of this.around.client.stream(signal)) {
          this.hear(state);
          if (this.isDone()) return;
          if (this.isUncertain()) break;
        }
      } catch (error) {
        if (signal.aborted) continue;
        this.fail(error);
        await this.pause(seconds);
        await this.askOnce();
      }
      if (this.isDone()) return;
      seconds = this.view.stage === stage ? Math.min(seconds * 1.5, POLL_SECONDS_MAX) : POLL_SECONDS_MIN;
      await this.pause(seconds);
    }
  }

  // Whether our call to pay arrived is not known: a stream would say once that nothing began, and then be silent.
  private isUncertain(): boolean {
    return this.isMine && !this.isStarted;
  }

  private isDone(): boolean {
    return this.isOver || this.view.stage === "ready";
  }

  private async askOnce(): Promise<void> {
    if (this.isOver) return;
    try {
      this.hear(await this.around.client.status());
    } catch (error) {
      this.fail(error);
    }
  }

  private async pause(seconds: number): Promise<void> {
    if (!this.isOver) await this.around.wait(seconds, this.wake.signal);
  }

  private hear(state: State): void {
    const before = this.view.stage;
    // A call whose answer was lost may still be on its way: one word of ours is not believed at once.
    if (state.stage === "ready" && this.isMine && before !== "ready" && (this.readiesLeft -= 1) > 0) return;
    if (state.stage !== "ready") this.hasBegun = true;
    this.move(state.stage);
    if (this.view.stage === "ready" && before !== "ready") {
      // The payment never began: the payer may press again.
      if (this.isMine) this.show({ note: "offlineText" });
      this.isMine = false;
    } else if (this.isMine && this.view.stage !== before && this.view.stage !== "offline") {
      this.started();
    }
    if (this.view.stage === "action" && state.action) this.act(state.action);
    else if (this.actionUrl !== "") this.leaveAction();
    if (FINAL.includes(this.view.stage)) this.end(state);
  }

  private act({ url, seconds_left: secondsLeft }: NonNullable<State["action"]>): void {
    this.show({ secondsLeft: secondsLeft ?? null });
    if (url === this.actionUrl) return;
    this.actionUrl = url;
    // In a window that did not submit, the payer says when: else the way back would lead forward for ever.
    if (this.isMine) this.openAction();
    else this.show({ needsOpening: true });
  }

  private leaveAction(): void {
    this.actionUrl = "";
    this.around.tell({ type: "action-over" });
  }

  private started(): void {
    if (this.isStarted) return;
    this.isStarted = true;
    this.around.tell({ type: "started" });
  }

  private fail(error: unknown): void {
    const failed = error instanceof CallFailed ? error : new CallFailed("broken");
    this.move(failed.trouble);
    if (this.view.stage !== "expired" || this.isOver) return;
    const { texts } = this.around;
    this.isOver = true;
    if (this.isMine || this.hasBegun) this.show({ note: "expiredAsk" });
    const description = failed.description || "The public token is not valid any more";
    const code = failed.code || "public_token_invalid";
    // Somebody may be charged yet: no page that shows these words shall send the payer to pay again.
    const message = (this.hasBegun || this.wasLost ? texts.expiredAsk : texts.expired) ?? "";
    this.around.tell({ type: "failed", error: { code, description, message } });
  }

  private end(state: State): void {
    if (this.isOver) return;
    this.isOver = true;
    const returnUrl = state.return_url === undefined ? {} : { returnUrl: state.return_url };
    if (this.view.stage === "succeeded") {
      this.around.tell({ type: "succeeded", ...returnUrl });
      return;
    }
    const { code = "", description = "" } = state.error ?? {};
    this.show({ code });
    const message = failureText(this.around.texts, code);
    this.around.tell({ type: "failed", error: { code, description, message }, ...returnUrl });
  }

  private move(heard: Heard): void {
    this.show({ stage: next(this.view.stage, heard) });
  }

  private show(changes: Partial<View>): void {
    this.view = { ...this.view, ...changes };
    this.around.changed(this.view);
  }
}

function fieldOf({ code, description }: CallFailed): View["refused"] {
  const known = Object.hasOwn(PROBLEMS, code) ? PROBLEMS[code] : undefined;
  if (known) return { field: known[0], problem: known[1] };
  const path = description.split(":")[0] ?? "";
  const field = Object.hasOwn(SERVER_FIELDS, path) ? SERVER_FIELDS[path] : undefined;
  return field ? { field, problem: FIELD_PROBLEMS[field] } : null;
}
