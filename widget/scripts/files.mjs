// What the build makes: each file's source, where it runs and why it is there (PCI DSS 6.4.3 asks for the reason).

import { fileURLToPath } from "node:url";

export const ROOT = fileURLToPath(new URL("..", import.meta.url));
export const BUILT = fileURLToPath(new URL("../../src/tollhouse/api/widget/built/", import.meta.url));

const MERCHANT = "merchant's page";
const FRAME = "form's frame";
const HOSTED = "hosted page";

export const FILES = [
  {
    name: "frame.css",
    source: "src/frame/frame.css",
    page: FRAME,
    reason: "Lays out the payment form inside its frame.",
  },
  {
    name: "frame.js",
    source: "src/frame/main.tsx",
    page: FRAME,
    reason: "Takes the card's data from the payer and sends them to the gateway; no other script reads them.",
  },
  {
    name: "hosted.js",
    source: "src/hosted/hosted.ts",
    page: HOSTED,
    reason: "Puts the payment form into the hosted page and says so when the form cannot be loaded.",
  },
  {
    name: "payment-form.css",
    source: "src/loader/payment-form.css",
    page: MERCHANT,
    reason: "Keeps room for the form's frame while it loads.",
  },
  {
    name: "payment-form.js",
    source: "src/loader/payment-form.ts",
    page: MERCHANT,
    reason: "Puts the frame with the form into the page, tells the page how the payment goes, opens 3-D Secure.",
  },
  {
    name: "tollhouse.mjs",
    source: "src/loader/tollhouse.ts",
    page: MERCHANT,
    reason: "The same as payment-form.js, as an ES module with a custom element.",
  },
];

export const LOADERS = ["payment-form.js", "tollhouse.mjs"];
export const LOADER_BYTES = 5_000; // gzip, each must stay under it
export const WHOLE_BYTES = 30_000; // gzip, all that one page with the form loads
