// Runs in the form's frame: reads what the server wrote into the page, takes the port, and draws.

import { render } from "preact";

import type { ToFrame, ToPage } from "../protocol";
import { App } from "./app";
import { Client } from "./client";
import type { Begin, PageData } from "./handshake";
import { readMessage, takePort } from "./handshake";
import { applyLook } from "./look";
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
  const draw = () =>
    render(
      <App view={payment.view} texts={texts} options={options} language={language}
        isModal={payment.target() === "modal"} submit={(input) => void payment.submit(input)}
        openAction={() => payment.openAction()} hurry={() => payment.hurry()} />,
      place,
    );
  applyLook(options.appearance, options.pageScheme);
  draw();
  tellHeight(place, tell);
  for (const name of ["online", "pageshow"]) window.addEventListener(name, () => payment.hurry());
  document.addEventListener("visibilitychange", () => { if (!document.hidden) payment.hurry(); });
  void payment.load();
  return (message) => {
    if (message.type === "appearance") applyLook(message.appearance, message.pageScheme);
    if (message.type === "opened") payment.actionOpened(message.isOpen);
    if (message.type === "closed") payment.actionLeft();
  };
}

function start(place: HTMLElement): void {
  takePort(data.origins, (port) => {
    let obey: ((message: ToFrame) => void) | null = null;
    port.onmessage = ({ data: said }) => {
      const message = readMessage(said);
      if (!message) return;
      if (obey) obey(message);
      else if (message.type === "begin") obey = begin(message, port, place);
    };
  });
}

if (root) start(root);
