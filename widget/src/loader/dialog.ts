// A dialog over the merchant's page with the payer's 3-D Secure page in it (target "modal").

import type { DialogTexts } from "../protocol";
import { STYLE } from "./dialog_style";
import { isLeave } from "./messages";
import type { Scheme } from "./page_scheme";

export interface DialogOptions {
  url: string;
  texts: DialogTexts;
  language: string;
  direction: "ltr" | "rtl";
  scheme: Scheme;
  left: () => void; // the payer chose to leave; the dialog is closed by then
}

function make<Tag extends keyof HTMLElementTagNameMap>(
  tag: Tag,
  attributes: Record<string, string>,
  ...children: (Node | string)[]
): HTMLElementTagNameMap[Tag] {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

function button(id: string, text: string, clicked: () => void): HTMLButtonElement {
  const element = make("button", { type: "button", class: id, "data-testid": `dialog-${id}` }, text);
  element.addEventListener("click", clicked);
  return element;
}

// Tells the payer's page that it stands in a dialog, so that it ends with a closing page instead of going on.
function inDialog(url: string): string {
  const address = new URL(url);
  address.searchParams.set("in", "dialog");
  return address.href;
}

export class Dialog {
  private readonly root = document.createElement("div");
  private readonly dialog: HTMLDialogElement;
  private readonly frame: HTMLIFrameElement;
  private readonly question: HTMLElement;
  private readonly closing: HTMLButtonElement;
  private readonly stay: HTMLButtonElement;
  private readonly leaving: HTMLButtonElement;
  private isAsking = false;
  private isOver = false;

  constructor(private readonly options: DialogOptions) {
    const { texts, scheme, language, direction } = options;
    this.frame = make("iframe", {
      title: texts.title,
      sandbox: "allow-scripts allow-same-origin allow-forms",
      allow: "publickey-credentials-get *",
      referrerpolicy: "no-referrer",
      "data-testid": "dialog-frame",
    });
    this.frame.src = inDialog(options.url);
    this.stay = button("stay", texts.stay, () => this.ask(false));
    this.leaving = button("leave", texts.leave, () => this.leave());
    this.question = this.makeQuestion();
    // Its cross is drawn by the style: a script of ASCII alone reads the same in a page of any encoding.
    this.closing = button("close", "", () => this.ask(true));
    this.closing.setAttribute("aria-label", texts.close);
    this.dialog = make(
      "dialog",
      { class: scheme, lang: language, dir: direction, "aria-label": texts.title },
      this.makeEdge(true),
      make("header", {}, make("h2", {}, texts.title), this.closing),
      this.frame,
      this.question,
      this.makeEdge(false),
    );
  }

  // The Tab key goes round inside. Left to itself, Chromium gets from the last element into the frame behind the dialog
  // when that is of another site.
  private makeEdge(isFirst: boolean): HTMLElement {
    const edge = make("span", { tabindex: "0" });
    edge.addEventListener("focus", ({ relatedTarget }) => {
      const last = this.isAsking ? this.leaving : this.frame;
      (isFirst && relatedTarget === this.closing ? last : this.closing).focus();
    });
    return edge;
  }

  private makeQuestion(): HTMLElement {
    const { texts } = this.options;
    const attributes = { role: "alertdialog", "aria-label": texts.leaveQuestion, "data-testid": "dialog-question" };
    const question = make("section", attributes, make("p", {}, texts.leaveQuestion), make("div", {}, this.stay, this.leaving));
    question.hidden = true;
    return question;
  }

  open(): void {
    const sheet = new CSSStyleSheet();
    sheet.replaceSync(STYLE);
    const shadow = this.root.attachShadow({ mode: "open" });
    shadow.adoptedStyleSheets = [sheet];
    shadow.append(this.dialog);
    document.body.append(this.root);
    this.dialog.addEventListener("cancel", this.cancelled);
    this.dialog.addEventListener("close", this.closedByBrowser);
    window.addEventListener("message", this.heard);
    this.dialog.showModal();
    this.closing.focus();
  }

  close(): void {
    if (this.isOver) return;
    this.isOver = true;
    window.removeEventListener("message", this.heard);
    this.dialog.close();
    this.root.remove();
  }

  private ask(isAsking: boolean): void {
    this.isAsking = isAsking;
    this.question.hidden = !isAsking;
    // The page behind the question is out of reach meanwhile; what the payer typed there stays.
    this.frame.inert = isAsking;
    (isAsking ? this.stay : this.frame).focus();
  }

  private leave(): void {
    this.close();
    this.options.left();
  }

  // Escape asks, and Escape at the question means staying.
  private readonly cancelled = (event: Event): void => {
    if (event.target !== this.dialog) return;
    event.preventDefault();
    this.ask(!this.isAsking);
  };

  // Chromium closes at a second Escape without asking the page: the dialog comes back with the question.
  private readonly closedByBrowser = (): void => {
    if (this.isOver || this.dialog.open) return;
    this.dialog.showModal();
    this.ask(true);
  };

  private readonly heard = (event: MessageEvent): void => {
    if (event.source !== this.frame.contentWindow || event.origin !== new URL(this.options.url).origin) return;
    if (isLeave(event.data) && !this.isAsking) this.ask(true);
  };
}
