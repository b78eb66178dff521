// The ES module: exports PaymentForm and defines <tollhouse-payment-form>.

import { defineElement } from "./element";
import { Form } from "./form";

const HOST = new URL(import.meta.url).origin;

export class PaymentForm extends Form {
  constructor(publicToken: string, options: unknown) {
    super(HOST, publicToken, options);
  }
}

defineElement(PaymentForm);
