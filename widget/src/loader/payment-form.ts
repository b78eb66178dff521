// The classic script: defines window.SmglPaymentForm at once.

import { Form } from "./form";

// Known only while the script runs, and only for a classic script with an address.
const script = document.currentScript;
if (!(script instanceof HTMLScriptElement) || !script.src) {
  throw new Error("payment-form.js must be loaded by a script element with src: its address tells the widget host");
}
const HOST = new URL(script.src).origin;

class SmglPaymentForm extends Form {
  constructor(publicToken: string, options: unknown) {
    super(HOST, publicToken, options);
  }
}

Object.assign(window, { SmglPaymentForm });
