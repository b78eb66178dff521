// The form as it is drawn, for tests that type into it and press its button.

import { options as preact, render } from "preact";
import { expect } from "vitest";

import { App } from "../../src/frame/app";
import type { FormOptions } from "../../src/protocol";
import { Played, TEXTS, settle, type Script } from "./gateway";

const OPTIONS: FormOptions = { isCvcMasked: false, target: null, texts: {}, appearance: {}, pageScheme: "light" };

// Effects in the next turn, not in the next frame: a test that waits a turn then sees them.
preact.requestAnimationFrame = (flush) => void setImmediate(flush);

export interface Given {
  options?: Partial<FormOptions>;
  texts?: Record<string, string>;
}

export class Drawn {
  readonly place = document.createElement("main");
  readonly played: Played;

  constructor(script: Script, { options, texts = TEXTS }: Given = {}) {
    document.body.replaceChildren(this.place);
    const chosen = { ...OPTIONS, ...options };
    this.played = new Played(script, { target: chosen.target, texts, changed: () => this.draw(chosen, texts) });
    this.draw(chosen, texts);
  }

  private draw(options: FormOptions, texts: Record<string, string>): void {
    const { payment } = this.played ?? {};
    if (!payment) return;
    render(
      <App view={payment.view} texts={texts} options={options} language="en" isModal={payment.target() === "modal"}
        submit={(input) => void payment.submit(input)} openAction={() => payment.openAction()} hurry={() => payment.hurry()} />,
      this.place,
    );
  }

  find<T extends HTMLElement = HTMLElement>(id: string): T | null {
    return this.place.querySelector<T>(`[data-testid=form-${id}]`);
  }

  get<T extends HTMLElement = HTMLElement>(id: string): T {
    const found = this.find<T>(id);
    expect(found, `form-${id} is there`).not.toBeNull();
    return found!;
  }

  input(name: string): HTMLInputElement {
    return this.get<HTMLInputElement>(name);
  }

  get stage(): string | undefined {
    return this.get("status").dataset.stage;
  }

  // As the browser does it: the text changes, then the field hears of it.
  async type(name: string, text: string, { at, inputType = "insertText" }: { at?: number; inputType?: string } = {}): Promise<void> {
    const input = this.input(name);
    input.focus();
    input.value = text;
    input.setSelectionRange(at ?? text.length, at ?? text.length);
    input.dispatchEvent(new InputEvent("input", { bubbles: true, inputType }));
    await settle();
  }

  async leave(name: string): Promise<void> {
    const input = this.input(name);
    input.focus();
    input.blur();
    await settle();
  }

  async fill(values: Record<string, string> = {}): Promise<void> {
    const all = { number: "4242424242424242", expiry: "0831", code: "417", holder: "Kai Muster", ...values };
    for (const [name, value] of Object.entries(all)) await this.type(name, value);
  }

  async press(times = 1): Promise<void> {
    const form = this.place.querySelector("form")!;
    for (let presses = 0; presses < times; presses += 1) form.dispatchEvent(new Event("submit", { bubbles: true, cancelable: true }));
    await settle();
  }

  error(name: string): string | undefined {
    return this.find(`error-${name}`)?.textContent;
  }
}

export async function drawn(script: Script = {}, given: Given = {}): Promise<Drawn> {
  const form = new Drawn(script, given);
  await form.played.load();
  await settle();
  return form;
}
