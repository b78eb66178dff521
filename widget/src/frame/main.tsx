// Runs in the form's frame: reads what the server wrote into the page, takes the port, and draws.

import { render } from "preact";

import { tokenId } from "../loader/token_id";
import type { ToFrame, ToPage } from "../protocol";
import { App } from "./app";
import { Client } from "./client";
import type { Begin, PageData } from "./handshake";
import { readMessage, takePort } from "./handshake";
import { applyLook, keepLegible, stayLegible } from "./look";
import { Payment } from "./payment";

const HEIGHT_MARGIN = 2;

const data = JSON.parse(document.getElementById("tollhouse-frame")?.textContent ?? "{}") as PageData;
const root = document.getElementById("form");

function wait(seconds: number, wake: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, seconds * 1000);
    wake.addEventListener("abort", () => { clearTimeout(timer); resolve(); }, { once: true });
  });
}

function tellHeight(element: Element, tell: (message: ToPage) => void): void {
  const report = () => tell({ type: "height", height: Math.ceil(element.getBoundingClientRect().height) + HEIGHT_MARGIN });
  new ResizeObserver(report).observe(element);
  report();
}

function begin({ token, options }: Begin, port: MessagePort, place: HTMLElement): (message: ToFrame) => void {
  const tell = (message: ToPage) => port.postMessage(message);
  const { texts, language, direction } = data;
  const payment = new Payment({
    client: new Client(token),
    tell,
    texts,
    language,
    direction,
    wait,
    target: options.target,
    changed: () => draw(),
  });
  const draw = () => {
    render(
      <App view={payment.view} texts={texts} options={options} language={language}
        isModal={payment.target() === "modal"} submit={(input) => void payment.submit(input)}
        openAction={() => payment.openAction()} hurry={() => payment.hurry()} />,
      place,
    );
  };
  applyLook(options.appearance, options.pageScheme);
  stayLegible(place);
  draw();
  tellHeight(place, tell);
  window.addEventListener("online", () => payment.hurry());
  window.addEventListener("pageshow", ({ persisted }) => { if (persisted) payment.cameBack(); });
  document.addEventListener("visibilitychange", () => { if (!document.hidden) payment.hurry(); });
  void payment.load();
  return (message) => {
    if (message.type === "appearance") {
      applyLook(message.appearance, message.pageScheme);
      keepLegible();
    }
    if (message.type === "opened") payment.actionOpened(message.isOpen);
    if (message.type === "closed") payment.actionLeft();
  };
}

// Who may be around this frame was decided by the token in its address: no other token's form may stand in it.
async function isOfThisFrame(token: string): Promise<boolean> {
  if (globalThis.crypto?.subtle && location.pathname.endsWith(`/${await tokenId(token)}`)) return true;
  console.error("Payment form: the public token is not that of the form's frame");
  return false;
}

function start(place: HTMLElement): void {
  takePort(data.origins, (port) => {
    let begun: Promise<((message: ToFrame) => void) | null> | null = null;
    port.onmessage = ({ data: said }) => {
      const message = readMessage(said);
      if (!message) return;
      if (begun) void begun.then((obey) => obey?.(message));
      else if (message.type === "begin") {
        begun = isOfThisFrame(message.token).then((isIts) => (isIts ? begin(message, port, place) : null));
      }
    };
  });
}

if (root) start(root);
