// The payer's page. The server says how the authentication stands; this script does the payer's share of it: lets the
// issuer look at the browser (3DS method), tells the browser's data, shows the issuer's challenge, and asks again until
// all is over. It stores nothing, so that it may be opened twice, reloaded and left at any time.
(function () {
  "use strict";

  const METHOD_SECONDS_MAX = 10;
  const RETRY_AFTER_SECONDS = 20;
  const POLL_SECONDS_MIN = 2;
  const POLL_SECONDS_MAX = 5;
  const ANNOUNCED_MINUTES = [10, 5, 1];
  // Challenge windows of the protocol, largest area first; 05 is a whole page.
  const WINDOWS = [["03", 500, 600], ["04", 600, 400], ["02", 390, 400], ["01", 250, 400]];
  const WHOLE_PAGE = "05";
  const SMALL_SCREEN_WIDTH = 500;
  const BORDERS = 2;
  const SANDBOX = "allow-scripts allow-forms allow-same-origin";

  const { link, texts, origins, state: first } = JSON.parse(document.getElementById("payer-data").textContent);
  const at = (id) => document.getElementById(id);
  const seconds = () => performance.now() / 1000;

  let state = first;
  let heardAt = seconds(); // when `state` was true
  let stepAt = seconds(); // when the present step began
  let attempt = null; // the authentication that this page is at work on
  let frame = null; // the issuer's, during a challenge
  let hasBegun = false;
  let hasOpened = false;
  let hasReturned = false; // the issuer's page has come to its end
  let isOffline = false;
  let isLeaving = false;
  let isRetrying = false;
  let onMethodDone = null;
  let orders = 0; // what was asked before the payer's last order is out of date

  // Talking to the server

  async function call(step, members) {
    const stop = new AbortController();
    const timer = setTimeout(() => stop.abort(), members ? 20000 : 10000);
    const order = members
      ? { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(members) }
      : {};
    try {
      const answer = await fetch(`${link}/${step}`, { ...order, cache: "no-store", signal: stop.signal });
      if (answer.status === 404) openAnew(); // the page says it better
      if (!answer.ok) throw new Error(`answered ${answer.status}`);
      return await answer.json();
    } finally {
      clearTimeout(timer);
    }
  }

  let pollTimer = null;
  let pollSeconds = POLL_SECONDS_MIN;
  let isPolling = false;
  let isWanted = false;

  async function poll() {
    clearTimeout(pollTimer);
    if (isPolling) {
      isWanted = true;
      return;
    }
    isPolling = true;
    isWanted = false;
    const before = orders;
    try {
      const heard = await call("state");
      if (before === orders) hear(heard);
      else isWanted = true;
    } catch (error) {
      setOffline(true);
    }
    isPolling = false;
    pollTimer = setTimeout(poll, isWanted ? 0 : pollSeconds * 1000);
    pollSeconds = Math.min(pollSeconds * 1.2, POLL_SECONDS_MAX);
  }

  function pollNow() {
    pollSeconds = POLL_SECONDS_MIN;
    poll();
  }

  function hear(heard) {
    const isNewStep = heard.showing !== state.showing || heard.authentication_id !== attempt;
    state = heard;
    heardAt = seconds();
    isOffline = false;
    if (state.showing === "over") {
      openAnew();
    } else {
      if (isNewStep) {
        stepAt = seconds();
        pollSeconds = POLL_SECONDS_MIN;
      }
      if (state.authentication_id !== attempt) startOver();
      if (state.showing !== "challenge") closeFrame();
      if (state.showing === "begin" && !hasBegun) begin();
      if (state.showing === "challenge" && state.challenge && !hasOpened) openChallenge();
    }
    show();
  }

  function startOver() {
    attempt = state.authentication_id;
    hasBegun = hasOpened = hasReturned = false;
    onMethodDone = null;
    closeFrame();
  }

  // The same address again: the server sends a payer on who is finished, and the policy then fits the issuer's address.
  function openAnew() {
    if (isLeaving) return;
    isLeaving = true;
    location.replace(link + location.search);
    setTimeout(() => { isLeaving = false; }, 10000); // the connection may just have gone
  }

  // The steps

  async function begin() {
    hasBegun = true;
    const mine = attempt;
    const completion = await runMethod();
    while (mine === attempt && state.showing === "begin" && !isLeaving) {
      try {
        hear(await call("browser", { completion, ...describeBrowser() }));
      } catch (error) {
        setOffline(true);
      }
      await new Promise((resolve) => setTimeout(resolve, POLL_SECONDS_MIN * 1000));
    }
  }

  function describeBrowser() {
    const whole = (number, max) => Math.max(0, Math.min(max, Math.round(number) || 0));
    let hasJava = false;
    try {
      hasJava = navigator.javaEnabled();
    } catch (error) {
      hasJava = false; // some browsers have forgotten the question
    }
    return {
      language: String(navigator.language || "").slice(0, 64),
      java: hasJava,
      color_depth: whole(screen.colorDepth, 1024),
      screen_height: whole(screen.height, 999999),
      screen_width: whole(screen.width, 999999),
      timezone_minutes: new Date().getTimezoneOffset(),
    };
  }

  function runMethod() {
    const method = state.method;
    if (!method) return Promise.resolve("U");
    if (!isOpenable(method.url)) {
      openAnew();
      return Promise.resolve("N");
    }
    return new Promise((resolve) => {
      const hidden = newFrame(`method-${attempt}`, texts.method_title);
      hidden.hidden = true;
      document.body.append(hidden);
      const finish = (completion) => {
        onMethodDone = null;
        clearTimeout(timer);
        hidden.remove();
        resolve(completion);
      };
      const timer = setTimeout(finish, METHOD_SECONDS_MAX * 1000, "N");
      onMethodDone = () => finish("Y");
      post(method.url, "threeDSMethodData", method.data, hidden.name);
    });
  }

  function openChallenge() {
    if (!isOpenable(state.challenge.url)) {
      openAnew();
      return;
    }
    hasOpened = true;
    const size = fittingWindow();
    frame = newFrame(`challenge-${attempt}`, texts.frame_title);
    frame.dataset.testid = "payer-challenge";
    frame.dataset.size = size;
    frame.allow = "publickey-credentials-get *";
    document.body.classList.toggle("whole", size === WHOLE_PAGE);
    const place = at("challenge");
    place.hidden = false;
    place.append(frame);
    // Beside the frame and not in it: a frame of another site that is given the focus loses keys in some browsers.
    at("status").focus();
    post(state.challenge.url, "creq", state.challenge.requests[size], frame.name);
  }

  function closeFrame() {
    if (!frame) return;
    const hadFocus = document.activeElement === frame;
    frame.remove();
    frame = null;
    at("challenge").hidden = true;
    document.body.classList.remove("whole");
    if (hadFocus) at("status").focus();
  }

  function fittingWindow() {
    if (innerWidth < SMALL_SCREEN_WIDTH) return WHOLE_PAGE;
    const width = at("status").parentElement.clientWidth - BORDERS;
    const fitting = WINDOWS.find((one) => one[1] <= width && one[2] <= innerHeight);
    return fitting ? fitting[0] : WHOLE_PAGE;
  }

  function isOpenable(url) {
    const { protocol, origin } = new URL(url);
    return protocol === "https:" || origins.includes(origin);
  }

  function newFrame(name, title) {
    const made = document.createElement("iframe");
    made.name = name;
    made.title = title;
    made.setAttribute("sandbox", SANDBOX);
    return made;
  }

  function post(url, name, value, target) {
    const form = document.createElement("form");
    const input = document.createElement("input");
    Object.assign(form, { method: "post", action: url, target, hidden: true });
    Object.assign(input, { type: "hidden", name, value });
    form.append(input);
    document.body.append(form);
    form.submit();
    form.remove();
  }

  // What the payer sees

  function show() {
    const text = statusText();
    if (at("status").textContent !== text) at("status").textContent = text;
    document.body.classList.toggle("at-work", state.showing !== "decoupled" && !frame && !isBlocked());
    at("retry").hidden = !mayRetry();
    showTime();
  }

  function statusText() {
    if (isOffline) return texts.offline;
    if (state.showing === "finish" || state.showing === "over") return texts.over;
    if (secondsLeft() === 0) return texts.late;
    if (state.showing !== "challenge") return texts[state.showing];
    if (hasReturned) return texts.returned;
    return isBlocked() ? texts.blocked : texts.challenge;
  }

  function isBlocked() {
    return state.showing === "challenge" && !state.challenge && !hasReturned;
  }

  function mayRetry() {
    const isDue = hasReturned || isBlocked() || seconds() - stepAt >= RETRY_AFTER_SECONDS;
    return Boolean(state.can_retry) && isDue && !isRetrying && !isLeaving;
  }

  function secondsLeft() {
    if (typeof state.seconds_left !== "number") return null;
    return Math.max(0, Math.ceil(state.seconds_left - (seconds() - heardAt)));
  }

  let announced = null;

  function showTime() {
    const left = secondsLeft();
    if (left === null) return;
    at("timer").textContent = `${Math.floor(left / 60)}:${String(left % 60).padStart(2, "0")}`;
    const minutes = ANNOUNCED_MINUTES.filter((one) => left <= one * 60 && left > (one - 1) * 60).pop();
    if (minutes && minutes !== announced) {
      announced = minutes;
      at("announcement").textContent = texts.minutes_left.replace("{minutes}", minutes);
    }
  }

  function setOffline(isNow) {
    isOffline = isNow;
    show();
  }

  // What happens around us

  at("retry-button").addEventListener("click", async () => {
    isRetrying = true;
    orders += 1;
    at("status").focus();
    show();
    try {
      hear(await call("again", {}));
    } catch (error) {
      setOffline(true);
    }
    isRetrying = false;
    show();
  });

  // A frame of ours says how far the issuer is. Messages from elsewhere mean nothing, and these only that we look.
  addEventListener("message", (event) => {
    if (event.origin !== location.origin || !event.data) return;
    if (event.data.tollhouse === "method" && onMethodDone) onMethodDone();
    if (event.data.tollhouse === "challenge" && frame) {
      hasReturned = true;
      closeFrame();
      show();
      pollNow();
    }
  });

  // In a merchant's dialog the frame has the keys: the page around it asks whether the payer wants to leave.
  if (location.search === "?in=dialog") {
    addEventListener("keydown", (event) => {
      if (event.key === "Escape") parent.postMessage({ tollhouse: "leave" }, "*");
    });
  }

  addEventListener("offline", () => setOffline(true));
  addEventListener("online", pollNow);
  addEventListener("pageshow", (event) => {
    if (!event.persisted) return;
    isLeaving = false;
    pollNow();
  });
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden) pollNow();
  });

  hear(first);
  setInterval(show, 1000);
  pollTimer = setTimeout(poll, POLL_SECONDS_MIN * 1000);
})();
