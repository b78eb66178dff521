// What the merchant's page (loader) and the form's frame say to each other over a MessageChannel. No message that goes
// to the page holds card data. Both sides check types: neither trusts the other.

export const VERSION = 1;

// By window.postMessage, before there is a port.
export type Hello = { tollhouse: "hello"; version: number }; // frame to page: I am here
export type Open = { tollhouse: "open"; version: number }; // page to frame, with the port
export type Leave = { tollhouse: "leave" }; // payer's page in the dialog to page: Escape was pressed

export type Target = "_top" | "_self" | "_parent" | "_blank" | "modal";
export type Theme = "auto" | "light" | "dark" | "plain";

export interface Appearance {
  theme?: Theme;
  variables?: Record<string, string>;
  rules?: Record<string, Record<string, string>>;
}

export interface FormTexts {
  buttonPayLabel?: string;
  cardholderLabel?: string;
  cardNumberLabel?: string;
  cvvLabel?: string;
  expireDateLabel?: string;
  recurrentLabel?: string;
  termsAgreement?: string; // may hold {{#link}}…{{/link}}
  termsUrl?: string; // ours: where that link leads; without it the link is plain text
}

export interface FormOptions {
  isCvcMasked: boolean;
  target: Target | null; // null: the token's
  texts: FormTexts;
  appearance: Appearance;
  pageScheme: "light" | "dark"; // what the page around the frame uses, for theme "auto"
}

export interface PaymentError {
  code: string;
  description: string; // English
  message: string; // in the payer's language
}

export interface DialogTexts {
  title: string;
  close: string;
  leaveQuestion: string;
  stay: string;
  leave: string;
}

export type ToFrame =
  | { type: "begin"; token: string; options: FormOptions } // the first on the port, once
  | { type: "appearance"; appearance: Appearance; pageScheme: "light" | "dark" }
  | { type: "opened"; isOpen: boolean } // answer to `action`: false when a window was blocked
  | { type: "closed" }; // the payer left the dialog; the payment goes on waiting

export type ToPage =
  | { type: "ready"; title: string } // the form can be used; what it is called in the payer's language
  | { type: "height"; height: number } // CSS pixels
  | { type: "started" }
  | { type: "action"; url: string; target: Target; texts: DialogTexts; language: string; direction: "ltr" | "rtl" }
  | { type: "action-over" }
  | { type: "succeeded"; returnUrl?: string }
  | { type: "failed"; error: PaymentError; returnUrl?: string };
