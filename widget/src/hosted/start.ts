// Puts the form into the hosted page /pay/<public token>. All words of that page are in the server's HTML.

import type { Form } from "../loader/form";

type Make = new (publicToken: string, options: unknown) => Form;

export function start(page: Window & { SmglPaymentForm?: Make }): void {
  const { document } = page;
  const container = document.getElementById("smgl-payment-form");
  const problem = document.getElementById("hosted-problem");
  const showProblem = () => {
    if (problem) problem.hidden = false;
    if (container) container.hidden = true;
  };
  const token = page.location.pathname.split("/").pop();
  let isReady = false;
  try {
    // Thrown when the loader was blocked, too.
    const form = new page.SmglPaymentForm!(token ?? "", {
      container,
      customerInteractionRedirect: { target: "_self" },
    });
    form.onReady = () => {
      isReady = true;
    };
    // A frame that is there tells the failure itself, and better: a declined card, a link that is over.
    form.onPaymentFail = () => {
      if (!isReady && !container?.querySelector("iframe")) showProblem();
    };
    form.render();
  } catch (error) {
    console.error(error);
    showProblem();
  }
}
