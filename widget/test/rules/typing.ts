// A field under a payer's fingers: the browser changes the text first, then our rules put it in order.

import { editExpiry } from "../../src/rules/expiry";
import { edit } from "../../src/rules/pan";

export type Key = "Backspace" | "Delete" | "Left" | "Right" | "Home" | "End";

const KEYS: readonly string[] = ["Backspace", "Delete", "Left", "Right", "Home", "End"];

interface Change {
  text: string;
  caret: number;
  isBackward: boolean;
  isForward: boolean;
}

abstract class Field {
  text = "";
  caret = 0;

  protected abstract tidy(change: Change): void;

  // As in `12|/31`.
  get shown(): string {
    return `${this.text.slice(0, this.caret)}|${this.text.slice(this.caret)}`;
  }

  at(caret: number): this {
    this.caret = caret;
    return this;
  }

  // What is pasted, or one character that is typed.
  insert(piece: string, selected = 0): this {
    const text = this.text.slice(0, this.caret) + piece + this.text.slice(this.caret + selected);
    this.tidy({ text, caret: this.caret + piece.length, isBackward: false, isForward: false });
    return this;
  }

  pasteOver(piece: string): this {
    return this.at(0).insert(piece, this.text.length);
  }

  press(...keys: (Key | string)[]): this {
    for (const key of keys) {
      if (KEYS.includes(key)) this.control(key as Key);
      else for (const sign of key) this.insert(sign);
    }
    return this;
  }

  private control(key: Key): void {
    const { text, caret } = this;
    const erase = (from: number, isForward: boolean) =>
      this.tidy({ text: text.slice(0, from) + text.slice(from + 1), caret: from, isBackward: !isForward, isForward });
    if (key === "Left") this.caret = Math.max(0, caret - 1);
    if (key === "Right") this.caret = Math.min(text.length, caret + 1);
    if (key === "Home") this.caret = 0;
    if (key === "End") this.caret = text.length;
    if (key === "Backspace" && caret > 0) erase(caret - 1, false);
    if (key === "Delete" && caret < text.length) erase(caret, true);
  }
}

export class PanField extends Field {
  digits = "";

  protected tidy(change: Change): void {
    Object.assign(this, edit({ ...change, before: this.digits }));
  }
}

export class ExpiryField extends Field {
  protected tidy({ text, caret, isBackward, isForward }: Change): void {
    Object.assign(this, editExpiry({ text, caret, isDeletion: isBackward || isForward }));
  }
}
