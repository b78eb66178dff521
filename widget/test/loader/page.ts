// A merchant's page for tests: frames whose windows are played here, since nothing is fetched.

import { expect, vi } from "vitest";

import { Form } from "../../src/loader/form";
import type { ToFrame, ToPage } from "../../src/protocol";

export const HOST = "https://pay.example";
export const TOKEN = "ab".repeat(32);
export const TEXTS = { title: "3-D Secure", close: "Close", leaveQuestion: "Leave?", stay: "Stay", leave: "Leave" };
export const ACTION: Extract<ToPage, { type: "action" }> = {
  type: "action",
  url: `${HOST}/3ds/link`,
  target: "modal",
  texts: TEXTS,
  language: "de",
  direction: "ltr",
};

export interface FakeWindow {
  postMessage: (data: unknown, origin: string, ports: MessagePort[]) => void;
  posted: { data: unknown; origin: string; ports: MessagePort[] }[];
}

const windows = new WeakMap<HTMLIFrameElement, FakeWindow>();

export function windowOf(frame: HTMLIFrameElement): FakeWindow {
  let found = windows.get(frame);
  if (!found) {
    const posted: FakeWindow["posted"] = [];
    found = { posted, postMessage: (data, origin, ports) => void posted.push({ data, origin, ports }) };
    windows.set(frame, found);
  }
  return found;
}

// As in a browser, only a frame in the document has a window. Addresses are kept aside: nothing is to be fetched.
export function playFrames(): void {
  Object.defineProperty(HTMLIFrameElement.prototype, "src", {
    configurable: true,
    get(this: HTMLIFrameElement) {
      return this.dataset.address ?? "";
    },
    set(this: HTMLIFrameElement, address: string) {
      this.dataset.address = address;
    },
  });
  Object.defineProperty(HTMLIFrameElement.prototype, "contentWindow", {
    configurable: true,
    get(this: HTMLIFrameElement) {
      return this.isConnected ? windowOf(this) : null;
    },
  });
}

export function say(source: unknown, origin: string, data: unknown): void {
  const event = new MessageEvent("message", { data, origin });
  Object.defineProperty(event, "source", { value: source });
  window.dispatchEvent(event);
}

// Long enough for what was posted to arrive: ports are read once in each turn of the loop.
export async function settle(): Promise<void> {
  for (let turn = 0; turn < 3; turn++) await new Promise((resolve) => setImmediate(resolve));
}

export class Page {
  readonly container: HTMLElement;
  readonly said: string[] = [];
  readonly heard: ToFrame[] = [];
  form!: Form;
  port: MessagePort | null = null;

  constructor() {
    document.body.innerHTML = '<div id="smgl-payment-form"></div>';
    this.container = document.getElementById("smgl-payment-form")!;
  }

  make(options: Record<string, unknown> = {}): Form {
    this.form = new Form(HOST, TOKEN, { container: this.container, ...options });
    this.form.onReady = () => this.said.push("ready");
    this.form.onPaymentStart = () => this.said.push("start");
    this.form.onPaymentSuccess = () => this.said.push("success");
    this.form.onPaymentFail = (error) => this.said.push(`fail ${error.code}`);
    return this.form;
  }

  get frame(): HTMLIFrameElement {
    return this.container.querySelector("iframe")!;
  }

  // The frame comes when the token's hash is there, which is counted in another thread.
  async drawn(): Promise<HTMLIFrameElement> {
    await vi.waitFor(() => expect(this.frame).not.toBeNull(), { interval: 1 });
    return this.frame;
  }

  hello(origin = HOST, source: unknown = windowOf(this.frame)): void {
    say(source, origin, { tollhouse: "hello", version: 1 });
  }

  // The frame's end of the port, when the loader has handed one over.
  takePort(): MessagePort {
    this.port = windowOf(this.frame).posted.at(-1)!.ports[0]!;
    this.port.onmessage = ({ data }) => void this.heard.push(data);
    return this.port;
  }

  async open(options: Record<string, unknown> = {}): Promise<Form> {
    this.make(options).render();
    await this.drawn();
    this.hello();
    this.takePort();
    await settle();
    return this.form;
  }

  async tell(...messages: unknown[]): Promise<void> {
    for (const message of messages) this.port!.postMessage(message);
    await settle();
  }
}
