// The payment form as a merchant's page sees it: one frame from the widget host and a port to it. Card data stay in the
// frame; nothing here could read them.

import type { Appearance, PaymentError, ToFrame, ToPage } from "../protocol";
import { VERSION } from "../protocol";
import { Dialog } from "./dialog";
import { isHello, readMessage } from "./messages";
import type { Settings } from "./options";
import { findContainer, readAppearance, readOptions } from "./options";
import { pageScheme, watchScheme } from "./page_scheme";
import { isToken, tokenId } from "./token_id";

const HELLO_WITHIN_MS = 15_000;
const ERRORS = {
  insecure_page: "The payment form needs a page served over HTTPS, or from localhost",
  form_unreachable: "The payment form could not be loaded",
};

type Callback = "onReady" | "onPaymentStart" | "onPaymentSuccess";
type Action = Extract<ToPage, { type: "action" }>;

// What a merchant's callback throws is shown by the browser as any error of the page; the form goes on.
function report(error: unknown): void {
  if (typeof reportError === "function") reportError(error);
  else setTimeout(() => { throw error; });
}

function makeFrame(): HTMLIFrameElement {
  const frame = document.createElement("iframe");
  frame.setAttribute("sandbox", "allow-scripts allow-same-origin allow-forms");
  frame.referrerPolicy = "no-referrer";
  frame.title = "Card payment";
  frame.className = "tollhouse-payment-frame";
  Object.assign(frame.style, { display: "block", width: "100%", border: "0" });
  return frame;
}

export class Form {
  onReady: (() => void) | null = null;
  onPaymentStart: (() => void) | null = null;
  onPaymentSuccess: (() => void) | null = null;
  onPaymentFail: ((error: PaymentError) => void) | null = null;

  private readonly settings: Settings;
  private readonly frame = makeFrame();
  private port: MessagePort | null = null;
  private dialog: Dialog | null = null;
  private unwatch: (() => void) | null = null;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private state: "new" | "drawn" | "ended" | "destroyed" = "new";
  private isReady = false;
  private isStarted = false;

  constructor(private readonly host: string, private readonly token: string, options: unknown) {
    if (!isToken(token)) throw new TypeError("Payment form: publicToken must be 64 hexadecimal digits in lower case");
    this.settings = readOptions(options);
  }

  render(): void {
    if (this.state !== "new") throw new Error("Payment form: render() works once; make a new form for another");
    const container = findContainer(this.settings.container);
    this.state = "drawn";
    window.addEventListener("message", this.heard);
    this.unwatch = watchScheme(container, () => this.sendAppearance());
    // Not at once: a page may set its callbacks after render(), and no callback comes before render() returns.
    void Promise.resolve().then(() => this.load(container)).catch(report);
  }

  update(changes: { appearance?: Appearance }): void {
    if (changes?.appearance === undefined) return;
    this.settings.appearance = readAppearance(changes.appearance);
    this.sendAppearance();
  }

  destroy(): void {
    this.state = "destroyed";
    this.remove();
  }

  private async load(container: HTMLElement): Promise<void> {
    if (!globalThis.crypto?.subtle) return this.unusable("insecure_page");
    const id = await tokenId(this.token);
    if (this.state !== "drawn") return;
    this.frame.src = `${this.host}/widget/v1/frame/${id}`;
    container.append(this.frame);
    this.timer = setTimeout(() => this.unusable("form_unreachable"), HELLO_WITHIN_MS);
  }

  private remove(): void {
    clearTimeout(this.timer);
    window.removeEventListener("message", this.heard);
    this.unwatch?.();
    this.closeDialog();
    this.port?.close();
    this.port = null;
    this.frame.remove();
  }

  // The frame goes away: a form that comes to life after its page was told that it failed would take money unexpected.
  private unusable(code: keyof typeof ERRORS): void {
    if (this.state !== "drawn") return;
    const description = ERRORS[code];
    console.error(`Payment form: ${description}`);
    this.state = "ended";
    this.remove();
    this.tellFailure({ code, description, message: description });
  }

  // A frame that was loaded anew (its own reload, the page's way back) says hello again and gets a new port.
  private readonly heard = (event: MessageEvent): void => {
    const { contentWindow } = this.frame;
    if (!contentWindow || event.source !== contentWindow || event.origin !== this.host || !isHello(event.data)) return;
    clearTimeout(this.timer);
    this.port?.close();
    const channel = new MessageChannel();
    this.port = channel.port1;
    this.port.onmessage = ({ data }) => {
      const message = readMessage(data);
      if (message && this.port === channel.port1) this.obey(message);
    };
    contentWindow.postMessage({ tollhouse: "open", version: VERSION }, this.host, [channel.port2]);
    const { isCvcMasked, target, texts, appearance } = this.settings;
    const options = { isCvcMasked, target, texts, appearance, pageScheme: pageScheme(this.frame) };
    this.send({ type: "begin", token: this.token, options });
  };

  private send(message: ToFrame): void {
    this.port?.postMessage(message);
  }

  private sendAppearance(): void {
    const { appearance } = this.settings;
    this.send({ type: "appearance", appearance, pageScheme: pageScheme(this.frame) });
  }

  private obey(message: ToPage): void {
    switch (message.type) {
      case "ready":
        this.frame.title = message.title;
        if (!this.isReady) this.tell("onReady");
        this.isReady = true;
        return;
      case "height":
        this.frame.style.height = `${message.height}px`;
        return;
      case "started":
        if (!this.isStarted) this.tell("onPaymentStart");
        this.isStarted = true;
        return;
      case "action":
        return this.act(message);
      case "action-over":
        return this.closeDialog(true);
      default:
        return this.end(message);
    }
  }

  private act(action: Action): void {
    this.closeDialog();
    const isOpen = action.target === "modal" ? this.openDialog(action) : this.openWindow(action.url, action.target);
    this.send({ type: "opened", isOpen });
  }

  private openDialog(action: Action): boolean {
    const left = () => {
      this.closeDialog(true);
      this.send({ type: "closed" });
    };
    try {
      const dialog = new Dialog({ ...action, scheme: pageScheme(this.frame), left });
      dialog.open();
      this.dialog = dialog;
      return true;
    } catch (error) {
      // A browser without such dialogs: the payment can still be made in the whole window.
      report(error);
      return this.openWindow(action.url, "_top");
    }
  }

  private openWindow(url: string, target: string): boolean {
    const opened = window.open(url, target);
    // Not by "noopener": with it a blocked window cannot be told from an open one.
    if (opened && target === "_blank") opened.opener = null;
    return opened !== null;
  }

  private closeDialog(isFocusing = false): void {
    if (!this.dialog) return;
    this.dialog.close();
    this.dialog = null;
    if (isFocusing) this.frame.focus();
  }

  // Once, even if the frame is loaded anew and says it again. The frame stays: it shows the payer how it ended.
  private end(message: Extract<ToPage, { type: "succeeded" | "failed" }>): void {
    if (this.state !== "drawn") return;
    this.state = "ended";
    this.closeDialog(true);
    if (message.type === "succeeded") this.tell("onPaymentSuccess");
    else this.tellFailure(message.error);
    // After the callback, and also when it destroyed the form: the address was set by the merchant's server.
    if (message.returnUrl) window.location.assign(message.returnUrl);
  }

  private tell(name: Callback): void {
    if (this.state === "destroyed") return;
    try {
      this[name]?.();
    } catch (error) {
      report(error);
    }
  }

  private tellFailure(error: PaymentError): void {
    if (this.state === "destroyed") return;
    try {
      this.onPaymentFail?.(error);
    } catch (thrown) {
      report(thrown);
    }
  }
}
