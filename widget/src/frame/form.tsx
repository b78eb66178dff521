// The card's fields. What is typed lives here only, and goes with this component.

import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";

import type { FormOptions } from "../protocol";
import { editExpiry, expiryProblem, readExpiry } from "../rules/expiry";
import { codeProblem, editCode, holderProblem } from "../rules/others";
import { BRAND_NAMES, cardOf, edit, group, panProblem } from "../rules/pan";
import type { PayInput } from "./client";
import { Field } from "./field";
import type { FieldName, View } from "./payment";
import type { Texts } from "./words";
import { amountText, fill, isWebAddress, termsPieces } from "./words";

interface Props {
  view: View;
  texts: Texts;
  options: FormOptions;
  language: string;
  isHidden: boolean;
  submit: (input: PayInput) => void;
}

type Values = Record<FieldName, string>; // the number as digits

const FIELDS: readonly FieldName[] = ["number", "expiry", "code", "holder"];
const EMPTY: Values = { number: "", expiry: "", code: "", holder: "" };
const HOLDER_LENGTH_MAX = 255;

function problemsOf(values: Values): Record<FieldName, string | null> {
  return {
    number: panProblem(values.number),
    expiry: expiryProblem(values.expiry, new Date()),
    code: codeProblem(values.code, cardOf(values.number)),
    holder: holderProblem(values.holder),
  };
}

function inputOf(values: Values, recurrent: boolean): PayInput {
  const expiry = readExpiry(values.expiry);
  if (!expiry) throw new Error("an expiry date that was checked can be read");
  const holder = values.holder.trim();
  return {
    card: {
      number: values.number,
      expiration_month: expiry.month,
      expiration_year: expiry.year,
      security_code: values.code,
    },
    ...(holder === "" ? {} : { cardholder_name: holder }),
    ...(recurrent ? { recurrent: true } : {}),
  };
}

function isDeletion(event: InputEvent): boolean {
  return (event.inputType ?? "").startsWith("delete");
}

export function CardForm({ view, texts, options, language, isHidden, submit }: Props) {
  const [values, setValues] = useState<Values>(EMPTY);
  const [touched, setTouched] = useState<readonly FieldName[]>([]);
  const [summed, setSummed] = useState<readonly FieldName[]>([]); // the fields that the summary names
  const [refused, setRefused] = useState<View["refused"]>(null);
  const [recurrent, setRecurrent] = useState(false);
  const inputs = { number: useRef<HTMLInputElement>(null), expiry: useRef<HTMLInputElement>(null), code: useRef<HTMLInputElement>(null), holder: useRef<HTMLInputElement>(null) };
  const caret = useRef<{ input: HTMLInputElement; place: number } | null>(null);
  const isPressing = useRef(false);
  const summary = useRef<HTMLDivElement>(null);
  const card = cardOf(values.number);
  const problems = problemsOf(values);
  if (refused) problems[refused.field] = refused.problem;

  // Our formatting must not move the caret of whoever types in the middle.
  useLayoutEffect(() => {
    const { current } = caret;
    caret.current = null;
    if (current && current.input === document.activeElement) current.input.setSelectionRange(current.place, current.place);
  });
  useEffect(() => {
    if (!view.refused) return;
    setRefused(view.refused);
    setSummed([view.refused.field]);
  }, [view.refused]);
  useEffect(() => {
    if (summed.length > 0) summary.current?.focus();
  }, [summed]);

  const put = (name: FieldName, value: string) => {
    setValues((now) => ({ ...now, [name]: value }));
    if (refused?.field === name) setRefused(null);
  };
  const blur = (name: FieldName) => {
    if (isPressing.current) return; // an error that appears now would move the button away from under the finger
    if (values[name] !== "" && !touched.includes(name)) setTouched([...touched, name]);
  };
  const errorOf = (name: FieldName): string | null => {
    const problem = problems[name];
    if (!problem || !(touched.includes(name) || refused?.field === name)) return null;
    return fill(texts[problem] ?? problem, { digits: card.codeLengths.join("/") });
  };
  const press = (event: Event) => {
    event.preventDefault();
    const wrong = FIELDS.filter((name) => problems[name]);
    setTouched(FIELDS);
    setSummed(wrong);
    if (wrong.length === 0) submit(inputOf(values, recurrent));
  };
  const editNumber = (event: InputEvent, input: HTMLInputElement) => {
    const edited = edit({
      text: input.value,
      caret: input.selectionStart ?? input.value.length,
      before: values.number,
      isBackward: event.inputType === "deleteContentBackward",
      isForward: event.inputType === "deleteContentForward",
    });
    input.value = edited.text; // also where the digits are the same as before, and nothing would be drawn anew
    caret.current = { input, place: edited.caret };
    put("number", edited.digits);
  };
  const editDate = (event: InputEvent, input: HTMLInputElement) => {
    const place = input.selectionStart ?? input.value.length;
    const edited = editExpiry({ text: input.value, caret: place, isDeletion: isDeletion(event) });
    input.value = edited.text;
    caret.current = { input, place: edited.caret };
    put("expiry", edited.text);
  };
  const labels = options.texts;
  const isFront = card.brand === "american_express";
  const pay = labels.buttonPayLabel ?? (view.info ? fill(texts.pay ?? "", { amount: amountText(view.info, language) }) : "");
  const wrong = summed.filter((name) => errorOf(name));
  return (
    <form class="form" noValidate onSubmit={press} hidden={isHidden} aria-label={texts.title}>
      {wrong.length > 0 && (
        <div class="summary" role="alert" tabIndex={-1} ref={summary} data-testid="form-summary">
          <p>{texts.summary}</p>
          <ul>
            {wrong.map((name) => (
              <li key={name}>
                <a href={`#${name}`} onClick={(event) => { event.preventDefault(); inputs[name].current?.focus(); }}>
                  {labelOf(name, labels, texts)}: {errorOf(name)}
                </a>
              </li>
            ))}
          </ul>
        </div>
      )}
      <Field name="number" label={labelOf("number", labels, texts)} error={errorOf("number")} isSilent={wrong.includes("number")}
        value={group(values.number, card.gaps)} autocomplete="cc-number" isNumeric isRequired input={inputs.number}
        onInput={editNumber} onBlur={() => blur("number")}>
        <span class={card.brand ? "brand known" : "brand"} data-testid="form-brand">
          {card.brand ? BRAND_NAMES[card.brand] : ""}
        </span>
      </Field>
      <div class="row">
        <Field name="expiry" label={labelOf("expiry", labels, texts)} error={errorOf("expiry")} isSilent={wrong.includes("expiry")}
          value={values.expiry} placeholder={texts.expiryHint ?? ""} autocomplete="cc-exp" isNumeric isRequired
          input={inputs.expiry} onInput={editDate} onBlur={() => blur("expiry")} />
        <Field name="code" label={labelOf("code", labels, texts)} hint={(isFront ? texts.codeHintFront : texts.codeHint) ?? ""}
          error={errorOf("code")} isSilent={wrong.includes("code")} value={values.code} autocomplete="cc-csc" isNumeric isRequired
          isMasked={options.isCvcMasked} input={inputs.code} onBlur={() => blur("code")}
          onInput={(_, input) => { input.value = editCode(input.value, card); put("code", input.value); }} />
      </div>
      <Field name="holder" label={labelOf("holder", labels, texts)} remark={texts.optional ?? ""} error={errorOf("holder")} isSilent={wrong.includes("holder")}
        value={values.holder} autocomplete="cc-name" lengthMax={HOLDER_LENGTH_MAX} input={inputs.holder}
        onInput={(_, input) => put("holder", input.value)} onBlur={() => blur("holder")} />
      {view.info?.recurrent_checkbox && (
        <label class="checkbox">
          <input type="checkbox" checked={recurrent} onChange={(event) => setRecurrent(event.currentTarget.checked)} data-testid="form-recurrent" />
          <span>{labels.recurrentLabel ?? texts.recurrent}</span>
        </label>
      )}
      {labels.termsAgreement && <Terms text={labels.termsAgreement} url={labels.termsUrl} />}
      <button class="button" type="submit" data-testid="form-submit" onPointerDown={() => { isPressing.current = true; }}
        onPointerUp={() => { isPressing.current = false; }} onPointerCancel={() => { isPressing.current = false; }}
        onPointerLeave={() => { isPressing.current = false; }}>
        {pay}
      </button>
    </form>
  );
}

function labelOf(name: FieldName, labels: FormOptions["texts"], texts: Texts): string {
  const given = { number: labels.cardNumberLabel, expiry: labels.expireDateLabel, code: labels.cvvLabel, holder: labels.cardholderLabel };
  return given[name] ?? texts[name] ?? name;
}

// The frame may open no window, so the address stands there for the payer to read.
function Terms({ text, url }: { text: string; url: string | undefined }) {
  return (
    <p class="terms" dir="auto" data-testid="form-terms">
      {termsPieces(text).map(({ text: piece, isLink }) =>
        isLink && isWebAddress(url) ? <span>{piece} (<span class="address">{url}</span>)</span> : piece,
      )}
    </p>
  );
}
