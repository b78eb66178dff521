// The shop's page: orders by calls to the shop's own server, learns by a stream how they stand. Nothing the widget's
// callbacks say counts as payment: what is shown as paid comes from the server, which has it from a webhook.

import { Diagram } from "./diagram.js";

const $ = (id) => document.getElementById(id);
const PRICES = JSON.parse($("prices").textContent);
const FINAL = ["succeeded", "failed", "refunded", "part_refunded", "refused"];
const TOLD = {
  open: "Waiting for the payment.",
  in_progress: "The payment is under way.",
  pending: "The shop decides about the order.",
  action: "The payer's bank asks for a confirmation.",
  succeeded: "Paid. Thank you!",
  failed: "Not paid. Nothing was taken.",
  refused: "The order could not be placed.",
  part_refunded: "Paid, and a part was given back.",
  refunded: "Paid, and given back.",
};

const orders = new Map(); // by id, in the order of their making
const rows = new Map();
const diagram = new Diagram($("diagram"));
let shownId = null; // the order on the page
let form = null; // the widget and the order it is for
let isReplayed = false; // whether the stream has told what was before
let isOrdering = false; // a new order is being made: older ones keep off the page
let orderKey = ""; // names the order that is being made: sent twice, it is still one order

function digitsOf(currency) {
  return new Intl.NumberFormat("en", { style: "currency", currency }).resolvedOptions().maximumFractionDigits;
}

function money({ amount, currency }) {
  const format = new Intl.NumberFormat("en", { style: "currency", currency, currencyDisplay: "code" });
  return format.format(amount / 10 ** digitsOf(currency));
}

async function post(path, members) {
  const answer = await fetch(path, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(members),
    keepalive: true,
  });
  if (!answer.ok) throw new Error(await answer.text());
  return answer.json();
}

function complain(text) {
  $("problem").textContent = text;
  $("problem").hidden = !text;
}

function wish() {
  return Object.fromEntries(new FormData($("wish")));
}

function order(more) {
  const { product, scenario, decision, language, target } = wish();
  return post("orders", { key: orderKey, product, scenario, confirms: decision === "confirm", language, target, ...more });
}

// Tells the drawing what happened in this browser; the payer may be leaving the page.
function see(id, seen) {
  return post(`orders/${id}/seen`, { seen }).catch((problem) => complain(problem.message));
}

function closeForm() {
  form?.widget.destroy?.();
  form = null;
  $("smgl-payment-form").replaceChildren();
}

function openForm(one) {
  if (form?.id === one.id) return;
  closeForm();
  if (!window.SmglPaymentForm) {
    complain("The payment form could not be loaded from the gateway.");
    return;
  }
  const { theme, target } = wish();
  const widget = new window.SmglPaymentForm(one.token, {
    container: $("smgl-payment-form"),
    customerInteractionRedirect: { target },
    appearance: { theme },
  });
  widget.onReady = () => see(one.id, "ready");
  widget.onPaymentStart = () => see(one.id, "started");
  widget.onPaymentSuccess = () => see(one.id, "succeeded");
  widget.onPaymentFail = () => see(one.id, "failed");
  form = { id: one.id, widget };
  widget.render();
}

// Sends the payer's browser where the bank wants it, by GET or by a form that is posted.
async function goTo(id, redirect) {
  if (!/^https?:/.test(redirect.url)) return;
  await see(id, "sent");
  if (redirect.method !== "POST") {
    location.assign(redirect.url);
    return;
  }
  const page = document.createElement("form");
  page.method = "post";
  page.action = redirect.url;
  for (const [name, value] of Object.entries(redirect.params ?? {})) {
    const field = Object.assign(document.createElement("input"), { type: "hidden", name, value });
    page.append(field);
  }
  document.body.append(page);
  page.submit();
}

function showPayment(one) {
  const isOpen = !FINAL.includes(one.status);
  if (one.scenario === "widget") {
    // While the form says how it ended, it stays: it may be about to lead to the return URL.
    if (isOpen && one.token) openForm(one);
    $("checkout").hidden = !(isOpen || form?.id === one.id);
    $("own").hidden = true;
    return;
  }
  closeForm();
  $("checkout").hidden = true;
  const redirect = one.status === "action" ? one.payment.customer_interaction?.redirect : null;
  $("onward").hidden = !redirect;
  if (!redirect) return;
  $("onward").onclick = (event) => {
    event.preventDefault();
    goTo(one.id, redirect);
  };
  const went = `went-${one.id}`;
  if (isReplayed && !sessionStorage.getItem(went)) {
    sessionStorage.setItem(went, "yes");
    goTo(one.id, redirect);
  }
}

function show(one) {
  $("result").hidden = false;
  $("result").dataset.status = one.status;
  $("told").textContent = TOLD[one.status] ?? one.status;
  const decided = one.confirms ? "the shop confirms it" : "the shop cancels it";
  const error = one.payment.error ? `${one.payment.error.description} (${one.payment.error.code}).` : one.problem;
  const order = `Order ${one.id.slice(0, 6)}, ${money(one.price)}`;
  $("why").textContent = error ? `${order}: ${error}` : `${order}, ${decided}.`;
  $("onward").hidden = true;
  showPayment(one);
  const given = (one.payment.refunds ?? []).filter(({ status }) => ["accepted", "in_progress"].includes(status));
  const left = one.price.amount - given.reduce((sum, refund) => sum + refund.amount_details.amount, 0);
  $("refund").hidden = !["succeeded", "part_refunded"].includes(one.status) || left <= 0;
  for (const button of $("refund").querySelectorAll("button")) button.disabled = one.is_refunding && !one.problem;
  const digits = digitsOf(one.price.currency);
  const field = $("refund-amount");
  if (field.dataset.left !== `${one.id} ${left}`) {
    field.dataset.left = `${one.id} ${left}`;
    field.value = (Math.ceil(left / 2) / 10 ** digits).toFixed(digits);
  }
}

function list() {
  const others = [...orders.values()].reverse().map((one) => {
    const item = document.createElement("li");
    const button = Object.assign(document.createElement("button"), { type: "button" });
    button.textContent = `${one.id.slice(0, 6)}: ${money(one.price)}, ${one.status.replaceAll("_", " ")}`;
    button.setAttribute("aria-pressed", String(one.id === shownId));
    button.addEventListener("click", () => choose(one.id));
    item.append(button);
    return item;
  });
  $("orders").hidden = orders.size < 2;
  $("orders").querySelector("ol").replaceChildren(...others);
}

function choose(id) {
  if (id === shownId) return;
  shownId = id;
  isOrdering = false;
  $("talk-hint").textContent = "Choose a line to see what it carried, card details masked.";
  diagram.begin();
  diagram.add(rows.get(id), false);
  complain("");
  show(orders.get(id));
  list();
}

function hear({ data }) {
  const told = JSON.parse(data);
  if (!told.order) {
    isReplayed = true;
    if (isOrdering) return;
    const newest = [...orders.keys()].pop();
    if (newest && !shownId) choose(newest);
    else if (shownId) show(orders.get(shownId));
    return;
  }
  const { id } = told.order;
  const isNew = !orders.has(id);
  orders.set(id, told.order);
  const known = rows.get(id) ?? [];
  rows.set(id, [...known, ...told.rows.filter(({ n }) => n >= known.length)]);
  if (!isReplayed) return;
  if (isNew) choose(id);
  else if (id === shownId) {
    diagram.add(told.rows, true);
    show(told.order);
  }
  list();
}

function listen() {
  const stream = new EventSource("stream");
  stream.onmessage = hear;
  stream.onerror = () => {
    if (stream.readyState === EventSource.CLOSED) setTimeout(listen, 2000);
  };
}

$("wish").addEventListener("submit", async (event) => {
  event.preventDefault();
  complain("");
  closeForm();
  isOrdering = true;
  orderKey = Array.from(crypto.getRandomValues(new Uint32Array(4))).join("-");
  shownId = null;
  const isOwn = wish().scenario === "own";
  $("checkout").hidden = false;
  $("own").hidden = !isOwn;
  $("checkout-title").textContent = `Payment: ${money(PRICES[wish().product])}`;
  $("result").hidden = true;
  if (isOwn) {
    $("own").elements.number.focus();
    return;
  }
  $("checkout").scrollIntoView({ block: "nearest" });
  await order({}).catch((problem) => complain(problem.message));
});

$("own").addEventListener("submit", async (event) => {
  event.preventDefault();
  complain("");
  const { number, expiry, code } = Object.fromEntries(new FormData($("own")));
  const [, month, year] = /^\s*(\d{1,2})\s*\/\s*(?:20)?(\d{2})\s*$/.exec(expiry) ?? [];
  if (!month) {
    complain("Expiry: month and year are expected, such as 08/31.");
    $("own").elements.expiry.focus();
    return;
  }
  const card = {
    number: number.replaceAll(/[ -]/g, ""),
    expiration_month: month.padStart(2, "0"),
    expiration_year: year,
    security_code: code.trim(),
  };
  await order({ card }).then(() => $("own").reset(), (problem) => complain(problem.message));
});

$("refund").addEventListener("submit", async (event) => {
  event.preventDefault();
  complain("");
  const { price } = orders.get(shownId);
  const amount = Math.round(Number($("refund-amount").value.replace(",", ".")) * 10 ** digitsOf(price.currency));
  const isPart = event.submitter?.value === "part";
  if (isPart && !(amount > 0)) {
    complain("Refund: an amount above 0 is expected.");
    $("refund-amount").focus();
    return;
  }
  await post(`orders/${shownId}/refund`, isPart ? { amount } : {}).catch((problem) => complain(problem.message));
});

document.querySelector(".cards").addEventListener("click", async (event) => {
  const number = event.target.dataset?.card;
  if (!number) return;
  if ($("own").hidden) {
    await navigator.clipboard?.writeText(number).then(() => ($("copied").textContent = "Copied."), () => {});
    return;
  }
  const { elements } = $("own");
  elements.number.value = event.target.textContent;
  elements.expiry.value = "08/31";
  elements.code.value = "417";
});

// The choices survive a reload; the theme counts at once, also for the page and a form that is open.
function choices() {
  const { theme, scenario } = wish();
  sessionStorage.setItem("choices", JSON.stringify(wish()));
  document.documentElement.dataset.theme = theme;
  form?.widget.update?.({ appearance: { theme } });
  $("cards-hint").textContent = scenario === "own" ? "Choose one to fill it in." : "Choose one to copy its number.";
}

for (const [name, value] of Object.entries(JSON.parse(sessionStorage.getItem("choices") ?? "{}"))) {
  $("wish").elements[name].value = value;
}
for (const place of document.querySelectorAll("[data-price]")) place.textContent = money(PRICES[place.dataset.price]);
$("wish").addEventListener("change", choices);
window.addEventListener("pageshow", (event) => event.persisted && location.reload());
choices();
listen();
