// One field with its label, hint and error, told to whoever cannot see it as well.

import type { ComponentChildren, Ref } from "preact";

import type { FieldName } from "./payment";

interface Props {
  name: FieldName;
  label: string;
  remark?: string;
  hint?: string;
  error: string | null;
  value: string;
  autocomplete: string;
  placeholder?: string;
  isNumeric?: boolean;
  isRequired?: boolean;
  isMasked?: boolean;
  isSilent?: boolean; // the summary has just said it
  lengthMax?: number;
  input: Ref<HTMLInputElement>;
  onInput: (event: InputEvent, input: HTMLInputElement) => void;
  onBlur: () => void;
  children?: ComponentChildren;
}

const hidesByStyle = typeof CSS !== "undefined" && !!CSS.supports?.("-webkit-text-security", "disc");

export function Field(props: Props) {
  const { name, label, hint, error, isMasked = false } = props;
  const described = [hint && `${name}-hint`, error && `${name}-error`].filter(Boolean).join(" ");
  return (
    <div class={`field field-${name}`}>
      <label class="label" for={name}>
        {label}
        {props.remark && <span class="remark"> ({props.remark})</span>}
      </label>
      <div class="box">
        <input
          ref={props.input}
          id={name}
          name={name}
          class={isMasked && hidesByStyle ? "input masked" : "input"}
          type={(isMasked && !hidesByStyle ? "password" : "text") as "text"}
          dir={props.isNumeric ? "ltr" : "auto"}
          inputMode={props.isNumeric ? "numeric" : "text"}
          // Off once something stands in it: browsers write fields that may be completed into their session files.
          autocomplete={props.value ? "off" : props.autocomplete}
          autocapitalize={props.isNumeric ? "off" : "words"}
          autocorrect="off"
          spellcheck={false}
          placeholder={props.placeholder}
          maxLength={props.lengthMax}
          required={props.isRequired}
          aria-invalid={error ? "true" : undefined}
          aria-describedby={described || undefined}
          value={props.value}
          onInput={(event) => props.onInput(event as InputEvent, event.currentTarget)}
          onBlur={props.onBlur}
          data-testid={`form-${name}`}
        />
        {props.children}
      </div>
      {hint && (
        <p class="hint" id={`${name}-hint`}>
          {hint}
        </p>
      )}
      {error && (
        <p class="error" id={`${name}-error`} role={props.isSilent ? undefined : "alert"} data-testid={`form-error-${name}`}>
          {error}
        </p>
      )}
    </div>
  );
}
