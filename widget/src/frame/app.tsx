// The whole frame: what is paid, the form, and how the payment stands.

import { useEffect, useRef } from "preact/hooks";

import type { FormOptions } from "../protocol";
import type { PayInput } from "./client";
import { CardForm } from "./form";
import type { Stage } from "./machine";
import { FINAL } from "./machine";
import type { View } from "./payment";
import type { Texts } from "./words";
import { amountText, failureText, fill } from "./words";

interface Props {
  view: View;
  texts: Texts;
  options: FormOptions;
  language: string;
  isModal: boolean;
  submit: (input: PayInput) => void;
  openAction: () => void;
  hurry: () => void;
}

// While it is not certain that the payment began, what was typed is kept for another try.
const WITH_FORM: readonly Stage[] = ["ready", "paying", "offline", "unexpected"];

interface Words {
  title: string;
  text: string;
}

function wordsOf({ view, texts, language, isModal }: Props): Words {
  const { stage, info } = view;
  const amount = info ? amountText(info, language) : "";
  const again = texts.failedAgain ?? "";
  switch (stage) {
    case "loading":
      return { title: texts.loading ?? "", text: "" };
    case "ready":
      return { title: "", text: view.note ? (texts[view.note] ?? "") : "" };
    case "paying":
      return { title: texts.paying ?? "", text: "" };
    case "waiting":
      return { title: texts.waiting ?? "", text: "" };
    case "action":
      return { title: texts.action ?? "", text: actionText(view, texts, isModal) };
    case "processing":
      return { title: texts.processing ?? "", text: "" };
    case "succeeded":
      return { title: texts.succeeded ?? "", text: fill(texts.succeededText ?? "", { amount }) };
    case "declined":
      return { title: texts.failed ?? "", text: `${failureText(texts, view.code)} ${again}` };
    case "expired":
      return { title: texts.expired ?? "", text: (view.note === "expiredAsk" ? texts.expiredAsk : texts.expiredText) ?? "" };
    case "offline":
      return { title: texts.offline ?? "", text: texts.offlineText ?? "" };
    case "unexpected":
      return { title: texts.unexpected ?? "", text: texts.unexpectedText ?? "" };
    case "closed":
      return { title: texts.closed ?? "", text: again };
  }
}

function actionText(view: View, texts: Texts, isModal: boolean): string {
  const minutes = view.secondsLeft === null ? "" : fill(texts.minutesLeft ?? "", { minutes: Math.ceil(view.secondsLeft / 60) });
  if (view.isActionLeft) return `${texts.actionLeft ?? ""} ${minutes}`;
  if (view.isActionBlocked) return `${texts.actionBlocked ?? ""} ${minutes}`;
  if (view.needsOpening) return minutes;
  return isModal ? (texts.actionHere ?? "") : "";
}

export function App(props: Props) {
  const { view, texts, language } = props;
  const { stage, info } = view;
  const status = useRef<HTMLDivElement>(null);
  const before = useRef<Stage>(stage);
  useEffect(() => {
    // Whoever stood in the form that went away is taken to what is said now.
    const wasInForm = WITH_FORM.includes(before.current) && before.current !== stage;
    if (wasInForm && stage !== "ready" && document.hasFocus()) status.current?.focus();
    before.current = stage;
  }, [stage]);
  const words = wordsOf(props);
  const isWorking = ["loading", "paying", "waiting", "processing", "offline", "unexpected"].includes(stage);
  const canOpen = stage === "action" && (view.isActionLeft || view.isActionBlocked || view.needsOpening);
  return (
    <div class="frame" data-stage={stage}>
      {info && <Bill {...props} />}
      {WITH_FORM.includes(stage) && info && (
        <CardForm view={view} texts={texts} options={props.options} language={language} isHidden={stage !== "ready"} submit={props.submit} />
      )}
      <div class={`status message ${stage}`} role="status" tabIndex={-1} ref={status} data-testid="form-status" data-stage={stage}>
        {isWorking && <span class="ring" aria-hidden="true" />}
        {stage === "succeeded" && <Mark path="M5 13l4 4L19 7" />}
        {(stage === "declined" || stage === "expired" || stage === "closed") && <Mark path="M12 6v7M12 17v.5" />}
        {view.note === "elsewhere" && stage !== "ready" && !FINAL.includes(stage) && <p class="note">{texts.elsewhere}</p>}
        {words.title && <p class="title">{words.title}</p>}
        {words.text && <p class="text">{words.text}</p>}
      </div>
      {canOpen && (
        <button class="button" type="button" onClick={props.openAction} data-testid="form-action-open">
          {texts.actionOpen}
        </button>
      )}
      {(stage === "offline" || stage === "unexpected" || stage === "closed") && (
        <button class="button quiet" type="button" onClick={props.hurry} data-testid="form-retry">
          {texts.tryAgain}
        </button>
      )}
    </div>
  );
}

function Bill({ view, texts, language }: Props) {
  const { info } = view;
  if (!info) return null;
  return (
    <header class="bill">
      <p class="merchant">
        <span class="unseen">{texts.merchant}: </span>
        <bdi>{info.merchant}</bdi>
      </p>
      <p class="amount">
        <span class="unseen">{texts.amount}: </span>
        <bdi>{amountText(info, language)}</bdi>
      </p>
      {info.is_test && <p class="test">{texts.testMode}</p>}
    </header>
  );
}

function Mark({ path }: { path: string }) {
  return (
    <svg class="mark" viewBox="0 0 24 24" aria-hidden="true">
      <circle cx="12" cy="12" r="11" />
      <path d={path} />
    </svg>
  );
}
