// <tollhouse-payment-form token theme target cvc-masked>: the same form for pages that are written in HTML.

import type { PaymentError } from "../protocol";
import type { Form } from "./form";

type Make = new (publicToken: string, options: unknown) => Form;

export function defineElement(PaymentForm: Make): void {
  class PaymentFormElement extends HTMLElement {
    static readonly observedAttributes = ["token", "theme", "target", "cvc-masked"];
    private form: Form | null = null;

    connectedCallback(): void {
      this.draw();
    }

    disconnectedCallback(): void {
      this.form?.destroy();
      this.form = null;
    }

    attributeChangedCallback(name: string, before: string | null, now: string | null): void {
      if (before === now || !this.isConnected) return;
      // What the payer typed stays when only the look changes; the rest makes another form.
      if (name === "theme" && this.form) this.form.update({ appearance: { theme: now ?? "auto" } as never });
      else this.draw();
    }

    private draw(): void {
      this.form?.destroy();
      this.form = null;
      const token = this.getAttribute("token");
      if (!token) return;
      const form = new PaymentForm(token, {
        container: this,
        isCvcMasked: this.hasAttribute("cvc-masked"),
        customerInteractionRedirect: { target: this.getAttribute("target") },
        appearance: { theme: this.getAttribute("theme") },
      });
      form.onReady = () => this.say("ready");
      form.onPaymentStart = () => this.say("paymentstart");
      form.onPaymentSuccess = () => this.say("paymentsuccess");
      form.onPaymentFail = (error) => this.say("paymentfail", error);
      this.form = form;
      form.render();
    }

    private say(name: string, detail: PaymentError | null = null): void {
      this.dispatchEvent(new CustomEvent(name, { bubbles: true, detail }));
    }
  }

  // A page may load the module twice, under two addresses; the first one stays.
  if (!customElements.get("tollhouse-payment-form")) {
    customElements.define("tollhouse-payment-form", PaymentFormElement);
  }
}
